//! What was written: shown while it happens, and summed up at the end.

use std::time::Duration;

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::send::{Sender, Sent};
use crate::client::{Position, TableName};
use crate::output::number::{bytes, seconds, short, thousands};
use crate::output::{Format, is_watched, print, print_json};

/// How often the line of progress is drawn anew.
const TICK: Duration = Duration::from_millis(200);

/// The longest latency that is told apart from longer ones.
const LATENCY_MAX_MICROS: u64 = 3_600_000_000;

/// Counts acknowledgements.
#[derive(Debug)]
pub(super) struct Report {
    name: String,
    output: Format,
    bar: ProgressBar,
    started: Instant,
    totals: Totals,
}

/// What acknowledgements add up to.
#[derive(Debug)]
struct Totals {
    rows: u64,
    bytes: u64,
    requests: u64,
    duplicates: u64,
    commits: u64,
    slot: Option<u64>,
    first: Position,
    last: Position,
    created: Option<String>,
    latency_micros: Histogram<u64>,
}

impl Report {
    pub(super) fn new(name: &str, length: Option<u64>, output: Format) -> Self {
        let bar = if is_watched() {
            ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr())
        } else {
            ProgressBar::hidden()
        };
        let template = if length.is_some() { "{prefix} {bar:12} {msg}" } else { "{prefix} {spinner} {msg}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("██░"));
        }
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(TICK);
        Self { name: name.to_owned(), output, bar, started: Instant::now(), totals: Totals::new() }
    }

    /// The name of what is sent.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Counts a batch.
    pub(super) fn add(&mut self, sent: &Sent, sender: &Sender) {
        self.totals.add(sent);
        self.bar.set_position(self.totals.bytes);
        let trouble = sender.trouble().map(|trouble| format!("  {trouble}")).unwrap_or_default();
        self.bar.set_message(format!("{}{trouble}", self.totals.line(self.started.elapsed())));
    }

    /// Shows why nothing moves.
    pub(super) fn show_trouble(&self, sender: &Sender) {
        if let Some(trouble) = sender.trouble() {
            let trouble = trouble.lines().next().unwrap_or_default().to_owned();
            self.bar
                .set_message(format!("{}  retrying: {trouble}", self.totals.line(self.started.elapsed())));
        }
    }

    /// Sums up a run that reached its end.
    ///
    /// # Errors
    /// If nobody reads.
    pub(super) fn finish(&self, table: &TableName, sender: &Sender) -> anyhow::Result<()> {
        let took = self.started.elapsed();
        let line = format!("{}  done {}", self.totals.line(took), self.totals.span());
        let is_shown = !self.bar.is_hidden();
        if is_shown {
            self.bar.set_position(self.bar.length().unwrap_or_default());
            self.bar.finish_with_message(line.clone());
        }
        match self.output {
            Format::Json => print_json(&self.totals.document(table, sender, took))?,
            _ if is_shown => {}
            _ => print(&format!("{}  {line}", self.name))?,
        }
        Ok(())
    }

    /// Takes the line of progress away before an error is printed.
    pub(super) fn abandon(&self) {
        self.bar.finish_and_clear();
    }

    /// What is known to be written after a stop.
    pub(super) fn written(&self) -> String {
        match self.totals.rows {
            0 => "no row was acknowledged".to_owned(),
            rows => format!(
                "the first {} rows of {} are written ({}); no row after the refused or unanswered request is acknowledged",
                thousands(rows),
                self.name,
                self.totals.span()
            ),
        }
    }
}

impl Totals {
    fn new() -> Self {
        Self {
            rows: 0,
            bytes: 0,
            requests: 0,
            duplicates: 0,
            commits: 0,
            slot: None,
            first: Position::default(),
            last: Position::default(),
            created: None,
            latency_micros: Histogram::new_with_max(LATENCY_MAX_MICROS, 3)
                .expect("an hour in µs to three digits is a histogram"),
        }
    }

    fn add(&mut self, sent: &Sent) {
        self.rows += sent.ack.rows;
        self.bytes += sent.bytes;
        self.requests += 1;
        self.duplicates += u64::from(sent.ack.duplicate);
        // Acknowledgements come in order, and so do slots.
        if sent.ack.slot.is_some() && sent.ack.slot != self.slot {
            self.commits += 1;
            self.slot = sent.ack.slot;
        }
        for range in sent.ack.buckets.iter().flatten() {
            self.first.0.entry(range.bucket).or_insert(range.start);
            self.last.0.insert(range.bucket, range.end);
        }
        if sent.ack.created.is_some() {
            self.created.clone_from(&sent.ack.created);
        }
        let micros = u64::try_from(sent.took.as_micros()).unwrap_or(u64::MAX);
        self.latency_micros.saturating_record(micros);
    }

    fn line(&self, took: Duration) -> String {
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown to three digits")]
        let rate = self.rows as f64 / took.as_secs_f64().max(1e-3);
        format!(
            "{} rows  {}  {} rows/s  {} {}  p50 {}",
            thousands(self.rows),
            bytes(self.bytes),
            short(rate),
            thousands(self.commits),
            if self.commits == 1 { "commit" } else { "commits" },
            seconds(self.quantile_seconds(0.5)),
        )
    }

    fn quantile_seconds(&self, share: f64) -> f64 {
        Duration::from_micros(self.latency_micros.value_at_quantile(share)).as_secs_f64()
    }

    /// From where to where, `0:2 → 0:1000002`.
    fn span(&self) -> String {
        if self.last.0.is_empty() {
            return "nothing new".to_owned();
        }
        format!("{} → {}", self.first, self.last)
    }

    fn document(&self, table: &TableName, sender: &Sender, took: Duration) -> Value {
        let ms = |share: f64| (self.quantile_seconds(share) * 1e6).round() / 1e3;
        let position = |position: &Position| (!position.0.is_empty()).then(|| position.to_string());
        json!({
            "table": table.to_string(),
            "created": self.created,
            "rows": self.rows,
            "bytes": self.bytes,
            "requests": self.requests,
            "retries": sender.retries(),
            "duplicates": self.duplicates,
            "commits": self.commits,
            "seconds": (took.as_secs_f64() * 1e3).round() / 1e3,
            "p50_ms": ms(0.5),
            "p99_ms": ms(0.99),
            "first": position(&self.first),
            "last": position(&self.last),
            "producer": {"id": sender.producer_id, "epoch": sender.producer_epoch},
        })
    }
}
