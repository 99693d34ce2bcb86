//! No file is forgotten: each `.rs` is declared by its neighbour, and each test binary by the manifest.

use crate::none;
use crate::tree::{self, File, root};

/// Whether some file declares `mod name;`, also as `pub(crate) mod name;`.
fn declares(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim().trim_end_matches(';');
        line == format!("mod {name}") || line.ends_with(&format!(" mod {name}"))
    })
}

/// The files that may declare the modules of `directory`.
fn front_pages<'a>(files: &'a [File], directory: &str) -> Vec<&'a File> {
    let pages = ["mod.rs", "lib.rs", "main.rs"].map(|page| format!("{directory}/{page}"));
    let sibling = format!("{directory}.rs");
    files.iter().filter(|file| pages.contains(&file.path) || file.path == sibling).collect()
}

#[test]
fn no_source_or_test_file_is_forgotten() {
    let files = tree::files(&[".rs"]);
    let mut complaints = Vec::new();
    for file in &files {
        let is_target = matches!(file.name(), "lib.rs" | "main.rs" | "build.rs");
        let is_target =
            is_target || file.directory().ends_with("/bin") || file.directory().ends_with("fuzz_targets");
        if is_target {
            continue;
        }
        let (name, directory) = if file.name() == "mod.rs" {
            let (parent, name) = file.directory().rsplit_once('/').unwrap_or(("", file.directory()));
            (name, parent)
        } else {
            (file.name().trim_end_matches(".rs"), file.directory())
        };
        let path = format!("/{name}/mod.rs\"]");
        let by_path =
            files.iter().any(|other| other.text.contains("#[path = \"") && other.text.contains(&path));
        if !by_path && !front_pages(&files, directory).iter().any(|page| declares(&page.text, name)) {
            complaints.push(file.path.clone());
        }
    }
    none(&complaints, "a file that no `mod` names is never compiled, and its tests never run");
}

#[test]
fn each_test_binary_is_declared() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml is there");
    let mut complaints = Vec::new();
    let mut seen = 0;
    for file in tree::files(&["/main.rs"]) {
        if file.path.starts_with("tests/") && file.path.matches('/').count() == 2 {
            seen += 1;
            if !manifest.contains(&format!("path = \"{}\"", file.path)) {
                complaints.push(file.path);
            }
        }
    }
    assert!(seen >= 2, "only {seen} test binaries were found");
    none(&complaints, "each tests/<name>/main.rs has its [[test]] in Cargo.toml (autotests are off)");
}

#[test]
fn a_declaration_is_seen_in_each_form() {
    assert!(declares("    pub(crate) mod tree;", "tree"));
    assert!(declares("mod tree;", "tree"));
    assert!(!declares("mod trees;", "tree"));
}
