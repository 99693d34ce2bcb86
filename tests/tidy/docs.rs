//! The pages: they are there, their links lead somewhere, and each metric is on its page.

use std::collections::BTreeSet;

use crate::none;
use crate::tree::{self, File, root};

/// The pages that a newcomer and an operator are promised.
const PAGES: [&str; 9] = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/errors.md",
    "docs/format.md",
    "docs/glossary.md",
    "docs/metrics.md",
    "docs/operations.md",
    "docs/performance.md",
];

#[test]
fn each_promised_page_is_there() {
    let missing: Vec<String> =
        PAGES.iter().filter(|page| !root().join(page).is_file()).map(ToString::to_string).collect();
    none(&missing, "these pages are missing");
    let decisions = root().join("docs/decisions");
    assert!(decisions.is_dir() && !tree::entries(&decisions).is_empty(), "docs/decisions holds no decision");
}

/// The text with code blocks and inline code blanked out.
fn prose(text: &str) -> String {
    let mut in_block = false;
    let mut kept = String::new();
    for line in text.lines() {
        let fence = line.trim_start().starts_with("```");
        in_block ^= fence;
        if !fence && !in_block {
            for (index, part) in line.split('`').enumerate() {
                kept.push_str(if index % 2 == 0 { part } else { "code" });
            }
        }
        kept.push('\n');
    }
    kept
}

/// The anchors that a page's headings give, as renderers of Markdown make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut in_block = false;
    for line in text.lines() {
        in_block ^= line.trim_start().starts_with("```");
        let title = line.trim_start_matches('#');
        if in_block || title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let kept = title.trim().to_lowercase().replace(' ', "-");
        let slug: String = kept
            .chars()
            .filter(|character| character.is_alphanumeric() || "-_".contains(*character))
            .collect();
        let copies = (1..).map(|n| format!("{slug}-{n}"));
        let free = std::iter::once(slug.clone()).chain(copies).find(|anchor| !found.contains(anchor));
        found.extend(free);
    }
    found
}

/// The targets of `[words](target)`.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in prose(text).lines().enumerate() {
        for (at, _) in line.match_indices("](") {
            let target = line[at + 2..].split([')', ' ']).next().unwrap_or("");
            found.push((index + 1, target.to_owned()));
        }
    }
    found
}

fn broken(page: &File, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file =
        if path.is_empty() { root().join(&page.path) } else { root().join(page.directory()).join(path) };
    if !file.exists() {
        return Some("there is no such file".to_owned());
    }
    if anchor.is_empty() {
        return None;
    }
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    (!anchors(&text).contains(anchor)).then(|| "there is no such heading".to_owned())
}

#[test]
fn each_link_leads_somewhere() {
    let mut complaints = Vec::new();
    for page in tree::files(&[".md"]) {
        for (number, target) in links(&page.text) {
            if let Some(why) = broken(&page, &target) {
                complaints.push(format!("{}:{number}: {target}: {why}", page.path));
            }
        }
    }
    none(&complaints, "links between pages resolve, files and headings");
}

/// Metric names as the code writes them: `"frazil_..."`, or the first argument of a `register` call, prefixed as the registry does.
fn metrics_in_code() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in tree::files(&[".rs"]).iter().filter(|file| file.is_shipped_source()) {
        let text = file.without_tests();
        for (at, call) in text.match_indices(".register(").chain(text.match_indices(".register_with_unit(")) {
            let argument = text[at + call.len()..].trim_start();
            if let Some(literal) = argument.strip_prefix('"') {
                let name = literal.split('"').next().unwrap_or("");
                let unit = if call.contains("unit") { unit(literal) } else { String::new() };
                found.insert(format!("frazil_{}{unit}", name.trim_start_matches("frazil_")));
            }
        }
        for (at, _) in text.match_indices("\"frazil_") {
            if text[..at].trim_end().ends_with(".register_with_unit(") {
                continue; // found above, with its unit
            }
            let name = text[at + 1..].split('"').next().unwrap_or("");
            if file.name() == "metrics.rs" && is_metric_name(name) {
                found.insert(name.to_owned());
            }
        }
    }
    found.into_iter().map(|name| name.trim_end_matches("_total").to_owned()).collect()
}

/// What the registry puts behind the name of a metric with a unit: `_seconds` for `Unit::Seconds`.
fn unit(call: &str) -> String {
    let statement = call.split(';').next().unwrap_or("");
    let unit = statement.split_once("Unit::").map_or("", |(_, rest)| rest);
    let unit: String = unit.chars().take_while(|character| character.is_alphanumeric()).collect();
    format!("_{}", unit.to_lowercase())
}

fn is_metric_name(name: &str) -> bool {
    name.chars()
        .all(|character| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_')
}

/// Metric names in the first column of the tables of docs/metrics.md: `` | `frazil_x` | ``.
fn metrics_in_docs(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter_map(|line| line.trim_start().strip_prefix("| `frazil_"));
    let names = rows.filter_map(|rest| rest.split(['`', '{']).next());
    names.map(|name| format!("frazil_{}", name.trim_end_matches("_total"))).collect()
}

#[test]
fn each_metric_is_on_its_page_and_each_on_the_page_is_in_the_code() {
    let page = std::fs::read_to_string(root().join("docs/metrics.md")).expect("docs/metrics.md is there");
    let (code, docs) = (metrics_in_code(), metrics_in_docs(&page));
    assert!(!code.is_empty(), "no metric was found in the code: the rule looks at nothing");
    let mut complaints: Vec<String> =
        code.difference(&docs).map(|name| format!("{name} is not on the page")).collect();
    complaints.extend(docs.difference(&code).map(|name| format!("{name} is on the page only")));
    none(
        &complaints,
        "docs/metrics.md lists each metric, `| `frazil_name` | what it says | ...`, and no other",
    );
}

#[test]
fn pages_are_read_as_a_renderer_does() {
    let text = "# A page\n## What it *is*, and `why`\n```\n# no heading\n[no](link)\n```\n[yes](a.md#b) `[no](code)`\n## A page\n";
    let expected: Vec<String> = ["a-page", "a-page-1", "what-it-is-and-why"].map(str::to_owned).to_vec();
    assert_eq!(anchors(text).into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(links(text), vec![(7, "a.md#b".to_owned())]);
    let page = "| `frazil_a_total{op}` | x |\n| `frazil_b_seconds` | y |\n";
    assert_eq!(metrics_in_docs(page).into_iter().collect::<Vec<_>>(), ["frazil_a", "frazil_b_seconds"]);
}
