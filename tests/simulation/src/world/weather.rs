//! How likely which fault of the store is.

/// Probabilities of faults, each for one request.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// A PUT is applied, but its answer is lost: the sender waits until its time-out.
    pub(crate) put_answer_lost: f64,
    /// A PUT is applied, but answered with a 503.
    pub(crate) put_applied_then_error: f64,
    /// A request is answered with a 503 and not applied.
    pub(crate) refused: f64,
    /// A PUT is answered with an error, or not at all, and applied much later.
    pub(crate) put_late: f64,
    /// A PUT is applied, and a second copy of it comes much later.
    pub(crate) put_doubled: f64,
    /// A PUT is answered 409.
    pub(crate) put_conflict: f64,
    /// A request takes seconds.
    pub(crate) slow: f64,
    /// The answer to a read is not delivered.
    pub(crate) read_answer_lost: f64,
    /// A new connection must be made before the request leaves.
    pub(crate) connect: f64,
    /// The longest that a late copy stays on its way, in seconds.
    pub(crate) late_max_s: u64,
    /// Every PUT of a commit is on its way for so many seconds: from, to.
    pub(crate) commits_held_s: Option<(u64, u64)>,
    /// The median latency, in microseconds.
    pub(crate) median_us: u64,
}

impl Weather {
    /// Hardly any fault.
    pub(crate) fn calm() -> Self {
        Self {
            put_answer_lost: 0.0,
            put_applied_then_error: 0.0,
            refused: 0.0,
            put_late: 0.0,
            put_doubled: 0.0,
            put_conflict: 0.0,
            slow: 0.005,
            read_answer_lost: 0.0,
            connect: 0.05,
            late_max_s: 1,
            commits_held_s: None,
            median_us: 15_000,
        }
    }

    /// Many.
    pub(crate) fn stormy() -> Self {
        Self {
            put_answer_lost: 0.06,
            put_applied_then_error: 0.06,
            refused: 0.06,
            put_late: 0.08,
            put_doubled: 0.10,
            put_conflict: 0.06,
            slow: 0.04,
            read_answer_lost: 0.02,
            connect: 0.2,
            late_max_s: 3 * 86_400,
            commits_held_s: None,
            median_us: 20_000,
        }
    }
}
