//! When a read, a list or a delete is tried again: the one place. Commits never pass through here.
//!
//! Pauses double and have no jitter: the caller's rate is bounded elsewhere, and a simulation replays them exactly.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Result};

/// How often, and for how long altogether.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The most attempts, the first included.
    pub attempts_max: u32,
    /// The pause after the first attempt; each later one is twice as long.
    pub pause_first: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// The longest time from the first attempt's start until the last one's end.
    pub total_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 5,
            pause_first: Duration::from_millis(50),
            pause_max: Duration::from_secs(1),
            total_max: Duration::from_secs(20),
        }
    }
}

/// The attempts at one thing.
pub(super) struct Retry<'a> {
    policy: &'a RetryPolicy,
    attempts: u32,
    deadline: Instant,
}

impl<'a> Retry<'a> {
    pub(super) fn new(policy: &'a RetryPolicy) -> Self {
        Self { policy, attempts: 0, deadline: Instant::now() + policy.total_max }
    }

    /// Makes one attempt, which ends after `request_timeout` or at the deadline, whichever is first.
    pub(super) async fn attempt<T>(
        &self,
        request_timeout: Duration,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let end = self.deadline.min(Instant::now() + request_timeout);
        tokio::time::timeout_at(end, request).await.unwrap_or_else(|_elapsed| Err(no_answer(request_timeout)))
    }

    /// Whether to try again after `error`; pauses before it says yes.
    pub(super) async fn again(&mut self, error: &Error) -> bool {
        self.attempts += 1;
        if !error.is_retryable() || self.attempts >= self.policy.attempts_max {
            return false;
        }
        let doublings = (self.attempts - 1).min(20);
        let pause = self.policy.pause_first.saturating_mul(1 << doublings).min(self.policy.pause_max);
        if Instant::now() + pause >= self.deadline {
            return false;
        }
        tracing::debug!(%error, attempt = self.attempts, ?pause, "store request failed, trying again");
        tokio::time::sleep(pause).await;
        true
    }
}

/// The error for a request that was given up.
pub(super) fn no_answer(request_timeout: Duration) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the store did not answer within {request_timeout:?}"))
}
