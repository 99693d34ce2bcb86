//! Where in the file a refused row stands.

use std::fmt::Write;

use super::input::Batch;
use crate::client::{Failure, Problem};

/// The most row errors that are printed.
const ROWS_SHOWN: usize = 10;

/// A refusal in the words of the file: its lines or rows in place of the request's.
pub(super) fn explain(name: &str, batch: &Batch, failure: &Failure) -> String {
    match failure.problem() {
        Some(problem) if !problem.errors.is_empty() => rows(name, batch, problem),
        Some(problem) if problem.slug() == "malformed" => syntax(name, batch, problem),
        _ => failure.to_string(),
    }
}

fn rows(name: &str, batch: &Batch, problem: &Problem) -> String {
    let mut text = String::new();
    for error in problem.errors.iter().take(ROWS_SHOWN) {
        let column = error.column.as_ref().map(|column| format!(", column {column:?}")).unwrap_or_default();
        let separator = if text.is_empty() { "" } else { "\n  " };
        let place = place(name, batch, error.row);
        write!(text, "{separator}{place}{column}: expected {}, found {}", error.expected, error.found)
            .expect("writing to a string cannot fail");
    }
    let total = problem.errors_total.unwrap_or(0).max(problem.errors.len() as u64);
    let more = total.saturating_sub(problem.errors.len().min(ROWS_SHOWN) as u64);
    if more > 0 {
        write!(text, "\n  and {more} more in this batch").expect("writing to a string cannot fail");
    }
    text
}

/// Broken JSON: the gateway names a line of the body.
fn syntax(name: &str, batch: &Batch, problem: &Problem) -> String {
    let (Some(first), Some(line)) = (batch.first_line, problem.number("line")) else {
        return format!("{}: {}", place(name, batch, 0), problem.detail);
    };
    let column = problem.number("column").unwrap_or(1);
    let detail = problem.detail.strip_prefix(&format!("line {line}, column {column}: "));
    let detail = detail.unwrap_or(&problem.detail);
    format!("{name} line {}, column {column}: {detail}", first.saturating_add(line).saturating_sub(1))
}

/// The line of a row, or its number where rows are no lines.
fn place(name: &str, batch: &Batch, row: u64) -> String {
    match line_of(batch, row) {
        Some(line) => format!("{name} line {line}"),
        None => format!("{name} row {}", batch.first_row.saturating_add(row)),
    }
}

/// The line of the file that a row of a batch stands on: blank lines are lines, but no rows.
fn line_of(batch: &Batch, row: u64) -> Option<u64> {
    let first = batch.first_line?;
    let lines = batch.body.split(|byte| *byte == b'\n').zip(first..);
    let mut rows = lines.filter(|(line, _)| !line.trim_ascii().is_empty());
    rows.nth(usize::try_from(row).ok()?).map(|(_, number)| number)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::super::Format;
    use super::*;

    fn batch(first_line: Option<u64>) -> Batch {
        let format = if first_line.is_some() { Format::Ndjson } else { Format::Json };
        let body = Bytes::from_static(b"{}\n\n{}\r\n  \r\n{}\n");
        Batch { format, body, rows: 3, first_row: 500, first_line }
    }

    fn refused(problem: serde_json::Value) -> Failure {
        Failure::Refused(Box::new(serde_json::from_value(problem).unwrap()))
    }

    #[test]
    fn blank_lines_count_as_lines() {
        let batch = batch(Some(1001));
        let lines: Vec<_> = (0..4).map(|row| line_of(&batch, row)).collect();
        assert_eq!(lines, [Some(1001), Some(1003), Some(1005), None]);
    }

    #[test]
    fn a_refused_row_is_named_by_its_line() {
        let failure = refused(
            json!({"type": "/errors/invalid-rows", "detail": "row 2 …", "errors_total": 3, "errors": [
            {"row": 1, "column": "id", "expected": "BIGINT", "found": "\"x\""},
            {"row": 2, "expected": "an object", "found": "7"}]}),
        );
        assert_eq!(
            explain("f.ndjson", &batch(Some(11)), &failure),
            "f.ndjson line 13, column \"id\": expected BIGINT, found \"x\"\n  \
             f.ndjson line 15: expected an object, found 7\n  and 1 more in this batch"
        );
        assert!(explain("f.json", &batch(None), &failure).starts_with("f.json row 501, column \"id\""));
    }

    #[test]
    fn broken_json_is_named_by_its_line() {
        let failure = refused(json!({"type": "/errors/malformed", "line": 3, "column": 7,
            "detail": "line 3, column 7: expected a value"}));
        assert_eq!(explain("f", &batch(Some(11)), &failure), "f line 13, column 7: expected a value");
        let failure = refused(json!({"type": "/errors/malformed", "detail": "the body is not UTF-8"}));
        assert_eq!(explain("f", &batch(None), &failure), "f row 500: the body is not UTF-8");
    }

    #[test]
    fn other_failures_are_told_as_they_are() {
        let failure = refused(json!({"type": "/errors/no-such-table", "detail": "there is no table x"}));
        assert!(explain("f", &batch(None), &failure).starts_with("there is no table x"));
    }
}
