//! What an operator is told about the bucket: at the start of a process, by doctor, at set-up.

mod cost;
mod denied;
mod doctor;
mod refused;
mod set_up;

use serde_json::Value;

use crate::support::frazil::{Done, command};
use crate::support::store::Store;

/// What doctor found, by its exit code and `-o json`.
struct Examined {
    done: Done,
    report: Value,
}

impl Examined {
    async fn of(store: &Store, arguments: &[&str]) -> Self {
        let done = command(&[&["doctor", &store.url, "-o", "json"], arguments].concat(), store).await;
        let report = serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error} in {done:?}"));
        Self { done, report }
    }

    /// Level, words and advice of the first finding about `check`, the worst of them.
    #[track_caller]
    fn about(&self, check: &str) -> (&str, String) {
        let findings = self.report["findings"].as_array().expect("findings are a list");
        let mut about: Vec<&Value> = findings.iter().filter(|finding| finding["check"] == check).collect();
        about.sort_by_key(|finding| finding["level"] != "fail");
        let found = about.first().unwrap_or_else(|| panic!("nothing about {check} in {}", self.report));
        let words = |key: &str| found[key].as_str().unwrap_or("").to_owned();
        (found["level"].as_str().expect("a level is text"), format!("{} → {}", words("says"), words("do")))
    }

    /// Checks that a finding fails or warns, and what it says.
    #[track_caller]
    fn expect(&self, check: &str, level: &str, word: &str) {
        let (found, words) = self.about(check);
        assert_eq!(found, level, "{check}: {words}");
        assert!(words.contains(word), "{check}: {words:?} does not say {word:?}");
    }
}
