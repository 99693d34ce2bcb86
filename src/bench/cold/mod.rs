//! Cold starts after lives of different lengths: ready time, state, checkpoint, pages, requests.
//!
//! [`synthetic`] writes the logs. They are longer than asked for by [`synthetic::WARM_UP_SLOTS`], so that slots, offsets and
//! sequences take as many bytes in all of them: a number grows by a byte each 128-fold, and that is not the growth looked for.

mod synthetic;

use std::time::Duration;

use frazil_log::commit::replica::Replica;
use frazil_log::env::Env;
use frazil_log::format::checkpoint::PageRef;
use frazil_log::id::{Name, Slot};
use frazil_log::protocol::Protocol;
use frazil_log::store::Store;
use serde::Serialize;
use tokio::time::Instant;

pub(crate) use self::synthetic::SLOTS_MAX;

/// A start takes less.
pub(crate) const READY_MAX: Duration = Duration::from_secs(1);

/// A checkpoint grows by no more for each sixteenfold of history.
pub(crate) const GROWTH_BYTES_MAX: u64 = 4_096;

/// What was measured of one log.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    /// Where it lay.
    pub(crate) store: String,
    /// How many slots were asked for.
    pub(crate) slots: Slot,
    /// Where the log ended.
    pub(crate) tail: Slot,
    /// How long opening took.
    pub(crate) ready_seconds: f64,
    /// Requests sent meanwhile.
    pub(crate) requests: u64,
    /// Bytes of the newest checkpoint's state.
    pub(crate) state_bytes: u64,
    /// Bytes of the newest checkpoint.
    pub(crate) checkpoint_bytes: u64,
    /// Index pages that it lists.
    pub(crate) pages: usize,
    /// The slots that are kept.
    pub(crate) slots_kept: u64,
    /// How long writing the log took.
    pub(crate) written_in_seconds: f64,
}

/// What a log left in its store.
#[derive(Clone, Debug)]
struct Written {
    tail: Slot,
    log_hash: u128,
    state_bytes: u64,
    checkpoint_bytes: u64,
    pages: Vec<PageRef>,
    slots_kept: u64,
}

/// Writes a log of so many slots into a store, starts on it, and removes it.
pub(crate) async fn measure(store: &Store, slots: Slot) -> anyhow::Result<Measured> {
    let env = Env::system();
    let database = super::fresh_database("cold", env.ulid())?;
    let measured = measure_in(store, &database, &env, slots).await;
    let removed = super::remove(store, &database).await;
    let measured = measured?;
    removed?;
    Ok(measured)
}

async fn measure_in(store: &Store, database: &Name, env: &Env, slots: Slot) -> anyhow::Result<Measured> {
    let begun = Instant::now();
    let written = synthetic::write(store, database, slots).await?;
    let written_in = begun.elapsed();
    let (requests, begun) = (store.metrics().requests_total(), Instant::now());
    let replica = Replica::open(store.clone(), database.clone(), env.clone(), Protocol::SHIPPED).await?;
    let ready = begun.elapsed();
    let requests = store.metrics().requests_total() - requests;
    let folded = replica.fold().folded();
    anyhow::ensure!(
        folded == (written.tail, written.log_hash),
        "the start folded to slot {}, log hash {:032x}; the log ends at {}, {:032x}",
        folded.0,
        folded.1,
        written.tail,
        written.log_hash
    );
    Ok(Measured {
        store: store.description().to_owned(),
        slots,
        tail: written.tail,
        ready_seconds: ready.as_secs_f64(),
        requests,
        state_bytes: written.state_bytes,
        checkpoint_bytes: written.checkpoint_bytes,
        pages: written.pages.len(),
        slots_kept: written.slots_kept,
        written_in_seconds: written_in.as_secs_f64(),
    })
}

/// What of A17's targets is missed, in words.
pub(crate) fn missed(measured: &[Measured]) -> Vec<String> {
    let mut missed = Vec::new();
    for one in measured {
        if one.ready_seconds >= READY_MAX.as_secs_f64() {
            missed.push(format!("{} slots: ready in {:.2} s, not below 1 s", one.slots, one.ready_seconds));
        }
    }
    for pair in measured.windows(2) {
        let (small, large) = (&pair[0], &pair[1]);
        if small.state_bytes != large.state_bytes {
            let (few, many) = (small.state_bytes, large.state_bytes);
            missed.push(format!(
                "state: {few} bytes after {} slots, {many} after {}",
                small.slots, large.slots
            ));
        }
        let allowed = growth_allowed(small.slots, large.slots);
        if large.checkpoint_bytes > small.checkpoint_bytes.saturating_add(allowed) {
            let (few, many) = (small.checkpoint_bytes, large.checkpoint_bytes);
            missed.push(format!(
                "checkpoint: {few} bytes after {} slots, {many} after {}",
                small.slots, large.slots
            ));
        }
    }
    missed
}

/// How many bytes a checkpoint may grow by between two lengths of history.
fn growth_allowed(from: Slot, to: Slot) -> u64 {
    let (mut reached, mut allowed) = (from.max(1), 0u64);
    while reached < to {
        reached = reached.saturating_mul(16);
        allowed += GROWTH_BYTES_MAX;
    }
    allowed
}

#[cfg(test)]
mod tests {
    use frazil_log::store::StoreOptions;

    use super::*;

    fn measured(slots: Slot, ready: f64, state: u64, checkpoint: u64) -> Measured {
        Measured {
            store: String::new(),
            slots,
            tail: slots,
            ready_seconds: ready,
            requests: 0,
            state_bytes: state,
            checkpoint_bytes: checkpoint,
            pages: 0,
            slots_kept: 0,
            written_in_seconds: 0.0,
        }
    }

    #[test]
    fn each_target_that_is_missed_is_named() {
        let met = [measured(1_000, 0.1, 50, 100), measured(10_000, 0.9, 50, 4_000)];
        assert_eq!(missed(&met), Vec::<String>::new());
        for (worse, word) in [
            (measured(10_000, 1.0, 50, 100), "ready"),
            (measured(10_000, 0.1, 51, 100), "state"),
            (measured(10_000, 0.1, 50, 4_197), "checkpoint"),
        ] {
            let missed = missed(&[met[0].clone(), worse]);
            assert!(missed.len() == 1 && missed[0].contains(word), "{missed:?}");
        }
        assert_eq!(growth_allowed(10_000, 1_000_000), 8_192);
    }

    #[tokio::test]
    async fn a_short_life_and_one_twice_as_long_have_the_same_state() {
        let mut all = Vec::new();
        for slots in [1_000, 4_000] {
            let store = Store::open("memory://", &StoreOptions::default()).unwrap();
            all.push(measure(&store, slots).await.unwrap());
        }
        assert_eq!(all[0].state_bytes, all[1].state_bytes);
        assert!(all[0].pages < 30, "pages are merged: {}", all[0].pages);
        assert!(all[0].slots_kept < 2_000, "the rest is trimmed: {}", all[0].slots_kept);
    }
}
