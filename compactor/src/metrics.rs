//! What the janitor counts. The fields are the list; `docs/metrics.md` explains each.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// The janitor's numbers. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Rounds begun.
    pub rounds_total: Counter,
    /// Rounds that failed.
    pub round_failures_total: Counter,
    /// Rows written anew by roll-up.
    pub rows_rolled_up_total: Counter,
    /// Rows let go because they need not be kept any more.
    pub rows_expired_total: Counter,
    /// Index pages merged into others.
    pub pages_merged_total: Counter,
    /// Slots deleted by trim.
    pub slots_trimmed_total: Counter,
    /// Objects deleted because nothing refers to them.
    pub orphans_swept_total: Counter,
}

impl Metrics {
    /// Registers everything under its name.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("frazil_janitor_rounds", "Rounds begun", self.rounds_total.clone());
        registry.register(
            "frazil_janitor_round_failures",
            "Rounds that failed",
            self.round_failures_total.clone(),
        );
        registry.register(
            "frazil_janitor_rows_rolled_up",
            "Rows written anew by roll-up",
            self.rows_rolled_up_total.clone(),
        );
        registry.register(
            "frazil_janitor_rows_expired",
            "Rows that retention let go",
            self.rows_expired_total.clone(),
        );
        registry.register(
            "frazil_janitor_pages_merged",
            "Index pages merged into others",
            self.pages_merged_total.clone(),
        );
        registry.register(
            "frazil_janitor_slots_trimmed",
            "Slots deleted by trim",
            self.slots_trimmed_total.clone(),
        );
        registry.register(
            "frazil_janitor_orphans_swept",
            "Unreferenced objects deleted",
            self.orphans_swept_total.clone(),
        );
    }
}
