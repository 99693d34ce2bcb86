//! How a process's memory is split. PURE; [`super::shares`] gives it out.
//!
//! Invariant: the shares, overridden ones too, are together at most `memory`, with a part left for the program itself.

use anyhow::ensure;
use bytesize::ByteSize;

/// The shares, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// All of it.
    pub memory: u64,
    /// Decoded rows that wait or fly, of all databases. What they are encoded to takes as much again.
    pub buffer: u64,
    /// Bodies that arrive.
    pub bodies: u64,
    /// Decoded rows of the newest slots, for all who follow.
    pub tail: u64,
    /// Objects that were read, kept in memory.
    pub cache: u64,
    /// Rows being read and sent.
    pub reads: u64,
    /// Followers' pages that wait for their clients.
    pub follows: u64,
    /// Index pages, of all databases.
    pub pages: u64,
}

/// Shares that a setting names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// See [`Budget::buffer`].
    pub buffer: Option<u64>,
    /// See [`Budget::bodies`].
    pub bodies: Option<u64>,
    /// See [`Budget::tail`].
    pub tail: Option<u64>,
    /// See [`Budget::cache`].
    pub cache: Option<u64>,
    /// See [`Budget::reads`].
    pub reads: Option<u64>,
}

/// The least memory that a process runs in.
pub const MEMORY_MIN: u64 = 64 << 20;

impl Budget {
    /// Splits the memory.
    ///
    /// # Errors
    /// If there is too little of it, or the shares that were named do not fit into it.
    pub fn split(memory: u64, named: &Overrides) -> anyhow::Result<Self> {
        ensure!(
            memory >= MEMORY_MIN,
            "memory is {}, but at least {} are needed",
            ByteSize(memory),
            ByteSize(MEMORY_MIN)
        );
        let part = |of_32: u64| memory / 32 * of_32;
        let budget = Self {
            memory,
            buffer: named.buffer.unwrap_or(part(6)),
            bodies: named.bodies.unwrap_or(part(4)),
            tail: named.tail.unwrap_or(part(4)),
            cache: named.cache.unwrap_or(part(4)),
            reads: named.reads.unwrap_or(part(3)),
            follows: part(1),
            pages: part(1),
        };
        ensure!(
            budget.rest().is_some(),
            "the shares of the memory are together {}, above memory, which is {}: raise memory, or lower one of {}",
            ByteSize(
                budget
                    .shares()
                    .map(|(_, bytes)| bytes)
                    .iter()
                    .fold(0, |sum: u64, bytes| sum.saturating_add(*bytes))
            ),
            ByteSize(memory),
            budget.words()
        );
        Ok(budget)
    }

    /// What is left for the program, its state and what the allocator does not give back.
    pub fn rest(&self) -> Option<u64> {
        self.shares().iter().try_fold(self.memory, |left, (_, bytes)| left.checked_sub(*bytes))
    }

    /// Each share by its name.
    pub fn shares(&self) -> [(&'static str, u64); 8] {
        [
            ("buffer", self.buffer),
            ("encoding", self.buffer),
            ("bodies", self.bodies),
            ("tail", self.tail),
            ("cache", self.cache),
            ("reads", self.reads),
            ("follows", self.follows),
            ("pages", self.pages),
        ]
    }

    /// For a banner.
    pub fn words(&self) -> String {
        let words = self.shares().map(|(name, bytes)| format!("{name} {}", ByteSize(bytes)));
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_gibibyte_is_split_as_the_page_of_settings_says() {
        let budget = Budget::split(1 << 30, &Overrides::default()).unwrap();
        let mib = |bytes: u64| bytes >> 20;
        let shares = budget.shares().map(|(_, bytes)| mib(bytes));
        assert_eq!(shares, [192, 192, 128, 128, 128, 96, 32, 32]);
        assert_eq!(budget.rest().map(mib), Some(96));
    }

    #[test]
    fn shares_that_do_not_fit_are_refused_with_all_of_them() {
        let named = Overrides { buffer: Some(600 << 20), ..Overrides::default() };
        let error = Budget::split(1 << 30, &named).unwrap_err().to_string();
        assert!(error.contains("buffer 600.0 MiB") && error.contains("raise memory"), "{error}");
        assert!(Budget::split(1 << 20, &Overrides::default()).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_fits(memory in MEMORY_MIN..1u64 << 40, buffer in prop::option::of(any::<u64>()), tail in prop::option::of(0u64..1 << 40)) {
            let named = Overrides { buffer, tail, ..Overrides::default() };
            if let Ok(budget) = Budget::split(memory, &named) {
                let sum: u64 = budget.shares().iter().map(|(_, bytes)| bytes).sum();
                prop_assert!(sum <= memory);
            }
        }
    }
}
