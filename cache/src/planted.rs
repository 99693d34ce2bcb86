//! Bugs that the simulation plants to show that it would find them. In a shipped binary every question is answered `false` at
//! compile time.

/// An invariant of this crate switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A 404 is remembered, and served later.
    AbsenceRemembered,
    /// An object is as long as what came of it.
    LengthOfWhatCame,
}

/// The set of planted bugs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planted {
    #[cfg(feature = "planted-bugs")]
    bits: u8,
}

impl Planted {
    /// Whether a bug is planted.
    #[cfg(feature = "planted-bugs")]
    pub const fn has(self, bug: Bug) -> bool {
        self.bits & (1 << bug as u8) != 0
    }

    /// Whether a bug is planted: never.
    #[cfg(not(feature = "planted-bugs"))]
    pub const fn has(self, _bug: Bug) -> bool {
        false
    }

    /// Plants one more.
    #[cfg(feature = "planted-bugs")]
    #[must_use]
    pub const fn with(self, bug: Bug) -> Self {
        Self { bits: self.bits | 1 << bug as u8 }
    }
}
