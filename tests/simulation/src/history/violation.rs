//! What may never be.

use std::fmt;

/// The kinds of things that may never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A row is in the log twice.
    Doubled,
    /// An acknowledged row is not in the log.
    AckLost,
    /// An acknowledged row is in the log at other offsets.
    AckMoved,
    /// A refused or expired request is in the log.
    RefusedInLog,
    /// A producer's rows are not in its order.
    OutOfOrder,
    /// A strong read missed what was acknowledged before it.
    StaleRead,
    /// A row has offsets, but its bytes cannot be read.
    BytesGone,
    /// A node's fold is not the log's: it believed a ghost, or it folds differently.
    Diverged,
    /// The fold and the reference fold judge differently.
    ReferenceDiffers,
    /// A position was stored over another than the expected one, or a table altered that was something else by then.
    LostUpdate,
    /// Rows that were no longer kept are kept again.
    WentBack,
    /// A group took a write that was for an earlier group of its name.
    ForeignGeneration,
    /// A retry with the same bytes was called another request, or two tries got different answers.
    Contradiction,
    /// A node stopped with an error that no fault explains.
    Stopped,
    /// No progress although the faults have stopped.
    Stuck,
}

/// Something that may not be.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    /// Which kind.
    pub(crate) kind: Kind,
    /// What exactly.
    pub(crate) words: String,
    /// What the history around it looks like, where traces of one kind are told apart by it.
    pub(crate) shape: Option<Shape>,
}

/// How a sequence was lost to a later one that came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Its retry through another gateway went into the very slot of the later one (A-x2).
    RetryInOneSlot,
    /// Two gateways, no retry (A-x2b).
    TwoGateways,
    /// One gateway, several slots in flight, the first one lost to a competitor (A-x2c).
    SlotsAhead,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.words)
    }
}

impl Violation {
    /// A violation.
    pub(crate) fn new(kind: Kind, words: impl Into<String>) -> Self {
        Self { kind, words: words.into(), shape: None }
    }
}
