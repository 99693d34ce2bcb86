//! The one primitive: create-if-absent.
//!
//! **Ambiguity trap.** A conditional PUT that is sent again after a 5xx or a lost answer meets its own first copy and
//! comes back as "already exists": the client would report a lost race that it has won. `object_store` does just that by
//! default, so stores are opened with its retries off, and here a PUT is repeated only after a 409, which says that this
//! copy wrote nothing. Everything unclear is [`CreateOutcome::Unknown`]; the committer reads the object, and its put_id
//! tells (rule 5).

use std::fmt;
use std::time::Duration;

use object_store::path::Path;
use object_store::{PutMode, PutOptions, PutPayload};

use super::Store;
use super::failure::{Action, failure, wrote_nothing};
use super::retry::no_answer;
use super::wire::Answer;
use crate::error::{Error, ErrorKind};

/// What became of a PUT with `If-None-Match: *`.
#[derive(Debug)]
pub enum CreateOutcome {
    /// The object is durable, and it is this one.
    Committed,
    /// The key was taken (412): read it, maybe it is ours.
    Lost,
    /// No answer, or one that says nothing: it may have been written, or still be. Read it. `Unavailable` mostly;
    /// `Denied` where a directory refused midway.
    Unknown(Error),
    /// Refused, and for certain nothing was written by this call. The error says what an operator must do: `Denied` for
    /// want of permission or of the bucket, `Unsupported` for a store that cannot do it, `Invalid` for a wrong region.
    Denied(Error),
}

/// What a fake store puts as the source of `AlreadyExists` to play S3's 409 "conflicting conditional request".
#[derive(Debug)]
pub struct ConflictingRequest;

impl fmt::Display for ConflictingRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("409: a conflicting conditional request is in progress")
    }
}

impl std::error::Error for ConflictingRequest {}

/// The pauses before a PUT that met a 409 is sent again.
const CONFLICT_PAUSES: [Duration; 4] = [
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(40),
    Duration::from_millis(80),
];

enum Attempt {
    Done(CreateOutcome),
    /// 409: nothing was written, because another request on the same key was under way.
    Conflict(object_store::Error),
}

impl Store {
    /// Writes an object if its key is free: one PUT, one more after each of at most four 409s. Waits at most the request
    /// timeout for each; dropping the future leaves the outcome unknown.
    pub async fn create_if_absent(&self, path: &Path, payload: PutPayload) -> CreateOutcome {
        let mut pauses = CONFLICT_PAUSES.iter();
        loop {
            match self.create_once(path, payload.clone()).await {
                Attempt::Done(outcome) => return outcome,
                Attempt::Conflict(error) => {
                    let Some(pause) = pauses.next() else {
                        let message = format!("PUT {path} met a conflicting request each time: {error}");
                        let error = Error::new(ErrorKind::Unavailable, message).with_source(error);
                        return CreateOutcome::Unknown(error);
                    };
                    tokio::time::sleep(*pause).await;
                }
            }
        }
    }

    async fn create_once(&self, path: &Path, payload: PutPayload) -> Attempt {
        let answer = Answer::default();
        let options =
            PutOptions { mode: PutMode::Create, extensions: answer.extensions(), ..PutOptions::default() };
        let put = self.objects.put_opts(path, payload, options);
        let Ok(result) = tokio::time::timeout(self.request_timeout, put).await else {
            let error = no_answer(self.request_timeout).context(format!("PUT {path}"));
            return Attempt::Done(CreateOutcome::Unknown(error));
        };
        match result {
            Ok(_) => Attempt::Done(CreateOutcome::Committed),
            Err(error) => after_error(path, answer.status(), error),
        }
    }
}

fn after_error(path: &Path, status: Option<u16>, error: object_store::Error) -> Attempt {
    match &error {
        object_store::Error::AlreadyExists { source, .. }
            if status == Some(409) || source.is::<ConflictingRequest>() =>
        {
            Attempt::Conflict(error)
        }
        object_store::Error::AlreadyExists { .. }
        | object_store::Error::Precondition { .. }
        | object_store::Error::NotModified { .. } => Attempt::Done(CreateOutcome::Lost),
        _ => {
            let for_certain = wrote_nothing(status, &error);
            let error = failure(Action::Put, path, status, error);
            let outcome = if for_certain { CreateOutcome::Denied } else { CreateOutcome::Unknown };
            Attempt::Done(outcome(error))
        }
    }
}
