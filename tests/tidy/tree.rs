//! The tree as text: files below the root, and source without its tests and comments.

use std::fs;
use std::path::{Path, PathBuf};

/// What is not source: build output, data, and what a fuzzer leaves.
const IGNORED: [&str; 6] = ["target", "frazil-data", "__pycache__", "corpus", "artifacts", "node_modules"];

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file: its path from the root, with `/`, and its text.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// The last part of the path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The directory, without a trailing slash; empty for the root.
    pub(crate) fn directory(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(directory, _)| directory)
    }

    /// Whether it belongs to a crate's `src/` and is no test of it.
    pub(crate) fn is_shipped_source(&self) -> bool {
        let in_src = self.path.starts_with("src/") || self.path.contains("/src/");
        in_src && !self.path.starts_with("tests/") && !self.is_test()
    }

    /// Whether it holds tests only: `foo/tests.rs`, or below a `tests/` directory of a module.
    pub(crate) fn is_test(&self) -> bool {
        let below_src = self.path.split_once("src/").map_or("", |(_, rest)| rest);
        self.name() == "tests.rs" || below_src.split('/').any(|part| part == "tests")
    }

    /// The text up to an inline `mod tests`.
    pub(crate) fn without_tests(&self) -> &str {
        let cut = self.text.find("#[cfg(test)]\nmod tests {");
        cut.map_or(&self.text, |at| &self.text[..at])
    }

    /// Numbered lines without tests and without comments that fill the rest of a line.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.without_tests().lines().enumerate().map(|(index, line)| (index + 1, code_of(line)))
    }
}

/// The line before its `//`; a `//` inside a string (a URL) is no comment.
fn code_of(line: &str) -> &str {
    let mut from = 0;
    while let Some(at) = line[from..].find("//") {
        let at = from + at;
        let quotes = line[..at].matches('"').count() - line[..at].matches("\\\"").count();
        if quotes.is_multiple_of(2) {
            return &line[..at];
        }
        from = at + 2;
    }
    line
}

/// The directories of the repository from the root, hidden and ignored ones left out.
pub(crate) fn directories() -> Vec<PathBuf> {
    let mut found = vec![root()];
    let mut next = 0;
    while let Some(directory) = found.get(next).cloned() {
        found.extend(entries(&directory).into_iter().filter(|path| path.is_dir()));
        next += 1;
    }
    found
}

/// What a directory holds, in order, hidden and ignored entries left out.
pub(crate) fn entries(directory: &Path) -> Vec<PathBuf> {
    let listing = fs::read_dir(directory).expect("a directory of the repository can be listed");
    let mut found: Vec<PathBuf> = listing.map(|entry| entry.expect("an entry can be read").path()).collect();
    found.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        !name.starts_with('.') && !IGNORED.contains(&name)
    });
    found.sort();
    found
}

/// Every text file with one of these endings, by path.
pub(crate) fn files(endings: &[&str]) -> Vec<File> {
    let mut found = Vec::new();
    for directory in directories() {
        for path in entries(&directory).into_iter().filter(|path| path.is_file()) {
            let relative = relative(&path);
            if endings.iter().any(|ending| relative.ends_with(ending)) {
                let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{relative}: {error}"));
                found.push(File { path: relative, text });
            }
        }
    }
    assert!(!found.is_empty(), "there is no file that ends with {endings:?}: the rule looks at nothing");
    found
}

/// The path from the root, with `/`.
pub(crate) fn relative(path: &Path) -> String {
    let inner = path.strip_prefix(root()).expect("the path is below the root");
    inner.to_str().expect("names are UTF-8").replace('\\', "/")
}

/// Whether `word` stands in `line` with no letter, digit or `_` on either side.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_none_or(|character| !is_part(character));
        let after = line[at + word.len()..].chars().next().is_none_or(|character| !is_part(character));
        before && after
    })
}

#[test]
fn a_comment_is_cut_and_a_url_in_a_string_is_not() {
    assert_eq!(code_of("let a = 1; // rand"), "let a = 1; ");
    assert_eq!(code_of("let a = \"s3://b\"; // c"), "let a = \"s3://b\"; ");
    assert_eq!(code_of("/// doc"), "");
}

#[test]
fn a_word_is_found_only_whole() {
    assert!(has_word("use rand::Rng;", "rand"));
    assert!(!has_word("let operand = brand;", "rand"));
}
