//! Who wants to hear of new slots: readers that wait, and requests that are with the leader.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A subscription outlives its last reader by so long: the next page of a follower, the next request of a producer.
pub const LINGER: Duration = Duration::from_secs(10);

/// What is wanted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing: nobody is asked anything.
    Nothing,
    /// Headers: verdicts come with them.
    Headers,
    /// Headers and rows.
    Rows,
}

/// Counts them. Cheap to ask.
#[derive(Debug, Default)]
pub struct Interest {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    readers: usize,
    read_at: Option<Instant>,
    handed_at: Option<Instant>,
}

/// A reader that waits; until it is dropped.
#[derive(Debug)]
pub struct Reader<'a>(&'a Interest);

impl Interest {
    /// Somebody begins to wait for rows.
    pub fn reader(&self) -> Reader<'_> {
        self.state.lock().readers += 1;
        self.changed.notify_one();
        Reader(self)
    }

    /// A request was given to the leader.
    pub fn handed_over(&self) {
        self.state.lock().handed_at = Some(Instant::now());
        self.changed.notify_one();
    }

    /// What is wanted now, or was a moment ago.
    pub fn wanted(&self) -> Wanted {
        let state = self.state.lock();
        let recent = |at: Option<Instant>| at.is_some_and(|at| at.elapsed() < LINGER);
        if state.readers > 0 || recent(state.read_at) {
            Wanted::Rows
        } else if recent(state.handed_at) {
            Wanted::Headers
        } else {
            Wanted::Nothing
        }
    }

    /// Waits until somebody comes.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.readers -= 1;
        state.read_at = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_wanted_ends_a_while_after_the_last_who_wanted_it() {
        let interest = Interest::default();
        assert_eq!(interest.wanted(), Wanted::Nothing);
        interest.handed_over();
        assert_eq!(interest.wanted(), Wanted::Headers);
        let reader = interest.reader();
        tokio::time::sleep(LINGER * 3).await;
        assert_eq!(interest.wanted(), Wanted::Rows);
        drop(reader);
        tokio::time::sleep(LINGER / 2).await;
        assert_eq!(interest.wanted(), Wanted::Rows);
        tokio::time::sleep(LINGER).await;
        assert_eq!(interest.wanted(), Wanted::Nothing);
    }
}
