//! What went wrong, told to a person: what happened, what is known of the outcome, what to do.

use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The most row errors that are printed; the gateway lists up to 100.
const ROW_ERRORS_SHOWN: usize = 10;

/// The most characters of an answer that is no problem.
const BODY_CHARS_SHOWN: usize = 200;

/// Why a request has no answer, or not the one that was asked for.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// Nothing listens there.
    Unreachable {
        /// The gateway's URL.
        url: String,
        /// What connecting came to.
        cause: String,
    },
    /// The connection was lost, or nothing came in time: the request may have been carried out.
    Lost {
        /// The gateway's URL.
        url: String,
        /// What happened to the connection.
        cause: String,
    },
    /// The gateway says no.
    Refused(Box<Problem>),
    /// The answer makes no sense.
    Strange(String),
}

/// A problem as RFC 9457 has it, with Frazil's members.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    /// `/errors/` and the kind.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) status: u16,
    pub(crate) detail: String,
    pub(crate) errors: Vec<RowError>,
    pub(crate) errors_total: Option<u64>,
    /// `not-committed` or `unknown`.
    pub(crate) outcome: Option<String>,
    /// `never`, `same` or `after`.
    pub(crate) retry: Option<String>,
    pub(crate) request_id: Option<String>,
    /// The header `Retry-After`.
    #[serde(skip)]
    pub(crate) retry_after: Option<Duration>,
    /// `expected`, `actual`, `earliest`, …
    #[serde(flatten)]
    pub(crate) more: Map<String, Value>,
}

/// What is wrong with one value.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct RowError {
    /// The row in the request, from 0.
    pub(crate) row: u64,
    pub(crate) column: Option<String>,
    pub(crate) pointer: String,
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl Failure {
    /// What a transport's error says, to its root.
    pub(crate) fn of_transport(url: &str, error: &reqwest::Error) -> Self {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let cause = if error.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() };
        let url = url.to_owned();
        if error.is_connect() { Self::Unreachable { url, cause } } else { Self::Lost { url, cause } }
    }

    /// The problem, if the gateway gave one.
    pub(crate) fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) => Some(problem),
            _ => None,
        }
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { url, cause } => {
                write!(f, "no gateway answers at {url} ({cause}); start one with `frazil dev`, or pass --url")
            }
            Self::Lost { url, cause } => write!(f, "the connection to {url} was lost: {cause}"),
            Self::Refused(problem) => problem.fmt(f),
            Self::Strange(what) => f.write_str(what),
        }
    }
}

impl Problem {
    /// The problem in an answer, or one made of an answer that carries none (a proxy's, for example).
    pub(crate) fn of_answer(
        status: StatusCode,
        retry_after: Option<Duration>,
        body: &[u8],
        place: &str,
    ) -> Self {
        let parsed: Option<Self> = serde_json::from_slice(body).ok();
        let mut problem = parsed.filter(|problem| !problem.detail.is_empty()).unwrap_or_else(|| {
            let text: String = String::from_utf8_lossy(body).trim().chars().take(BODY_CHARS_SHOWN).collect();
            let colon = if text.is_empty() { "" } else { ": " };
            Self { detail: format!("{place} was answered {status}{colon}{text}"), ..Self::default() }
        });
        problem.status = status.as_u16();
        problem.retry_after = retry_after;
        problem
    }

    /// The kind, as in docs/errors.md; empty if the answer carried no problem.
    pub(crate) fn slug(&self) -> &str {
        self.kind.rsplit('/').next().unwrap_or_default()
    }

