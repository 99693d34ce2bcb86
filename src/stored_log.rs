//! A log as it lies in a store, read without following it: one header, or the state at a slot.
//!
//! Invariant: nothing is written, and nothing is believed to be the tail: a hole ends a fold here, and the caller says so.

use anyhow::{Context, bail};
use frazil_log::commit::fold::Fold;
use frazil_log::commit::open::{checkpoints, read_checkpoint};
use frazil_log::format::commit::Commit;
use frazil_log::format::envelope::{Envelope, ObjectKind};
use frazil_log::id::{Name, Slot};
use frazil_log::protocol::FoldRules;
use frazil_log::state::{Applied, State};
use frazil_log::store::{Path, Store, paths};
use frazil_log::{Error, ErrorKind};
use futures::{StreamExt, stream};

/// The first bytes of a commit that are asked for.
const HEAD_BYTES: u64 = 64 << 10;

/// Requests under way at once.
pub(crate) const REQUESTS_MAX: usize = 8;

/// The most checkpoints that are looked at.
pub(crate) const CHECKPOINTS_MAX: usize = 1_000;

/// A commit's header, and the length of its object.
#[derive(Debug)]
pub(crate) struct Header {
    /// What it says.
    pub(crate) commit: Commit,
    /// Bytes of the object.
    pub(crate) object_bytes: u64,
}

/// Reads the header of a slot; `None` if it is absent.
pub(crate) async fn read_header(store: &Store, path: &Path, slot: Slot) -> Result<Option<Header>, Error> {
    let Some(head) = store.get_prefix(path, HEAD_BYTES).await? else { return Ok(None) };
    let envelope = Envelope::decode(path.as_ref(), &head.bytes, ObjectKind::Commit)?;
    let have = u64::try_from(head.bytes.len()).unwrap_or(u64::MAX);
    let mut bytes = head.bytes.to_vec();
    if have < envelope.body_start() && have < head.size {
        let rest = have..envelope.body_start();
        let Some(rest) = store.get_ranges(path, std::slice::from_ref(&rest)).await? else { return Ok(None) };
        rest.iter().for_each(|piece| bytes.extend_from_slice(piece));
    }
    let commit = Commit::decode(path.as_ref(), &bytes, slot)?;
    Ok(Some(Header { commit, object_bytes: head.size }))
}

/// Where a fold of the store begins.
#[derive(Debug)]
pub(crate) struct Begun {
    /// The fold.
    pub(crate) fold: Fold,
    /// Checkpoints that were passed over, and why.
    pub(crate) passed_over: Vec<Error>,
}

/// The newest state that is kept at or below `slot`: of a checkpoint, else slot 0.
pub(crate) async fn begin_at(
    store: &Store,
    database: &Name,
    slot: Slot,
    rules: &FoldRules,
) -> anyhow::Result<Begun> {
    let mut passed_over = Vec::new();
    let listed = checkpoints(store, database, CHECKPOINTS_MAX).await?;
    for (covered, _) in listed.iter().filter(|(covered, _)| *covered <= slot) {
        match read_checkpoint(store, database, *covered, rules).await {
            Ok(Some(fold)) => return Ok(Begun { fold, passed_over }),
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::Corrupt => passed_over.push(error),
            Err(error) => return Err(error.into()),
        }
    }
    match read_header(store, &paths::log(database, 0), 0).await? {
        Some(header) => {
            let (state, _) = State::begin(&header.commit, rules.clone())?;
            Ok(Begun { fold: Fold::new(state, Vec::new()), passed_over })
        }
        None if listed.is_empty() => bail!("there is no database {database} in {}", store.description()),
        None => match passed_over.into_iter().next() {
            Some(error) => {
                Err(error).context("no older checkpoint can be read, and the first slots are trimmed")
            }
            None => {
                bail!("the slots up to {slot} are trimmed: the oldest state that is kept is of a later slot")
            }
        },
    }
}

/// Folds on while `wanted` says so and the next slot is there; what the last folded slot brought, if one was folded.
pub(crate) async fn fold_while(
    store: &Store,
    database: &Name,
    fold: &mut Fold,
    wanted: impl Fn(Slot) -> bool,
) -> anyhow::Result<Option<Applied>> {
    let first = fold.state.next();
    let slots = stream::iter((first..).take_while(|slot| wanted(*slot)));
    let mut headers = slots
        .map(|slot| async move { read_header(store, &paths::log(database, slot), slot).await })
        .buffered(REQUESTS_MAX);
    let mut last = None;
    while let Some(header) = headers.next().await {
        let Some(header) = header? else { break };
        last = Some(fold.absorb(&header.commit)?);
        // Where rows lie is not asked here.
        fold.due.clear();
    }
    Ok(last)
}
