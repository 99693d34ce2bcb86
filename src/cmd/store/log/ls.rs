//! `frazil log ls`.

use std::ops::Range;

use frazil_log::commit::open::newest_checkpoint;
use frazil_log::format::commit::CommitHeader;
use frazil_log::format::entry::Entry;
use frazil_log::id::{Name, Slot};
use frazil_log::store::paths::{self, Key};
use frazil_log::store::{Listed, Store};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use super::LogArgs;
use crate::store_args::{self, Output};
use crate::stored_log::{Header, REQUESTS_MAX, read_header};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The first slot; a trimmed log begins at the first that is kept
    #[arg(long, default_value_t = 0, value_name = "SLOT")]
    from: Slot,
    /// At most so many slots
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    log: LogArgs,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let store = args.log.store.open()?;
    let database = store_args::database(&args.log.database)?;
    let newest = newest_checkpoint(&store, &database).await?;
    let after = args.from.checked_sub(1).map(|slot| paths::log(&database, slot));
    let mut listed =
        store.list(&paths::log_prefix(&database), after.as_ref(), args.limit.saturating_add(1)).await?;
    let more = listed.len() > args.limit;
    listed.truncate(args.limit);
    if listed.is_empty() && newest.is_none() {
        anyhow::bail!(
            "there is no database {database} in {}, or no slot from {} on",
            store.description(),
            args.from
        );
    }
    let rows = read_all(&store, &database, listed).await;
    match args.log.output.output {
        Output::Json => store_args::say(json!({
            "database": database,
            "slots": rows.iter().map(Row::to_json).collect::<Vec<_>>(),
            "absent": gaps(&rows, args.from).map(|gap| absent_json(&gap, newest)).collect::<Vec<_>>(),
            "next": more.then(|| rows.last().map(|row| row.slot + 1)).flatten(),
        })),
        Output::Table => print_table(&rows, args.from, newest, more),
    }
    Ok(())
}

struct Row {
    slot: Slot,
    listed: Listed,
    header: Result<Option<Header>, frazil_log::Error>,
}

async fn read_all(store: &Store, database: &Name, listed: Vec<Listed>) -> Vec<Row> {
    let slots = listed.into_iter().filter_map(|listed| match Key::parse(&listed.path) {
        Some(Key::Log { slot, .. }) => Some((slot, listed)),
        _ => None, // foreign: `frazil verify` tells
    });
    let read = stream::iter(slots).map(|(slot, listed)| async move {
        let header = read_header(store, &paths::log(database, slot), slot).await;
        Row { slot, listed, header }
    });
    read.buffered(REQUESTS_MAX).collect().await
}

/// The rows that the appends of a commit name: of all proposals, taken or refused.
fn rows_named(header: &CommitHeader) -> u64 {
    let entries = header.proposals.iter().flat_map(|proposal| &proposal.entries);
    entries.map(|entry| if let Entry::Appended { rows, .. } = entry { u64::from(*rows) } else { 0 }).sum()
}

impl Row {
    fn to_json(&self) -> Value {
        match &self.header {
            Ok(Some(header)) => {
                let commit = &header.commit.header;
                json!({
                    "slot": self.slot,
                    "time": store_args::time_text(commit.time),
                    "writer": commit.writer,
                    "put_id": commit.put_id,
                    "proposals": commit.proposals.len(),
                    "rows": rows_named(commit),
                    "bytes": header.object_bytes,
                    "header_bytes": header.commit.envelope.header_bytes,
                    "segments": commit.segments.len(),
                })
            }
            Ok(None) => json!({"slot": self.slot, "error": "deleted since it was listed"}),
            Err(error) => json!({"slot": self.slot, "bytes": self.listed.size, "error": error.to_string()}),
        }
    }

    fn cells(&self) -> Vec<String> {
        match &self.header {
            Ok(Some(header)) => {
                let commit = &header.commit.header;
                let writer = format!("{} {}", commit.writer.incarnation, commit.writer.address);
                vec![
                    self.slot.to_string(),
                    store_args::time_text(commit.time),
                    writer.trim_end().to_owned(),
                    commit.proposals.len().to_string(),
                    rows_named(commit).to_string(),
                    header.object_bytes.to_string(),
                    header.commit.envelope.header_bytes.to_string(),
                ]
            }
            Ok(None) => vec![self.slot.to_string(), "deleted since it was listed".to_owned()],
            Err(error) => vec![self.slot.to_string(), error.to_string()],
        }
    }
}

/// The slots that are absent before the rows' last; what lies before the first row was asked for from `from` on.
fn gaps(rows: &[Row], from: Slot) -> impl Iterator<Item = Range<Slot>> {
    let ends = rows.iter().map(|row| row.slot);
    let starts = std::iter::once(from).chain(rows.iter().map(|row| row.slot + 1));
    starts.zip(ends).filter(|(start, end)| start < end).map(|(start, end)| start..end)
}

/// What an absent slot below a present one is.
fn absent_text(gap: &Range<Slot>, newest_checkpoint: Option<Slot>) -> String {
    let slots = if gap.end - gap.start == 1 {
        format!("{}", gap.start)
    } else {
        format!("{}..{}", gap.start, gap.end)
    };
    match newest_checkpoint {
        Some(covered) if gap.end <= covered => format!("{slots}  trimmed (a checkpoint covers them)"),
        _ => format!("{slots}  hole: what lies above does not exist until it is filled"),
    }
}

fn absent_json(gap: &Range<Slot>, newest_checkpoint: Option<Slot>) -> Value {
    let covered = newest_checkpoint.is_some_and(|covered| gap.end <= covered);
    json!({"from": gap.start, "to": gap.end, "why": if covered { "trimmed" } else { "hole" }})
}

fn print_table(rows: &[Row], from: Slot, newest: Option<Slot>, more: bool) {
    let mut table =
        store_args::plain_table(&["slot", "time", "writer", "proposals", "rows", "bytes", "header bytes"]);
    let mut absent = gaps(rows, from).peekable();
    for row in rows {
        if let Some(gap) = absent.next_if(|gap| gap.end == row.slot) {
            table.add_row([absent_text(&gap, newest)]);
        }
        table.add_row(row.cells());
    }
    store_args::say(table);
    match rows.last() {
        Some(last) if more => store_args::note(format_args!("more: frazil log ls --from {}", last.slot + 1)),
        Some(_) => {}
        None => store_args::note(format_args!("no slot from {from} on")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(slot: Slot) -> Row {
        let listed =
            Listed { path: paths::log(&Name::new("default").unwrap(), slot), size: 1, last_modified: 0 };
        Row { slot, listed, header: Ok(None) }
    }

    #[test]
    fn what_is_absent_is_shown_before_what_is_there() {
        let rows = [row(5), row(6), row(9)];
        assert_eq!(gaps(&rows, 0).collect::<Vec<_>>(), [0..5, 7..9]);
        assert_eq!(gaps(&rows, 5).next(), Some(7..9));
        assert_eq!(gaps(&[], 3).count(), 0);
    }

    #[test]
    fn an_absent_slot_is_trimmed_only_below_a_checkpoint() {
        assert_eq!(absent_json(&(0..5), Some(5))["why"], "trimmed");
        assert_eq!(absent_json(&(0..5), Some(4))["why"], "hole");
        assert!(absent_text(&(7..8), None).starts_with("7  hole"));
    }
}
