//! The table of problem kinds: what each is called, which codes it answers with, and what the caller does next.
//!
//! Invariants:
//! * a slug, once released, keeps its meaning and its status;
//! * [`TABLE`] has one row for each [`Kind`], in the enum's order (a test checks it).

/// What went wrong, as a program that calls us tells cases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Rows do not fit the table.
    InvalidRows,
    /// The request cannot be read.
    Malformed,
    /// No token, or the wrong one.
    Unauthenticated,
    /// The token does not allow it.
    Forbidden,
    /// No database of this name.
    NoSuchDatabase,
    /// No table of this name.
    NoSuchTable,
    /// The table has fewer buckets.
    NoSuchBucket,
    /// No group of this name.
    NoSuchGroup,
    /// No such URL.
    NoSuchRoute,
    /// The URL exists, the method does not.
    MethodNotAllowed,
    /// It exists, and differs.
    Exists,
    /// A database with tables is not dropped.
    NotEmpty,
    /// A newer run of the same producer has taken over.
    ProducerFenced,
    /// A sequence number is missing.
    SequenceGap,
    /// The same sequence number with other rows.
    SequenceConflict,
    /// The offsets are no longer kept.
    Trimmed,
    /// The tail is not where the writer thought.
    ExpectedOffset,
    /// The stored position is not what the writer thought.
    ExpectedPosition,
    /// The table's schema changed while the request was on its way.
    SchemaChanged,
    /// The body, or what it decodes to, is over the limit.
    TooLarge,
    /// A body in a format that is not known.
    UnsupportedMediaType,
    /// The position lies beyond the tail.
    BeyondTail,
    /// A table cannot be changed like that.
    IllegalChange,
    /// A parameter, option or verb that is not there yet.
    Unsupported,
    /// Too much at once.
    Overloaded,
    /// The object store cannot be written or read.
    StoreUnavailable,
    /// This process is stopping.
    Draining,
    /// The deadline came before the verdict.
    OutcomeUnknown,
    /// An object in the store is damaged.
    Corrupt,
    /// A bug.
    Internal,
}

/// Whether the rows of the request are in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was written.
    NotCommitted,
    /// It may have been written.
    Unknown,
    /// The request writes nothing by nature: the field is absent.
    None,
}

/// Whether the same request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It would fail again: change it first.
    Never,
    /// The same request, at once.
    Same,
    /// The same request, after a while (`Retry-After`).
    After,
}

/// The status codes of gRPC that problems map to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[expect(missing_docs, reason = "the names are gRPC's own")]
pub enum Grpc {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// The kind that the row is about.
    pub kind: Kind,
    /// Its name in `type`: `/errors/<slug>`.
    pub slug: &'static str,
    /// A few words for people; the same for each problem of the kind.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The gRPC status.
    pub grpc: Grpc,
    /// The outcome, unless the problem says otherwise.
    pub outcome: Outcome,
    /// The retry advice, unless the problem says otherwise.
    pub retry: Retry,
    /// `Retry-After` in seconds, for those with [`Retry::After`].
    pub retry_after_s: u32,
    /// What to do, in one sentence.
    pub advice: &'static str,
}

impl Outcome {
    /// The value of `outcome` in a problem, or nothing where it is left out.
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::NotCommitted => Some("not-committed"),
            Self::Unknown => Some("unknown"),
            Self::None => None,
        }
    }
}

impl Retry {
    /// The value of `retry` in a problem.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Same => "same",
            Self::After => "after",
        }
    }
}

