//! The functional core stays pure, waits stay fair, and sleeps stay out.

use crate::none;
use crate::tree::{self, File, has_word};

/// What is pure: no async, no clock, no randomness, no environment, no store, no order that differs from run to run.
const PURE: [&str; 5] = [
    "lake/log/src/format/",
    "lake/log/src/schema/",
    "lake/log/src/state/",
    "lake/log/src/plan/",
    "gateway/src/produce/accumulator",
];

const IMPURE: [&str; 14] = [
    "tokio",
    "async fn",
    "async move",
    "std::time",
    "SystemTime",
    "Instant",
    "rand",
    "std::env",
    "std::fs",
    "HashMap",
    "HashSet",
    "object_store",
    "Uuid::new_v4",
    "Ulid::generate",
];

#[test]
fn the_functional_core_is_pure() {
    let files = tree::files(&[".rs"]);
    let mut complaints = Vec::new();
    for part in PURE {
        let of_part: Vec<&File> =
            files.iter().filter(|file| file.path.starts_with(part) && !file.is_test()).collect();
        if of_part.is_empty() {
            complaints.push(format!("{part}: there is no such code: the rule looks at nothing"));
        }
        complaints.extend(of_part.into_iter().flat_map(impurities));
    }
    none(&complaints, "the functional core takes time, chance and settings as arguments, and knows no store");
}

fn impurities(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in file.code_lines() {
        let line = line.replace("std::time::Duration", "Duration"); // a length of time is a value
        for word in IMPURE.iter().filter(|word| has_word(&line, word)) {
            found.push(format!("{}:{number}: {word}", file.path));
        }
    }
    found
}

#[test]
fn each_select_is_biased() {
    let mut complaints = Vec::new();
    for file in tree::files(&[".rs"]).into_iter().filter(|file| file.path != "tests/tidy/purity.rs") {
        for (at, call) in file.text.match_indices("select! {") {
            let inside = file.text[at + call.len()..].trim_start();
            if !inside.starts_with("biased;") {
                let number = file.text[..at].lines().count();
                complaints.push(format!("{}:{number}", file.path));
            }
        }
    }
    none(
        &complaints,
        "`select!` begins with `biased;`: an order by chance cannot be replayed, and hides which arm has precedence",
    );
}

#[test]
fn nothing_shipped_blocks_a_thread_by_sleeping() {
    let mut complaints = Vec::new();
    for file in tree::files(&[".rs"]).into_iter().filter(File::is_shipped_source) {
        let lines = file.code_lines().filter(|(_, line)| line.contains("thread::sleep"));
        complaints.extend(lines.map(|(number, _)| format!("{}:{number}", file.path)));
    }
    none(&complaints, "use tokio::time::sleep");
}

#[test]
fn nothing_is_left_to_be_fixed() {
    let word = concat!("FIX", "ME");
    let mut complaints = Vec::new();
    for file in
        tree::files(&[".rs", ".md", ".toml", ".py", ".sh", ".yaml", "justfile", "Dockerfile", "/test"])
    {
        let lines = file.text.lines().enumerate().filter(|(_, line)| has_word(line, word));
        complaints.extend(lines.map(|(index, _)| format!("{}:{}", file.path, index + 1)));
    }
    none(&complaints, "what must be fixed is fixed before it is merged; TODO(name) may stay");
}

#[test]
fn an_impure_line_is_found_and_a_comment_is_not() {
    let text = "use std::time::Duration;\n// tokio\nlet a = Instant::now();\n#[cfg(test)]\nmod tests {\nuse rand::Rng;\n".to_owned();
    let file = File { path: "lake/log/src/plan/mod.rs".to_owned(), text };
    assert_eq!(impurities(&file), vec!["lake/log/src/plan/mod.rs:3: Instant".to_owned()]);
}
