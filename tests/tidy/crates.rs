//! The graph of crates: arrows point downwards only.

use crate::none;
use crate::tree;

/// Each package and what of ours it may depend on. `log` and `cache` are leaves; the gateway and the compactor meet in the log alone.
const MAY_DEPEND_ON: [(&str, &[&str]); 9] = [
    ("frazil-log", &[]),
    ("frazil-cache", &[]),
    ("frazil-kv", &["frazil-log"]),
    ("frazil-iceberg", &["frazil-log"]),
    ("frazil-query", &["frazil-log", "frazil-kv", "frazil-iceberg"]),
    ("frazil-gateway", &["frazil-log", "frazil-kv", "frazil-iceberg", "frazil-query"]),
    ("frazil-compactor", &["frazil-log", "frazil-kv", "frazil-iceberg"]),
    (
        "frazil",
        &[
            "frazil-log",
            "frazil-cache",
            "frazil-kv",
            "frazil-iceberg",
            "frazil-query",
            "frazil-gateway",
            "frazil-compactor",
        ],
    ),
    ("frazil-simulation", &["frazil-log", "frazil-cache", "frazil-gateway", "frazil-compactor"]),
];

/// The package's name and those of ours that any of its dependency sections names.
fn package(manifest: &str) -> Option<(String, Vec<String>)> {
    let (mut section, mut name, mut ours) = ("", None, Vec::new());
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            if let Some((of, dependency)) = section.rsplit_once('.')
                && of.ends_with("dependencies")
                && dependency.starts_with("frazil")
            {
                ours.push(dependency.to_owned());
            }
        } else if let Some((key, value)) = line.split_once('=') {
            let key = key.trim().split('.').next().unwrap_or("");
            if section == "package" && key == "name" {
                name = Some(value.trim().trim_matches('"').to_owned());
            } else if section.ends_with("dependencies")
                && section != "workspace.dependencies"
                && key.starts_with("frazil")
            {
                ours.push(key.to_owned());
            }
        }
    }
    name.map(|name| (name, ours))
}

#[test]
fn arrows_between_crates_point_downwards() {
    let mut complaints = Vec::new();
    let mut seen = 0;
    for file in tree::files(&["Cargo.toml"]) {
        let Some((name, ours)) = package(&file.text) else {
            continue;
        };
        if file.path.starts_with("tests/fuzz/") {
            continue; // a workspace of its own
        }
        seen += 1;
        let Some((_, may)) = MAY_DEPEND_ON.iter().find(|(of, _)| *of == name) else {
            complaints.push(format!("{}: {name} is not in the table: say what it may depend on", file.path));
            continue;
        };
        for dependency in ours.iter().filter(|dependency| !may.contains(&dependency.as_str())) {
            complaints.push(format!("{}: {name} must not depend on {dependency}", file.path));
        }
    }
    assert!(seen >= 5, "only {seen} packages were found");
    none(&complaints, "arrows between crates point downwards (docs/architecture.md)");
}

#[test]
fn each_dependency_has_its_version_in_the_workspace() {
    let mut complaints = Vec::new();
    for file in tree::files(&["Cargo.toml"]) {
        let mut inside = false;
        for (index, line) in file.text.lines().enumerate() {
            if line.starts_with('[') {
                inside = line.ends_with("dependencies]") && line != "[workspace.dependencies]";
            } else if inside
                && line.contains('=')
                && !line.contains("workspace")
                && !file.path.starts_with("tests/fuzz/")
            {
                complaints.push(format!("{}:{}: {line}", file.path, index + 1));
            }
        }
    }
    none(
        &complaints,
        "versions stand in the root's [workspace.dependencies]; a crate says `name.workspace = true`",
    );
}

#[test]
fn a_manifest_is_read_in_all_its_forms() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\nfrazil-log.workspace = true\n[dev-dependencies]\nfrazil-kv = { path = \"a\" }\n\
                    [dependencies.frazil-cache]\npath = \"b\"\n[workspace.dependencies]\nfrazil-query = \"1\"\n";
    let (name, ours) = package(manifest).expect("it names a package");
    assert_eq!(
        (name.as_str(), ours),
        ("x", vec!["frazil-log".to_owned(), "frazil-kv".to_owned(), "frazil-cache".to_owned()])
    );
}
