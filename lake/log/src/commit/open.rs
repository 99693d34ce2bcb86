//! Cold start: the newest checkpoint that can be read; if there is none, slot 0.

use crate::commit::fold::Fold;
use crate::commit::replica::read_commit;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::format::checkpoint::Checkpoint;
use crate::id::{Name, Slot};
use crate::protocol::FoldRules;
use crate::state::State;
use crate::store::paths::{self, Key};
use crate::store::{Listed, Store};

/// The most checkpoints that are tried, newest first.
const CHECKPOINTS_TRIED_MAX: usize = 16;

/// The checkpoints, newest first, with the slot that each covers up to.
pub async fn checkpoints(store: &Store, database: &Name, limit: usize) -> Result<Vec<(Slot, Listed)>> {
    let listed = store.list(&paths::checkpoint_prefix(database), None, limit).await;
    let listed = listed.context(|| format!("listing the checkpoints of database {database}"))?;
    let slots = listed.into_iter().filter_map(|listed| match Key::parse(&listed.path) {
        Some(Key::Checkpoint { slot, .. }) => Some((slot, listed)),
        _ => None,
    });
    Ok(slots.collect())
}

/// The slot of the newest checkpoint.
pub async fn newest_checkpoint(store: &Store, database: &Name) -> Result<Option<Slot>> {
    Ok(checkpoints(store, database, 1).await?.first().map(|(slot, _)| *slot))
}

/// Reads and decodes one checkpoint.
pub async fn read_checkpoint(
    store: &Store,
    database: &Name,
    slot: Slot,
    rules: &FoldRules,
) -> Result<Option<Fold>> {
    let path = paths::checkpoint(database, slot);
    let Some(object) = store.get(&path).await? else { return Ok(None) };
    let checkpoint = Checkpoint::decode(path.as_ref(), &object.bytes, slot)?;
    let start = checkpoint.header.state_start(object.bytes.len() as u64);
    let state = State::decode(path.as_ref(), start, &checkpoint.state, rules.clone())?;
    if state.next() != slot
        || state.identity().uuid != checkpoint.header.log_uuid
        || state.identity().database != *database
    {
        return Err(Error::corrupt(format!(
            "{path}: expected the state of database {database} at slot {slot}, found {} at slot {}",
            state.identity().database,
            state.next()
        )));
    }
    Ok(Some(Fold::new(state, checkpoint.pages)))
}

/// How often the list of checkpoints is read again when all of it was trimmed away meanwhile.
const LISTS_TRIED_MAX: usize = 4;

/// The fold to begin with.
///
/// A checkpoint that cannot be read is passed over for an older one, and the slots after it are folded again: they are kept
/// for that. One that was deleted since the LIST says that there is a newer one, and of the older ones' slots nothing: the list is read
/// again. If none can be read and slot 0 is gone, the error names the newest.
pub(super) async fn load(store: &Store, database: &Name, rules: &FoldRules) -> Result<Fold> {
    let mut known: Option<Vec<Slot>> = None;
    for _ in 0..LISTS_TRIED_MAX {
        let listed: Vec<Slot> = checkpoints(store, database, CHECKPOINTS_TRIED_MAX)
            .await?
            .iter()
            .map(|(slot, _)| *slot)
            .collect();
        // The list is the same as before: what is not there now has not been deleted meanwhile.
        let settled = known.as_ref() == Some(&listed);
        let (mut first_error, mut vanished) = (None, false);
        for slot in &listed {
            let error = match read_checkpoint(store, database, *slot, rules).await {
                Ok(Some(fold)) => return Ok(fold),
                Ok(None) if settled => Error::corrupt(format!(
                    "checkpoint {slot} of database {database} is listed, but not there"
                )),
                Ok(None) => {
                    vanished = true;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => error,
                Err(error) => return Err(error),
            };
            tracing::warn!(%database, slot, %error, "a checkpoint cannot be read; trying the one before it");
            first_error.get_or_insert(error);
        }
        if !vanished {
            if let Some(fold) = begin(store, database, rules).await? {
                return Ok(fold);
            }
            if let Some(error) = first_error {
                return Err(error.context("no older checkpoint can be read, and the first slots are trimmed"));
            }
            // Nothing is there. A log that was trimmed between the LIST and the reads shows other checkpoints now.
            if settled {
                let nothing = format!("there is no database {database} in {}", store.description());
                return Err(Error::new(ErrorKind::NotFound, nothing));
            }
        }
        known = Some(listed);
    }
    let moving =
        format!("the checkpoints of database {database} were deleted each time before they could be read");
    Err(Error::new(ErrorKind::Unavailable, moving))
}

/// Folds slot 0, if it is there.
pub(super) async fn begin(store: &Store, database: &Name, rules: &FoldRules) -> Result<Option<Fold>> {
    let Some(commit) = read_commit(store, &paths::log(database, 0), 0).await? else { return Ok(None) };
    let (state, applied) = State::begin(&commit, rules.clone())?;
    let mut fold = Fold::new(state, Vec::new());
    fold.note(&commit, &applied, 0)?;
    Ok(Some(fold))
}
