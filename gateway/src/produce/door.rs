//! The door for sequences (rule 3): what the fold already knows of a producer is answered here, and a gap is refused here, before
//! anything is proposed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use frazil_log::commit::committer::Committer;
use frazil_log::commit::replica::Replica;
use frazil_log::format::commit::ProducerStamp;
use frazil_log::state::producers::Admission;
use frazil_log::state::verdict::{Fate, Refusal, Verdict};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::ingress::{Answer, Failure};

/// Which sequences are inside, by producer and epoch.
type Inside = BTreeMap<(String, u64), BTreeSet<u64>>;

/// The door of one ingress.
#[derive(Debug, Default)]
pub struct Door {
    inside: Arc<Mutex<Inside>>,
}

/// A sequence that is inside, until dropped.
#[derive(Debug)]
pub struct Seat {
    inside: Arc<Mutex<Inside>>,
    key: (String, u64),
    seq: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inside = self.inside.lock();
        if let Some(seqs) = inside.get_mut(&self.key) {
            seqs.remove(&self.seq);
            if seqs.is_empty() {
                inside.remove(&self.key);
            }
        }
    }
}

/// How often a waiting request looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The least and the most that a request waits for the one before it: one flush.
const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(2);

impl Door {
    /// Lets a request in, or answers it.
    pub async fn pass(
        &self,
        replica: &Replica,
        committer: &Committer,
        stamp: &ProducerStamp,
        request_hash: u128,
    ) -> Result<Seat, Result<Answer, Failure>> {
        let mut deadline = None;
        loop {
            let expected = match self.ask(replica, stamp, request_hash) {
                Ok(()) => break,
                Err(Ok(expected)) => expected,
                Err(Err(answer)) => return Err(answer),
            };
            match deadline {
                // What this gateway has not folded may hold the missing one.
                None => {
                    if let Err(error) = replica.confirm_tail().await {
                        return Err(Err(Failure::ReadOnly(error.to_string())));
                    }
                    let flush = committer.put_time(50).map_or(WAIT_MIN, |p50| p50 * 2);
                    deadline = Some(Instant::now() + flush.clamp(WAIT_MIN, WAIT_MAX));
                }
                Some(deadline) if Instant::now() >= deadline => return Err(Err(Failure::Gap { expected })),
                Some(_) => sleep(LOOK_AGAIN).await,
            }
        }
        Ok(self.seat(stamp))
    }

    /// `Err(Ok(expected))`: a gap as far as is known here.
    fn ask(
        &self,
        replica: &Replica,
        stamp: &ProducerStamp,
        request_hash: u128,
    ) -> Result<(), Result<u64, Result<Answer, Failure>>> {
        let admission = {
            let fold = replica.fold();
            fold.state.producers().admit(stamp, request_hash, fold.state.rules())
        };
        let expected = match admission {
            Admission::Take => return Ok(()),
            Admission::Answer(Fate::Gap { expected }) => expected,
            Admission::Answer(Fate::Forgotten) => return Err(Err(Ok(Answer::Forgotten))),
            Admission::Answer(Fate::Decided { verdict: Verdict::Accepted(acceptance), duplicate }) => {
                return Err(Err(Ok(Answer::Accepted { acceptance, duplicate })));
            }
            Admission::Answer(Fate::Decided {
                verdict: Verdict::Refused(Refusal::UnknownProducer), ..
            }) => 0,
            Admission::Answer(Fate::Decided { verdict: Verdict::Refused(refusal), .. }) => {
                return Err(Err(Err(Failure::Refused(refusal))));
            }
        };
        // What is inside here comes before: the fold will see them in order, or this one again.
        let inside = self.inside.lock();
        let ahead = inside.get(&(stamp.id.clone(), stamp.epoch));
        let all_inside =
            ahead.is_some_and(|seqs| seqs.range(expected..stamp.seq).count() as u64 == stamp.seq - expected);
        if all_inside { Ok(()) } else { Err(Ok(expected)) }
    }

    fn seat(&self, stamp: &ProducerStamp) -> Seat {
        let key = (stamp.id.clone(), stamp.epoch);
        self.inside.lock().entry(key.clone()).or_default().insert(stamp.seq);
        Seat { inside: Arc::clone(&self.inside), key, seq: stamp.seq }
    }
}