    /// A member that is a number: `expected`, `line`, …
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.more.get(name).and_then(Value::as_u64)
    }

    /// What is known of the rows, and what to do.
    fn advice(&self) -> Option<String> {
        let to_do = match self.slug() {
            "unauthenticated" => "pass --token, or set FRAZIL_TOKEN".to_owned(),
            "no-such-table" => "`frazil table list` shows the tables that there are".to_owned(),
            "no-such-database" => "`frazil database list` shows the databases that there are".to_owned(),
            "corrupt" => "`frazil verify --store …` names each damaged object".to_owned(),
            _ => match (self.retry.as_deref(), self.retry_after) {
                (Some("same"), _) => "the same request may be sent again".to_owned(),
                (Some("after"), Some(after)) => format!("try again in {} s", after.as_secs()),
                (Some("after"), None) => "try again later".to_owned(),
                _ => String::new(),
            },
        };
        let known = match self.outcome.as_deref() {
            Some("not-committed") if !self.errors.is_empty() => "nothing of the request was written",
            Some("unknown") => "whether it was carried out is not known",
            _ => "",
        };
        let parts: Vec<&str> = [known, &to_do].into_iter().filter(|part| !part.is_empty()).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        if self.errors.len() > 1 {
            for error in self.errors.iter().take(ROW_ERRORS_SHOWN) {
                write!(f, "\n  {error}")?;
            }
            let total = self.errors_total.unwrap_or_default().max(self.errors.len() as u64);
            let shown = self.errors.len().min(ROW_ERRORS_SHOWN) as u64;
            if total > shown {
                write!(f, "\n  and {} more", total - shown)?;
            }
        }
        if let Some(advice) = self.advice() {
            write!(f, "\n{advice}")?;
        }
        if let (500.., Some(id)) = (self.status, &self.request_id) {
            write!(f, "\nrequest {id}")?;
        }
        Ok(())
    }
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {}", self.row)?;
        if let Some(column) = &self.column {
            write!(f, ", column {column:?}")?;
        }
        write!(f, ": expected {}, found {}", self.expected, self.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, body: &str) -> Problem {
        let status = StatusCode::from_u16(status).unwrap();
        Problem::of_answer(status, Some(Duration::from_secs(5)), body.as_bytes(), "GET /x")
    }

    #[test]
    fn the_detail_comes_first_then_the_rows_then_what_to_do() {
        let body = r#"{"type":"/errors/invalid-rows","status":422,"detail":"row 1 is wrong (and 1 more)","errors":[
            {"row":1,"column":"id","pointer":"/1/id","expected":"BIGINT","found":"\"x\""},
            {"row":4,"pointer":"/4","expected":"an object","found":"7"}],"errors_total":12,
            "outcome":"not-committed","retry":"never"}"#;
        let problem = problem(422, body);
        assert_eq!(problem.slug(), "invalid-rows");
        assert_eq!(
            problem.to_string(),
            "row 1 is wrong (and 1 more)\n  row 1, column \"id\": expected BIGINT, found \"x\"\n  \
             row 4: expected an object, found 7\n  and 10 more\nnothing of the request was written"
        );
    }

    #[test]
    fn an_unavailable_store_says_when_to_come_again() {
        let body = r#"{"type":"/errors/store-unavailable","detail":"the store does not answer","retry":"after",
            "outcome":"not-committed","request_id":"r1"}"#;
        let shown = problem(503, body).to_string();
        assert_eq!(shown, "the store does not answer\ntry again in 5 s\nrequest r1");
    }

    #[test]
    fn an_answer_without_a_problem_is_quoted() {
        let problem = problem(502, "<html>bad gateway</html>");
        assert_eq!((problem.slug(), problem.status), ("", 502));
        assert_eq!(problem.to_string(), "GET /x was answered 502 Bad Gateway: <html>bad gateway</html>");
        assert_eq!(self::problem(404, "").detail, "GET /x was answered 404 Not Found");
        assert_eq!(self::problem(500, "[1]").status, 500);
    }

    #[test]
    fn members_of_a_problem_are_kept() {
        let body = r#"{"type":"/errors/sequence-gap","detail":"a gap","expected":7}"#;
        assert_eq!(problem(409, body).number("expected"), Some(7));
    }
}
