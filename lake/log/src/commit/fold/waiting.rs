//! Who waits for the fate of a proposal. PURE, but for the channels.
//!
//! Invariants:
//! * whoever waits is told the first fate that the fold gives, once;
//! * whoever is told nothing (the answer is dropped) is told nothing for good: no verdict of that name will ever be known here, though
//!   it may have had one. As long as it may still come, it is waited for: nobody needs to write it again.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use crate::id::{ProposalName, Slot};
use crate::state::verdict::Fate;

/// The proposals whose fate somebody waits for.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    by_name: BTreeMap<ProposalName, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    base: Slot,
    answer: oneshot::Sender<Fate>,
}

impl Waiting {
    /// Waits for the fate of a proposal; at once if it has one.
    pub(crate) fn expect(
        &mut self,
        name: ProposalName,
        base: Slot,
        known: Option<&Fate>,
    ) -> oneshot::Receiver<Fate> {
        let (answer, answered) = oneshot::channel();
        match known {
            Some(fate) => drop(answer.send(fate.clone())),
            None => drop(self.by_name.insert(name, Waiter { base, answer })),
        }
        answered
    }

    /// Nobody waits any more.
    pub(crate) fn forget(&mut self, name: &ProposalName) {
        self.by_name.remove(name);
    }

    /// Whether somebody waits.
    pub(crate) fn awaits(&self, name: &ProposalName) -> bool {
        self.by_name.get(name).is_some_and(|waiter| !waiter.answer.is_closed())
    }

    /// A slot was folded.
    pub(crate) fn tell(&mut self, fates: Vec<(ProposalName, Fate)>) {
        for (name, fate) in fates {
            if let Some(waiter) = self.by_name.remove(&name) {
                drop(waiter.answer.send(fate));
            }
        }
    }

    /// The fold began again from a checkpoint, and passed over slots unseen. Whose name the state remembers is answered; whose name it
    /// may have forgotten is let go, which means *unknown*; the others have had no verdict yet.
    pub(crate) fn jumped<'a>(
        &mut self,
        known: impl Fn(&ProposalName) -> Option<&'a Fate>,
        is_expired: impl Fn(Slot) -> bool,
    ) {
        for (name, waiter) in std::mem::take(&mut self.by_name) {
            match known(&name) {
                Some(fate) => drop(waiter.answer.send(fate.clone())),
                None if is_expired(waiter.base) => {}
                None => drop(self.by_name.insert(name, waiter)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Ulid;

    fn name(n: u64) -> ProposalName {
        ProposalName { incarnation: Ulid::from(1u128), n }
    }

    #[test]
    fn a_fate_is_told_once_to_who_waits() {
        let mut waiting = Waiting::default();
        let mut early = waiting.expect(name(1), 0, None);
        let mut late = waiting.expect(name(2), 0, Some(&Fate::Forgotten));
        assert_eq!(late.try_recv(), Ok(Fate::Forgotten));
        assert!(waiting.awaits(&name(1)) && !waiting.awaits(&name(2)));
        waiting.tell(vec![
            (name(1), Fate::Gap { expected: 3 }),
            (name(1), Fate::Forgotten),
            (name(7), Fate::Forgotten),
        ]);
        assert_eq!(early.try_recv(), Ok(Fate::Gap { expected: 3 }));
        assert!(!waiting.awaits(&name(1)));
        let gone = waiting.expect(name(3), 0, None);
        drop(gone);
        assert!(!waiting.awaits(&name(3)));
    }

    #[test]
    fn after_a_jump_only_what_may_be_forgotten_is_let_go() {
        let mut waiting = Waiting::default();
        let mut known = waiting.expect(name(1), 1, None);
        let mut forgotten = waiting.expect(name(2), 1, None);
        let mut open = waiting.expect(name(3), 9, None);
        let fates = BTreeMap::from([(name(1), Fate::Forgotten)]);
        waiting.jumped(|name| fates.get(name), |base| base < 5);
        assert_eq!(known.try_recv(), Ok(Fate::Forgotten));
        assert_eq!(forgotten.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(open.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        assert!(
            waiting.awaits(&name(3)),
            "its copy is on its way: it is not written again, and not taken for decided"
        );
        waiting.tell(vec![(name(3), Fate::Forgotten)]);
        assert_eq!(open.try_recv(), Ok(Fate::Forgotten));
    }
}
