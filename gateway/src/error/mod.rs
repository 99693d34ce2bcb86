//! Problems: the one shape in which every door says that something went wrong (RFC 9457).
//!
//! Invariants:
//! * a problem's kind is a row of [`table::TABLE`]; status, gRPC code, outcome and retry come from there;
//! * a problem never carries more than [`ROW_ERRORS_MAX`] row errors, and says how many there were;
//! * it says what to do next, or `retry` does.
//!
//! Start reading at [`Problem`]; the kinds are in [`table`].

pub mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;
use table::Retry;

pub use table::{Kind, Outcome};

/// The most row errors that one problem lists.
pub const ROW_ERRORS_MAX: usize = 100;

/// The longest `found` of a row error, in characters.
pub const FOUND_CHARS_MAX: usize = 80;

/// What is wrong with one value of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowErrorKind {
    /// A value of another type.
    WrongType,
    /// A required value is absent or null.
    Missing,
    /// The table has no such column.
    UnknownColumn,
    /// The type fits, the value does not.
    OutOfRange,
}

/// One value that does not fit the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowError {
    /// The row in the request, from 0.
    pub row: u64,
    /// The column, or nothing where the whole row is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What is wrong.
    pub kind: RowErrorKind,
    /// Where, as a JSON pointer into the array of rows: `/2/total`.
    pub pointer: String,
    /// What the table wants there.
    pub expected: String,
    /// What was there, shortened.
    pub found: String,
}

/// Something that went wrong, told to the client.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<RowError>,
    errors_total: u64,
    fields: Vec<(&'static str, Value)>,
    outcome: Outcome,
    retry: Retry,
    retry_after_s: u32,
    request_id: Option<String>,
}

impl Problem {
    /// A problem of a kind; `detail` says what happened this time.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let row = kind.row();
        Self {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            errors_total: 0,
            fields: Vec::new(),
            outcome: row.outcome,
            retry: row.retry,
            retry_after_s: row.retry_after_s,
            request_id: None,
        }
    }

    /// The request cannot be read.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Kind::Malformed, detail)
    }

    /// A parameter, option or verb that is not there yet.
    pub fn unsupported(detail: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, detail)
    }

    /// A broken invariant of this program.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(Kind::Internal, detail)
    }

    /// Rows that do not fit: the first [`ROW_ERRORS_MAX`] errors, and how many there were in all.
    pub fn invalid_rows(mut errors: Vec<RowError>, total: u64) -> Self {
        errors.truncate(ROW_ERRORS_MAX);
        let mut detail =
            errors.first().map_or_else(|| "rows do not fit the table".to_owned(), ToString::to_string);
        if total > 1 {
            detail.push_str(&format!(" (and {} more)", total - 1));
        }
        let mut problem = Self::new(Kind::InvalidRows, detail);
        problem.errors = errors;
        problem.errors_total = total;
        problem
    }

    /// Adds a member to the problem: `expected`, `actual`, `earliest`, …
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Says whether rows were written, where it differs from the table.
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Says that the same request would fail again, where the table says otherwise.
    #[must_use]
    pub fn with_retry_never(mut self) -> Self {
        self.retry = Retry::Never;
        self
    }

    /// Says when to come again, in seconds.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.retry = Retry::After;
        self.retry_after_s = seconds;
        self
    }

    /// Says which of a request's tables it is about; rows are found as in a JSON body: `/tables/orders/rows/2/total`.
    #[must_use]
    pub fn of_table(mut self, table: &str) -> Self {
        self.detail = format!("table {table}: {}", self.detail);
        for error in &mut self.errors {
            error.pointer = format!("/tables/{table}/rows{}", error.pointer);
        }
        if self.field("table").is_none() {
            self = self.with("table", table);
        }
        self
    }

    /// Names the request.
    #[must_use]
    pub fn with_request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(id.into());
        self
    }

    /// What went wrong, for programs.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What went wrong, for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The rows that do not fit, the first [`ROW_ERRORS_MAX`] of them.
    pub fn errors(&self) -> &[RowError] {
        &self.errors
    }

    /// How many values do not fit, also those not listed.
    pub fn errors_total(&self) -> u64 {
        self.errors_total
    }

    /// A member added by [`Problem::with`].
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// The problem as one line of JSON, without the line's end.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a problem has string keys and no failing values")
    }
}

impl Problem {
    /// The problem as JSON of at most so many bytes: with as many of its errors as fit, then with a detail that is cut.
    pub fn brief(&self, bytes_max: usize) -> String {
        let mut brief = self.clone();
        loop {
            let json = brief.to_json();
            if json.len() <= bytes_max {
                return json;
            }
            if !brief.errors.is_empty() {
                brief.errors.truncate(brief.errors.len() / 2);
            } else if !brief.fields.is_empty() {
                brief.fields.clear();
            } else if brief.detail.is_empty() {
                return json;
            } else {
                let half = brief.detail.chars().count() / 2;
                brief.detail = brief.detail.chars().take(half).collect();
            }
        }
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = self.kind.row();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", &format!("/errors/{}", row.slug))?;
        map.serialize_entry("title", row.title)?;
        map.serialize_entry("status", &row.status)?;
        map.serialize_entry("detail", &self.detail)?;
        if !self.errors.is_empty() {
            map.serialize_entry("errors", &self.errors)?;
            map.serialize_entry("errors_total", &self.errors_total)?;
        }
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        if let Some(outcome) = self.outcome.as_str() {
            map.serialize_entry("outcome", outcome)?;
        }
        map.serialize_entry("retry", self.retry.as_str())?;
        if let Some(id) = &self.request_id {
            map.serialize_entry("request_id", id)?;
        }
        map.end()
    }
}

impl IntoResponse for Problem {
    /// The problem stays in the response's extensions, so that the layer that knows the request's id can add it.
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.kind.row().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, self.to_json()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.retry == Retry::After {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after_s));
        }
        if self.kind == Kind::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(Value::String(encodings)) = self.field("accept_encoding")
            && let Ok(encodings) = HeaderValue::from_str(encodings)
        {
            headers.insert(header::ACCEPT_ENCODING, encodings);
        }
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.row().slug, self.detail)
    }
}

impl std::error::Error for Problem {}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {}", self.row)?;
        if let Some(column) = &self.column {
            write!(f, ", column {column:?}")?;
            let nested = self.pointer.splitn(4, '/').nth(3);
            if let Some(nested) = nested {
                write!(f, " at /{nested}")?;
            }
        }
        write!(f, ": expected {}, found {}", self.expected, self.found)
    }
}

impl From<frazil_log::Error> for Problem {
    fn from(error: frazil_log::Error) -> Self {
        use frazil_log::ErrorKind;
        let kind = match error.kind() {
            ErrorKind::Invalid => Kind::Malformed,
            ErrorKind::NotFound => Kind::NoSuchTable,
            ErrorKind::Unavailable | ErrorKind::Stale | ErrorKind::Denied => Kind::StoreUnavailable,
            ErrorKind::Corrupt => Kind::Corrupt,
            ErrorKind::Unsupported => Kind::Unsupported,
            ErrorKind::Internal | ErrorKind::Diverged => Kind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}
