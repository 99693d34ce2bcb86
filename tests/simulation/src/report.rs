//! What the runs contained, counted; and what must not be zero.

use std::collections::BTreeMap;

use crate::world::trace::Trace;

/// What a thousand runs must contain: the event, and what it is called.
const MUST: [(&str, &str); 45] = [
    ("slots", "slots"),
    ("proposals taken", "proposals taken"),
    ("hole filled late", "holes filled late"),
    ("ghost made", "ghosts created"),
    ("answer lost", "PUT answers lost"),
    ("applied, answered 503", "PUTs applied and answered 503"),
    ("answered 503", "PUTs refused with 503"),
    ("answered 409", "PUTs answered 409"),
    ("PUT held up", "PUTs held up"),
    ("copy on its way", "PUTs doubled"),
    ("late PUT of a dead writer", "late PUTs from dead writers"),
    ("read answer lost", "read answers lost"),
    ("frozen", "gateways frozen"),
    ("worker frozen", "workers frozen"),
    ("boot clock stood still", "boot clocks that stood still"),
    ("clock jump", "clock jumps"),
    ("partition", "partitions"),
    ("crash", "crashes"),
    ("restart from a checkpoint", "restarts from checkpoints"),
    ("janitor's checkpoints", "rounds that wrote checkpoints"),
    ("trims", "trims"),
    ("sweeps", "orphan sweeps"),
    ("roll-ups", "roll-ups"),
    ("page merges", "page merges"),
    ("commits with segments", "commits with segments"),
    ("expired names", "expired names"),
    ("gaps in the log", "gaps met in the log"),
    ("gap at the door", "gaps refused at the door"),
    ("duplicate answered", "duplicates answered"),
    ("refused by the log", "requests refused by the log"),
    ("handed over", "hand-overs"),
    ("handed over too late", "hand-overs that came too late"),
    ("strong read", "strong reads"),
    ("rows read back", "reads of rows"),
    ("hedge", "hedged PUTs"),
    ("hand-over", "hand-overs between ingresses"),
    ("push", "slots pushed"),
    ("drain", "drains"),
    ("commits far ahead", "commits four slots ahead or more"),
    ("holes filled with nothing", "holes filled with nothing"),
    ("groups stored or deleted", "groups stored or deleted"),
    ("position of a producer", "positions of producers"),
    ("tables altered", "tables altered"),
    ("tables restored", "tables restored"),
    ("expiries", "expiries of rows"),
];

/// Counts over many runs.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    all: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Adds a run.
    pub(crate) fn add(&mut self, trace: &Trace) {
        for (what, count) in &trace.counts {
            *self.all.entry(what).or_default() += count;
        }
    }

    /// The lines of the report.
    pub(crate) fn lines(&self) -> Vec<String> {
        MUST.iter().map(|(event, name)| format!("{:>10}  {name}", self.count(event))).collect()
    }

    /// What did not happen.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        MUST.iter().filter(|(event, _)| self.count(event) == 0).map(|(_, name)| *name).collect()
    }

    fn count(&self, event: &str) -> u64 {
        self.all.get(event).copied().unwrap_or(0)
    }
}
