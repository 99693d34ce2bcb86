//! Runs `tests/checker/check.py`, the sceptic's proof, beside a test's faults.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::process::Process;
use super::{repository, tool};

/// A running checker.
#[derive(Debug)]
pub(crate) struct Checker(Process);

impl Checker {
    /// Writes for `seconds` through `urls`, then verifies.
    pub(crate) fn start(urls: &[&str], seconds: u64, arguments: &[&str]) -> Self {
        Self::run(urls, &[&["--plain", "--seconds", &seconds.to_string()], arguments].concat())
    }

    /// Verifies what a journal says, through `urls`.
    pub(crate) fn verify(urls: &[&str], journal: &Path) -> Self {
        Self::run(urls, &["verify", "--journal", journal.to_str().expect("the path is UTF-8")])
    }

    fn run(urls: &[&str], arguments: &[&str]) -> Self {
        // Only writers by Flight need more than Python itself.
        let python = match arguments.contains(&"--flight") {
            true => tool("python/bin/python", "FRAZIL_PYTHON", "tests/tools/python.sh"),
            false => "python3".into(),
        };
        let mut command = Command::new(python);
        command
            .arg(repository("tests/checker/check.py"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env_remove("FRAZIL_TOKEN");
        command.args(arguments);
        for url in urls {
            command.args(["--url", url]);
        }
        Self(Process::start(&mut command))
    }

    /// Waits for the verdict, which must be good; the number of acked rows.
    pub(crate) async fn verdict(mut self, within: Duration) -> u64 {
        let code = self.0.wait(within).await;
        let output = self.0.stdout.text();
        let last = output.lines().last().unwrap_or("").to_owned();
        let rows = last.strip_prefix("acked ").and_then(|rest| rest.strip_suffix(" lost 0 doubled 0 gaps 0"));
        let rows = rows.and_then(|rows| rows.parse().ok());
        match (code, rows) {
            (Some(0), Some(rows)) => rows,
            _ => panic!("the checker's verdict (exit code {code:?}): {}", self.0.words()),
        }
    }

    /// Everything it wrote.
    pub(crate) fn words(&self) -> String {
        self.0.words()
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.0.ended().is_none()
    }
}
