//! What to think of what was seen. PURE.
//!
//! Invariants: each finding says what is so, and each that is not `ok` also what to do about it; what could not be looked at is
//! never said to be good.
//!
//! Start reading at [`judge`].

mod access;
mod lifecycle;
mod permissions;
mod settings;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub(crate) use access::without_credentials;
pub(crate) use lifecycle::judge as judge_lifecycle;

use super::facts::Facts;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// Frazil runs, and something will cost money, room or sleep; or it could not be looked at.
    Warn,
    /// A gateway would refuse to start, or rows would be lost.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at: a word, or a permission's name.
    pub(crate) check: String,
    /// How bad it is.
    pub(crate) level: Level,
    /// What is so.
    pub(crate) says: String,
    /// What to do; a sentence, a command, a policy's statement.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub(crate) todo: Option<String>,
}

impl Finding {
    /// Good.
    pub(crate) fn ok(check: &str, says: impl Into<String>) -> Self {
        Self { check: check.to_owned(), level: Level::Ok, says: says.into(), todo: None }
    }

    /// Goes, with a remark.
    pub(crate) fn warn(check: &str, says: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { check: check.to_owned(), level: Level::Warn, says: says.into(), todo: Some(todo.into()) }
    }

    /// Does not go.
    pub(crate) fn fail(check: &str, says: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { check: check.to_owned(), level: Level::Fail, says: says.into(), todo: Some(todo.into()) }
    }
}

/// All findings about a bucket.
pub(crate) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = access::judge(facts);
    let Some(asked) = &facts.asked else { return findings };
    findings.extend(permissions::judge(facts, asked));
    findings.extend(settings::judge(&facts.place, asked));
    findings.extend(lifecycle::judge(&facts.place, &asked.settings.lifecycle));
    findings
}
