//! Lifecycle rules that would eat our objects: a segment of last year may hold today's rows, and slot 0 is never too old.

use super::Finding;
use crate::bucket::facts::{Place, Rule, Seen};

/// What may be deleted at any time: only what a killed probe left.
const PROBE: &str = "frazil-probe/";

/// Classes that must be restored before they can be read.
const UNREADABLE: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

/// Each rule that is about our objects.
pub(crate) fn judge(place: &Place, rules: &Seen<Vec<Rule>>) -> Vec<Finding> {
    let Ok(rules) = rules else { return Vec::new() };
    let root = place.root();
    let ours: Vec<&Rule> = rules.iter().filter(|rule| rule.enabled && may_match(rule, &root)).collect();
    let mut findings: Vec<Finding> = ours.iter().flat_map(|rule| eats(rule, &root)).collect();
    if findings.is_empty() {
        let harmless = match ours.len() {
            0 => "no rule is about this prefix".to_owned(),
            _ => {
                let ids: Vec<&str> = ours.iter().map(|rule| rule.id.as_str()).collect();
                format!("harmless here: {}", ids.join(", "))
            }
        };
        findings.push(Finding::ok("lifecycle", harmless));
    }
    findings
}

/// Whether a rule can be about an object of ours: of any size, without tags, below the root.
fn may_match(rule: &Rule, root: &str) -> bool {
    let overlaps = rule.prefix.starts_with(root) || root.starts_with(&rule.prefix);
    let probe_only = rule.prefix.strip_prefix(root).is_some_and(|below| below.starts_with(PROBE));
    let impossible = rule.smaller_than.is_some_and(|bytes| bytes <= 1);
    overlaps && !probe_only && !rule.tagged && !impossible
}

fn eats(rule: &Rule, root: &str) -> Vec<Finding> {
    let id = &rule.id;
    let about = match rule.prefix.as_str() {
        "" => "the whole bucket".to_owned(),
        prefix => format!("{prefix}*"),
    };
    let todo = format!(
        "delete or disable rule {id:?}, or give it a prefix that does not meet {}",
        if root.is_empty() { "the bucket's root" } else { root }
    );
    let mut findings = Vec::new();
    if let Some(when) = &rule.expires {
        let says = format!(
            "rule {id:?} deletes objects of {about} {when}: rows would be lost, and the log with them"
        );
        findings.push(Finding::fail("lifecycle", says, todo.clone()));
    }
    for (when, class) in &rule.transitions {
        let to = format!("rule {id:?} moves objects of {about} to {class} {when}");
        findings.push(if UNREADABLE.contains(&class.as_str()) {
            Finding::fail(
                "lifecycle",
                format!("{to}: they cannot be read from there without a restore"),
                todo.clone(),
            )
        } else if class == "INTELLIGENT_TIERING" {
            Finding::warn(
                "lifecycle",
                format!("{to}: fine unless its archive tiers are switched on"),
                "leave its archive tiers off: what is in them cannot be read",
            )
        } else {
            Finding::warn(
                "lifecycle",
                format!("{to}: reading stays possible and costs more"),
                "worth it for large old segments only; small objects cost more there",
            )
        });
    }
    findings
}