impl Grpc {
    /// gRPC's own name of the code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::DataLoss => "DATA_LOSS",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}

impl Kind {
    /// The kind's row in the table.
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

/// All kinds, in the order of [`Kind`].
#[rustfmt::skip]
pub static TABLE: [Row; 30] = [
    Row { kind: Kind::InvalidRows, slug: "invalid-rows", title: "Rows do not fit the table", status: 422, grpc: Grpc::InvalidArgument,
        outcome: Outcome::NotCommitted, retry: Retry::Never, retry_after_s: 0,
        advice: "Correct the rows that `errors` names and send the whole request again; nothing of it was written." },
    Row { kind: Kind::Malformed, slug: "malformed", title: "The request cannot be read", status: 400, grpc: Grpc::InvalidArgument,
        outcome: Outcome::NotCommitted, retry: Retry::Never, retry_after_s: 0,
        advice: "Correct the request as `detail` says." },
    Row { kind: Kind::Unauthenticated, slug: "unauthenticated", title: "No valid token", status: 401, grpc: Grpc::Unauthenticated,
        outcome: Outcome::NotCommitted, retry: Retry::Never, retry_after_s: 0,
        advice: "Send `Authorization: Bearer <token>` with the token that the gateway was started with." },
    Row { kind: Kind::Forbidden, slug: "forbidden", title: "Not allowed", status: 403, grpc: Grpc::PermissionDenied,
        outcome: Outcome::NotCommitted, retry: Retry::Never, retry_after_s: 0,
        advice: "Use a token that allows it." },
    Row { kind: Kind::NoSuchDatabase, slug: "no-such-database", title: "No such database", status: 404, grpc: Grpc::NotFound,
        outcome: Outcome::NotCommitted, retry: Retry::Never, retry_after_s: 0,
        advice: "Check the name, or create the database: `PUT /v1/databases/{db}`." },
    Row { kind: Kind::NoSuchTable, slug: "no-such-table", title: "No such table", status: 404, grpc: Grpc::NotFound,
        outcome: Outcome::NotCommitted, retry: Retry::Never, retry_after_s: 0,
        advice: "Check the name, create the table (`PUT …/tables/{t}`), or produce with `create=true`." },
    Row { kind: Kind::NoSuchBucket, slug: "no-such-bucket", title: "No such bucket", status: 404, grpc: Grpc::NotFound,
        outcome: Outcome::NotCommitted, retry: Retry::Never, retry_after_s: 0,
        advice: "Use a bucket below the number of buckets that `GET …/tables/{t}` shows." },
    Row { kind: Kind::NoSuchGroup, slug: "no-such-group", title: "No such group", status: 404, grpc: Grpc::NotFound,
        outcome: Outcome::NotCommitted, retry: Retry::Never, retry_after_s: 0,
        advice: "Check the name, or store a position for the group first." },
    Row { kind: Kind::NoSuchRoute, slug: "no-such-route", title: "No such URL", status: 404, grpc: Grpc::Unimplemented,
        outcome: Outcome::None, retry: Retry::Never, retry_after_s: 0,
        advice: "Look the URL up in `/openapi.json`; `nearby` lists what is close to it." },
    Row { kind: Kind::MethodNotAllowed, slug: "method-not-allowed", title: "Method not allowed", status: 405, grpc: Grpc::Unimplemented,
        outcome: Outcome::None, retry: Retry::Never, retry_after_s: 0,
        advice: "Use one of the methods that the `Allow` header names." },
    Row { kind: Kind::Exists, slug: "exists", title: "It exists and differs", status: 409, grpc: Grpc::AlreadyExists,
        outcome: Outcome::NotCommitted, retry: Retry::Never, retry_after_s: 0,
        advice: "`detail` says what differs: ask for the same, or use another name." },
    Row { kind: Kind::NotEmpty, slug: "not-empty", title: "The database has tables", status: 409, grpc: Grpc::FailedPrecondition,
        outcome: Outcome::NotCommitted, retry: Retry::Never, retry_after_s: 0,
        advice: "Drop its tables first." },
    Row { kind: Kind::ProducerFenced, slug: "producer-fenced", title: "A newer epoch of this producer exists", status: 409, grpc: Grpc::FailedPrecondition,
        outcome: Outcome::NotCommitted, retry: Retry::Never, retry_after_s: 0,
        advice: "Stop: another run of this producer took over with a higher `Producer-Epoch`." },
    Row { kind: Kind::SequenceGap, slug: "sequence-gap", title: "A sequence number is missing", status: 409, grpc: Grpc::OutOfRange,
        outcome: Outcome::NotCommitted, retry: Retry::Never, retry_after_s: 0,
        advice: "Send the request with `Producer-Seq` = `expected` first." },
    Row { kind: Kind::SequenceConflict, slug: "sequence-conflict", title: "The sequence number was used for other rows", status: 409, grpc: Grpc::FailedPrecondition,
        outcome: Outcome::NotCommitted, retry: Retry::Never, retry_after_s: 0,
        advice: "A retry must send the same bytes; new rows take the next `Producer-Seq`." },
    Row { kind: Kind::Trimmed, slug: "trimmed", title: "The offsets are no longer kept", status: 410, grpc: Grpc::OutOfRange,
        outcome: Outcome::None, retry: Retry::Never, retry_after_s: 0,
        advice: "Go on from `earliest`, knowing that the rows before it are gone." },
    Row { kind: Kind::ExpectedOffset, slug: "expected-offset", title: "The tail is elsewhere", status: 412, grpc: Grpc::FailedPrecondition,
        outcome: Outcome::NotCommitted, retry: Retry::Never, retry_after_s: 0,
        advice: "Read up to `actual`, decide again, and send with the new `expected_offset`." },
    Row { kind: Kind::ExpectedPosition, slug: "expected-position", title: "The stored position is elsewhere", status: 412, grpc: Grpc::FailedPrecondition,
        outcome: Outcome::NotCommitted, retry: Retry::Never, retry_after_s: 0,
        advice: "Take up the work from `actual`: another worker has moved the position." },
    Row { kind: Kind::SchemaChanged, slug: "schema-changed", title: "The schema changed meanwhile", status: 412, grpc: Grpc::FailedPrecondition,
        outcome: Outcome::NotCommitted, retry: Retry::Same, retry_after_s: 0,
        advice: "If `retry` is `same`, send the same request again: it will be checked against the new schema. If it is `never`, what the request \
            names is over: describe the table; changes go with its new `If-Match`, rows under the next Producer-Seq." },
    Row { kind: Kind::TooLarge, slug: "too-large", title: "Too large", status: 413, grpc: Grpc::ResourceExhausted,
        outcome: Outcome::NotCommitted, retry: Retry::Never, retry_after_s: 0,
        advice: "Send fewer rows in a request; `detail` names the limit." },
    Row { kind: Kind::UnsupportedMediaType, slug: "unsupported-media-type", title: "Unknown body format", status: 415, grpc: Grpc::InvalidArgument,
        outcome: Outcome::NotCommitted, retry: Retry::Never, retry_after_s: 0,
        advice: "Send `application/json`, `application/x-ndjson` or `application/vnd.apache.arrow.stream`." },
    Row { kind: Kind::BeyondTail, slug: "beyond-tail", title: "The position lies beyond the tail", status: 416, grpc: Grpc::OutOfRange,
        outcome: Outcome::None, retry: Retry::Never, retry_after_s: 0,
        advice: "Use a position at or below `latest`; a position beyond it was never given out by this table." },
    Row { kind: Kind::IllegalChange, slug: "illegal-change", title: "The table cannot be changed like that", status: 422, grpc: Grpc::InvalidArgument,
        outcome: Outcome::NotCommitted, retry: Retry::Never, retry_after_s: 0,
        advice: "Leave out or change what `detail` names; none of the changes was made." },
    Row { kind: Kind::Unsupported, slug: "unsupported", title: "Not supported in this version", status: 422, grpc: Grpc::Unimplemented,
        outcome: Outcome::NotCommitted, retry: Retry::Never, retry_after_s: 0,
        advice: "Leave out what `detail` names; nothing is ignored silently." },
    Row { kind: Kind::Overloaded, slug: "overloaded", title: "Too much at once", status: 429, grpc: Grpc::ResourceExhausted,
        outcome: Outcome::NotCommitted, retry: Retry::After, retry_after_s: 1,
        advice: "Send the same request again after `Retry-After` seconds." },
    Row { kind: Kind::StoreUnavailable, slug: "store-unavailable", title: "The object store does not answer", status: 503, grpc: Grpc::Unavailable,
        outcome: Outcome::NotCommitted, retry: Retry::After, retry_after_s: 5,
        advice: "Send the same request again after `Retry-After` seconds; the operator runs `frazil status`." },
    Row { kind: Kind::Draining, slug: "draining", title: "This gateway is stopping", status: 503, grpc: Grpc::Unavailable,
        outcome: Outcome::NotCommitted, retry: Retry::After, retry_after_s: 1,
        advice: "Send the same request to another gateway, or again after `Retry-After` seconds." },
    Row { kind: Kind::OutcomeUnknown, slug: "outcome-unknown", title: "The outcome is not known", status: 504, grpc: Grpc::DeadlineExceeded,
        outcome: Outcome::Unknown, retry: Retry::Same, retry_after_s: 0,
        advice: "Repeat with the same Producer-Seq; without one, a repetition may write the rows twice." },
    Row { kind: Kind::Corrupt, slug: "corrupt", title: "Stored bytes are damaged", status: 500, grpc: Grpc::DataLoss,
        outcome: Outcome::None, retry: Retry::Never, retry_after_s: 0,
        advice: "The operator runs `frazil verify`; `detail` names the object and the bytes." },
    Row { kind: Kind::Internal, slug: "internal", title: "An error in the gateway", status: 500, grpc: Grpc::Internal,
        outcome: Outcome::Unknown, retry: Retry::Same, retry_after_s: 0,
        advice: "Report it with `request_id`; repeat with the same Producer-Seq." },
];

/// The whole table as the Markdown page `docs/errors.md`.
pub fn render_markdown() -> String {
    let mut page = String::from(
        "# Errors\n\n\
         Each answer that is not a success carries a problem (RFC 9457, `application/problem+json`): `type` is `/errors/` and the kind;\n\
         `outcome` says whether rows were written (`not-committed`, `unknown`), `retry` whether the same request may be sent again\n\
         (`never`, `same`, `after` the seconds of `Retry-After`). This page is generated from the table in `gateway/src/error/table.rs`.\n\n\
         | kind | HTTP | gRPC | outcome | retry | what to do |\n|---|---|---|---|---|---|\n",
    );
    for row in &TABLE {
        let retry = match row.retry {
            Retry::After => format!("after {} s", row.retry_after_s),
            retry => retry.as_str().to_owned(),
        };
        let outcome = row.outcome.as_str().unwrap_or("–");
        let line = format!(
            "| [`{slug}`](#{slug}) | {} | {} | {outcome} | {retry} | {} |\n",
            row.status,
            row.grpc.as_str(),
            row.advice,
            slug = row.slug,
        );
        page.push_str(&line);
    }
    for row in &TABLE {
        page.push_str(&format!("\n## {}\n\n{}. {}\n", row.slug, row.title, row.advice));
    }
    page
}
