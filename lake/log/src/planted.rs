//! Bugs that the simulation plants to show that it would find them. In a shipped binary every question is answered `false` at
//! compile time.

/// A rule switched off; named after the traces of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// Rule 1 off: the fold does not remember names (A-x1, A-x4; with [`Bug::GiveUpUnknown`] A-x6).
    NamesOff,
    /// Rule 6 off: a slot whose fate is unknown is given up and its proposals go into the next (A-x6).
    GiveUpUnknown,
    /// Rule 1 off: names are forgotten after the window, but old proposals are still taken (W-x1).
    NoBaseCheck,
    /// Rule 3 off: a sequence at or below the last is a duplicate, any higher one is taken (A-x2, A-x2b, A-x2c).
    NoGapCheck,
    /// Rule 3 off: a refusal does not use up the sequence (A-x3).
    RefusalKeepsSequence,
    /// Rule 3 off: sequences are counted per bucket (A-x5).
    SequencePerBucket,
    /// Rule 6 off: a slot is acknowledged as soon as its own PUT is Committed (A-x7).
    AckPastHole,
    /// Rule 10 off: a 404 is the tail, a Committed is Committed (T-x1).
    NoProof,
    /// Rule 10 off: the age is checked before the PUT is sent, not after its answer (T-x2).
    AgeCheckedBeforeSend,
    /// Rule 10 off: an old observation is compared with the oldest slot kept, not with the checkpoints (T-x3).
    OldestKeptIsProof,
    /// Rule 11 off: the age that counts is the slot's, not the checkpoint's (T-x4).
    SlotAgeForTrim,
    /// Rule 10 off: reading a present slot counts as a proof (T-x5).
    PresentIsProof,
    /// Rule 10 off: the age is counted from the sending of the PUT, not from the proof (T-x6).
    AgeFromSend,
    /// Rule 10's assumption off: the stopwatch stands still while the process is paused (T-x7).
    StopwatchStalls,
    /// Rule 11 off: slots are deleted before the checkpoint is durable (T-x8).
    TrimBeforeCheckpoint,
    /// Rule 12 off: an unreferenced segment is swept by age (W-x2).
    SweepByAge,
    /// Rule 5 off for hedges: the second copy of a PUT has a put_id of its own (with [`Bug::NamesOff`] H-x1).
    HedgeNewPutId,
    /// Rule 5 off for hedges: the second copy's 412 is a lost slot, unread (with [`Bug::NamesOff`] H-x2).
    HedgeLostIsLost,
    /// Rule 1 off: what the leader accepted is answered before it is folded (P-x1).
    AckFromAccept,
    /// Rule 1 off: what was handed over and is written here after all gets another name (P-x2).
    RenameHandedOver,
    /// Rule 10 off: a slot that another node pushed counts as a proof (P-x3).
    PushIsProof,
    /// Rule 6 off: a slot is pushed when its PUT leaves, not when it is folded (P-x4).
    PushBeforeFolded,
    /// The cache remembers a 404 (C-a).
    CacheAbsence,
    /// The cache takes what came of an object for all of it (C-l).
    CacheLength,
    /// Rule 7 off: a table is altered whatever it has become meanwhile (S-x1).
    AlterUnversioned,
    /// Rule 7 off: rows expire wherever the bucket begins meanwhile (S-x2).
    ExpiryUnconditional,
    /// Rule 2 off: a proposal that is refused keeps the entries before the refused one (G-x1).
    PartsApplied,
    /// The expected position of a group is not compared (G-x2).
    ExpectedPositionOff,
    /// Rule 7 off: a group takes writes of an earlier group of its name (G-x3).
    GenerationOff,
}

/// The set of planted bugs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planted {
    #[cfg(feature = "planted-bugs")]
    bits: u32,
}

impl Planted {
    /// No bug: the only value in a shipped binary.
    pub const NONE: Self = Self {
        #[cfg(feature = "planted-bugs")]
        bits: 0,
    };

    /// Whether a bug is planted.
    #[cfg(feature = "planted-bugs")]
    pub const fn has(self, bug: Bug) -> bool {
        self.bits & (1 << bug as u32) != 0
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
        Self { bits: self.bits | 1 << bug as u32 }
    }
}
