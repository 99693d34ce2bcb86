//! Sizes: a file, a directory and a path stay small enough to be seen at once.

use crate::none;
use crate::tree::{self, File, relative};

const FILE_LINES_MAX: usize = 600;
const DIRECTORY_ENTRIES_MAX: usize = 12;
const SRC_DEPTH_MAX: usize = 3;
const README_LINES_MAX: usize = 150;

/// Entries that every directory may have besides.
const NOT_COUNTED: [&str; 5] = ["mod.rs", "lib.rs", "main.rs", "error.rs", "metrics.rs"];

/// Directories that are lists by nature.
const LISTS: [&str; 2] = ["tests/golden", "docs/decisions"];

#[test]
fn a_file_has_at_most_600_lines_without_its_tests() {
    let mut complaints = Vec::new();
    for file in tree::files(&[".rs", ".py", ".sh"]).into_iter().filter(|file| !file.is_test()) {
        let lines = file.without_tests().lines().count();
        if lines > FILE_LINES_MAX {
            complaints.push(format!("{}: {lines} lines", file.path));
        }
    }
    none(&complaints, "a file that outgrows 600 lines holds two nouns: split it");
}

#[test]
fn a_directory_has_at_most_12_entries() {
    let mut complaints = Vec::new();
    for directory in tree::directories().into_iter().filter(|directory| *directory != tree::root()) {
        let name = relative(&directory);
        let counted = tree::entries(&directory)
            .iter()
            .filter(|path| !NOT_COUNTED.iter().any(|common| path.ends_with(common)))
            .count();
        let is_list = LISTS.iter().any(|list| name == *list || name.starts_with(&format!("{list}/")));
        if counted > DIRECTORY_ENTRIES_MAX && !is_list {
            complaints.push(format!("{name}: {counted} entries"));
        }
    }
    none(&complaints, "a directory that outgrows 12 entries lacks a noun: split it by one");
}

#[test]
fn source_lies_at_most_3_directories_below_src() {
    let mut complaints = Vec::new();
    for file in tree::files(&[".rs"]) {
        let below =
            file.path.strip_prefix("src/").or_else(|| file.path.split_once("/src/").map(|(_, rest)| rest));
        if below.is_some_and(|below| below.matches('/').count() > SRC_DEPTH_MAX) {
            complaints.push(file.path);
        }
    }
    none(&complaints, "a deeper tree is no map");
}

#[test]
fn the_readme_has_at_most_150_lines() {
    let readme = std::fs::read_to_string(tree::root().join("README.md")).expect("README.md is there");
    let lines = readme.lines().count();
    assert!(lines <= README_LINES_MAX, "README.md has {lines} lines: what goes deeper belongs into docs/");
}

#[test]
fn each_front_page_says_what_it_is() {
    let mut complaints = Vec::new();
    for file in tree::files(&["/mod.rs", "/lib.rs", "/main.rs"]) {
        if !file.text.starts_with("//! ") {
            complaints.push(file.path);
        }
    }
    none(
        &complaints,
        "a mod.rs, lib.rs or main.rs opens with `//!`: what it is, its invariants, where to start",
    );
}

#[test]
fn each_recipe_is_one_line() {
    let justfile = std::fs::read_to_string(tree::root().join("justfile")).expect("justfile is there");
    let mut complaints = Vec::new();
    let (mut recipe, mut lines) = ("", 1);
    for line in justfile.lines().chain(["end:"]) {
        let is_head = !line.starts_with([' ', '#']) && line.contains(':');
        if is_head && lines != 1 {
            complaints.push(format!("{recipe} has {lines} lines"));
        }
        if is_head {
            (recipe, lines) = (line, 0);
        } else if line.starts_with(' ') {
            lines += 1;
        }
    }
    none(&complaints, "a recipe of the justfile is one line that can be pasted");
}

#[test]
fn a_file_is_measured_without_its_tests() {
    let file =
        File { path: "src/a.rs".to_owned(), text: "a\nb\n#[cfg(test)]\nmod tests {\nc\n}\n".to_owned() };
    assert_eq!(file.without_tests().lines().count(), 2);
}
