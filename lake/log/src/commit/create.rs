//! Creating a database is winning slot 0 of its log.

use super::replica::read_commit;
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::format::commit::{CommitHeader, Proposal, WriterInfo};
use crate::format::entry::Entry;
use crate::id::{Name, ProposalName};
use crate::store::{CreateOutcome, PutPayload, Store, paths};

/// Whether a log was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// This call made it.
    Here,
    /// It was there.
    Before,
}

/// Creates the log of a database, if there is none.
///
/// # Errors
/// Those of the store; after `Unavailable` the log may exist: call again.
pub async fn create_log(store: &Store, database: &Name, env: &Env, writer: &WriterInfo) -> Result<Created> {
    let path = paths::log(database, 0);
    // A log that was trimmed has no slot 0: its checkpoints show it. (A log never starts again at 0.)
    if super::open::newest_checkpoint(store, database).await?.is_some() {
        return Ok(Created::Before);
    }
    if read_commit(store, &path, 0).await?.is_some() {
        return Ok(Created::Before);
    }
    let log_uuid = env.uuid();
    let home = store.home().unwrap_or_default();
    let entry = Entry::LogCreated { log_uuid, database: database.clone(), home };
    let name = ProposalName { incarnation: env.ulid(), n: 0 };
    let header = CommitHeader {
        slot: 0,
        log_uuid,
        put_id: env.ulid(),
        folded: (0, 0),
        time: env.now().wall,
        writer: writer.clone(),
        encryption_key_id: String::new(),
        segments: Vec::new(),
        slices: Vec::new(),
        proposals: vec![Proposal { name, base: 0, producer: None, request_hash: 0, entries: vec![entry] }],
    };
    let payload: PutPayload = header.seal(Vec::new())?.pieces().collect();
    match store.create_if_absent(&path, payload).await {
        CreateOutcome::Committed => Ok(Created::Here),
        CreateOutcome::Lost => Ok(Created::Before),
        CreateOutcome::Denied(error) => Err(error),
        CreateOutcome::Unknown(error) => match read_commit(store, &path, 0).await? {
            Some(found) if found.header.put_id == header.put_id => Ok(Created::Here),
            Some(_) => Ok(Created::Before),
            None => Err(Error::new(ErrorKind::Unavailable, format!("creating database {database}: {error}"))),
        },
    }
}
