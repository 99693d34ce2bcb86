//! Findings for people and for programs.

use super::Report;
use crate::bucket::judge::{Finding, Level};
use crate::output::{self, harmless, print_json};
use crate::store_args::Output;

/// Prints a report.
pub(super) fn print(report: &Report, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Json => print_json(&serde_json::to_value(report)?)?,
        Output::Table => output::print(&for_people(report))?,
    }
    Ok(())
}

fn for_people(report: &Report) -> String {
    let mut text = String::new();
    let width = report.findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    for finding in &report.findings {
        push(finding, width, &mut text);
    }
    let count = |level| report.findings.iter().filter(|finding| finding.level == level).count();
    let last = match (count(Level::Fail), count(Level::Warn)) {
        (0, 0) => "nothing to do".to_owned(),
        (0, warnings) => format!("{warnings} to look at; a gateway can start here"),
        (failures, warnings) => format!("{failures} must be put right, {warnings} to look at"),
    };
    text.push_str(&format!("{}: {last}\n", report.store));
    text
}

fn push(finding: &Finding, width: usize, text: &mut String) {
    let level = match finding.level {
        Level::Ok => "ok  ",
        Level::Warn => "warn",
        Level::Fail => "FAIL",
    };
    text.push_str(&format!("{level}  {:width$}  {}\n", finding.check, harmless(&finding.says)));
    if let Some(todo) = &finding.todo {
        text.push_str(&format!("      → {}\n", harmless(todo)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_what_is_so_what_to_do_and_what_it_comes_to() {
        let findings = vec![
            Finding::ok("bucket", "answers"),
            Finding::fail("s3:PutObject", "denied\u{1b}[2J", "allow it"),
            Finding::warn("versioning", "on", "add a rule"),
        ];
        let report = Report { store: "s3://b".to_owned(), findings, ..Report::default() };
        let text = for_people(&report);
        assert!(text.contains("ok    bucket        answers\n"), "{text}");
        assert!(text.contains("FAIL  s3:PutObject  denied") && text.contains("      → allow it\n"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(text.ends_with("s3://b: 1 must be put right, 1 to look at\n"), "{text}");
    }
}
