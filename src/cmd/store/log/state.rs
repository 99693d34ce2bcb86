//! `frazil log state`.

use anyhow::ensure;
use frazil_log::commit::fold::Fold;
use frazil_log::commit::open::checkpoints;
use frazil_log::id::{Slot, Stream};
use frazil_log::schema::sql::columns_sql;
use frazil_log::state::State;
use frazil_log::state::tables::Table;
use frazil_log::store::Listed;
use serde_json::{Value, json};

use super::LogArgs;
use crate::store_args::{self, Output, bytes_text, note, plain_table, say, time_text};
use crate::stored_log::{CHECKPOINTS_MAX, begin_at, fold_while};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The state before this slot is folded; the tail if it is not given
    #[arg(long, value_name = "SLOT")]
    at: Option<Slot>,
    #[command(flatten)]
    log: LogArgs,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let store = args.log.store.open()?;
    let database = store_args::database(&args.log.database)?;
    ensure!(args.at != Some(0), "before slot 0 there is no state: ask for --at 1 or above");
    // Slot 0 itself is folded by beginning.
    let limit = args.at.unwrap_or(Slot::MAX);
    let begun = begin_at(&store, &database, limit, &crate::config::protocol().fold).await?;
    begun.passed_over.iter().for_each(|error| note(format_args!("passed over: {error}")));
    let mut fold = begun.fold;
    fold_while(&store, &database, &mut fold, |next| next < limit).await?;
    let reached = fold.state.next();
    ensure!(
        args.at.is_none_or(|at| at == reached),
        "slot {reached} is absent, so there is no state at {limit}"
    );
    let kept = checkpoints(&store, &database, CHECKPOINTS_MAX).await?;
    match args.log.output.output {
        Output::Json => say(to_json(&fold, &kept)),
        Output::Table => print_text(&fold, &kept),
    }
    Ok(())
}

fn to_json(fold: &Fold, checkpoints: &[(Slot, Listed)]) -> Value {
    let state = &fold.state;
    json!({
        "log": state.identity(),
        "alive": state.is_alive(),
        "next": state.next(),
        "log_hash": format!("{:032x}", state.log_hash()),
        "time": time_text(state.time()),
        "last_boundary": state.boundary(),
        "state_bytes": state.encode().len(),
        "tables": state.tables().all().map(table_json).collect::<Vec<_>>(),
        "producers": state.producers().len(),
        "groups": state.groups().iter().map(|(name, group)| json!({
            "group": name, "generation": group.generation, "stored": time_text(group.stored),
            "positions": group.positions,
        })).collect::<Vec<_>>(),
        "names": state.names().len(),
        "checkpoints": checkpoints.iter().map(|(slot, listed)| json!({
            "slot": slot, "bytes": listed.size, "written": time_text(listed.last_modified),
        })).collect::<Vec<_>>(),
        "pages": fold.pages,
    })
}

fn table_json(table: &Table) -> Value {
    let buckets = table.buckets.iter().map(|((bucket, stream), tail)| {
        json!({"bucket": bucket, "stream": stream, "next": tail.next, "rolled": tail.rolled, "earliest": tail.earliest})
    });
    json!({
        "id": table.id,
        "name": table.name,
        "uuid": table.uuid,
        "columns": columns_sql(&table.spec.schema),
        "schema_id": table.spec.schema.id,
        "version": table.version,
        "buckets": table.spec.buckets,
        "options": table.spec.options,
        "created": {"slot": table.created_slot, "time": time_text(table.created)},
        "dropped": table.dropped.map(time_text),
        "tails": buckets.collect::<Vec<_>>(),
    })
}

fn print_text(fold: &Fold, checkpoints: &[(Slot, Listed)]) {
    let state = &fold.state;
    let identity = state.identity();
    let dropped = if state.is_alive() { "" } else { " (dropped)" };
    say(format_args!(
        "database {}{dropped}   log {}   home {:?}",
        identity.database, identity.uuid, identity.home
    ));
    say(format_args!(
        "  created {}   time of the last slot {}",
        time_text(identity.created),
        time_text(state.time())
    ));
    say(format_args!("  next slot {}   log hash {:032x}", state.next(), state.log_hash()));
    let bytes = u64::try_from(state.encode().len()).unwrap_or(u64::MAX);
    say(format_args!(
        "  state {}   producers {}   names {}   last checkpoint due at {}",
        bytes_text(bytes),
        state.producers().len(),
        state.names().len(),
        state.boundary()
    ));
    let mut tables =
        plain_table(&["table", "id", "columns", "bucket", "stream", "earliest", "next", "rolled"]);
    for table in state.tables().all() {
        let name = if table.dropped.is_some() {
            format!("{} (dropped)", table.name)
        } else {
            table.name.to_string()
        };
        let head = vec![name, table.id.to_string(), columns_sql(&table.spec.schema)];
        let tails = table.buckets.iter().map(|((bucket, stream), tail)| {
            let stream = if *stream == Stream::Rows { "rows" } else { "changelog" };
            let offsets = [tail.earliest, tail.next, tail.rolled].map(|offset| offset.to_string());
            let [earliest, next, rolled] = offsets;
            [bucket.to_string(), stream.to_owned(), earliest, next, rolled]
        });
        let tails: Vec<[String; 5]> = tails.collect();
        match tails.split_first() {
            None => drop(tables.add_row(head)),
            Some((first, rest)) => {
                tables.add_row(head.into_iter().chain(first.iter().cloned()));
                for tail in rest {
                    tables.add_row(std::iter::repeat_n(String::new(), 3).chain(tail.iter().cloned()));
                }
            }
        }
    }
    say(tables);
    print_groups(state);
    for (slot, listed) in checkpoints {
        say(format_args!(
            "  checkpoint {slot}   {}   written {}",
            bytes_text(listed.size),
            time_text(listed.last_modified)
        ));
    }
    for page in &fold.pages {
        say(format_args!(
            "  page {}..{}   level {}   {}",
            page.from,
            page.to,
            page.level,
            bytes_text(page.bytes)
        ));
    }
}

fn print_groups(state: &State) {
    for (name, group) in state.groups().iter() {
        let tables = group.positions.iter().map(|(table, offsets)| {
            let pairs: Vec<String> =
                offsets.iter().map(|(bucket, offset)| format!("{bucket}:{offset}")).collect();
            format!("   table {table} at {}", pairs.join(","))
        });
        say(format_args!(
            "  group {name}   generation {}   stored {}{}",
            group.generation,
            time_text(group.stored),
            tables.collect::<String>()
        ));
    }
}
