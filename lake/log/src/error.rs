//! One error type for the crate. The kind says what the caller can do about it; outcomes of races are not errors.

use std::fmt;

/// What the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The input is wrong: change it.
    Invalid,
    /// The thing named is not there.
    NotFound,
    /// The store is slow, down or overloaded: the same call may succeed later.
    Unavailable,
    /// The store refused for want of permission: an operator must act.
    Denied,
    /// Bytes are not what was written: an operator must act. The message names object, range, expected, found.
    Corrupt,
    /// The bytes or the request are of a kind that this version does not know: upgrade, or do not ask.
    Unsupported,
    /// What the caller held is no longer in the log (trimmed): pin again from the newest state.
    Stale,
    /// This node's fold differs from another's: one of the two is wrong, and this one stops (rule 9).
    Diverged,
    /// An invariant of this program does not hold: a bug.
    Internal,
}

/// An error: kind, message, context from inside out, and the source kept.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    context: Vec<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of a kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), context: Vec::new(), source: None }
    }

    /// Wrong input.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// Bytes that are not what was written.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// Something that this version does not know.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// A broken invariant of this program.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Adds what was being done.
    #[must_use]
    pub fn context(mut self, doing: impl Into<String>) -> Self {
        self.context.push(doing.into());
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message without its context.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable | ErrorKind::Stale)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for doing in self.context.iter().rev() {
            write!(f, "{doing}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

/// Adds context to a result on its way up.
pub trait ResultExt<T> {
    /// Says what was being done when it failed; evaluated only then.
    fn context(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T> ResultExt<T> for Result<T> {
    fn context(self, doing: impl FnOnce() -> String) -> Self {
        self.map_err(|error| error.context(doing()))
    }
}
