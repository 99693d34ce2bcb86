//! `frazil log show`.

use anyhow::Context;
use frazil_log::format::commit::{Commit, Proposal};
use frazil_log::format::slice::SliceHome;
use frazil_log::id::{Name, ProposalName, Slot};
use frazil_log::state::verdict::Fate;
use frazil_log::store::{Store, paths};
use serde_json::{Value, json};

use super::LogArgs;
use crate::store_args::{self, Output, bytes_text, say};
use crate::stored_log::{begin_at, fold_while};
use crate::verify::object;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The slot
    slot: Slot,
    #[command(flatten)]
    log: LogArgs,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let store = args.log.store.open()?;
    let database = store_args::database(&args.log.database)?;
    let path = paths::log(&database, args.slot);
    let Some(found) = store.get(&path).await? else {
        anyhow::bail!(
            "{path} is absent: trimmed, a hole, or above the tail; `frazil log ls` shows what there is"
        );
    };
    let checked = object::commit(path.as_ref(), &found.bytes, args.slot);
    let faults: Vec<String> = checked.faults.iter().map(ToString::to_string).collect();
    let commit = checked.content.with_context(|| faults.join("\n"))?;
    let fates = fates(&store, &database, args.slot).await;
    match args.log.output.output {
        Output::Json => say(to_json(path.as_ref(), &commit, &fates, &faults)),
        Output::Table => print_text(path.as_ref(), &commit, &fates),
    }
    if faults.is_empty() { Ok(()) } else { Err(anyhow::anyhow!("{}", faults.join("\n"))) }
}

type Fates = Result<Vec<(ProposalName, Fate)>, String>;

/// What became of the proposals, if the log can be folded that far.
async fn fates(store: &Store, database: &Name, slot: Slot) -> Fates {
    let rules = crate::config::protocol().fold;
    let folded = async {
        let mut begun = begin_at(store, database, slot, &rules).await?;
        if slot == 0 {
            return Ok(Vec::new()); // it makes the log, and that is all
        }
        let applied = fold_while(store, database, &mut begun.fold, |next| next <= slot).await?;
        let reached = begun.fold.state.next();
        anyhow::ensure!(reached > slot, "slot {reached} is absent, so nothing above it is committed");
        Ok(applied.map(|applied| applied.fates).unwrap_or_default())
    };
    folded.await.map_err(|error: anyhow::Error| format!("{error:#}"))
}

/// By place, not by name: a commit may hold two copies of one proposal.
fn fate_at(fates: &Fates, index: usize) -> Option<&Fate> {
    fates.as_ref().ok()?.get(index).map(|(_, fate)| fate)
}

fn to_json(object: &str, commit: &Commit, fates: &Fates, faults: &[String]) -> Value {
    let header = &commit.header;
    let proposals = header.proposals.iter().enumerate().map(|(index, proposal)| {
        json!({
            "name": proposal.name.to_string(),
            "base": proposal.base,
            "producer": proposal.producer,
            "request_hash": hex(proposal.request_hash),
            "entries": proposal.entries,
            "fate": fate_at(fates, index),
        })
    });
    json!({
        "object": object,
        "slot": header.slot,
        "log_uuid": header.log_uuid,
        "put_id": header.put_id,
        "time": store_args::time_text(header.time),
        "folded": {"slot": header.folded.0, "log_hash": hex(header.folded.1)},
        "writer": header.writer,
        "encryption_key_id": header.encryption_key_id,
        "envelope": {
            "version": commit.envelope.version,
            "features": commit.envelope.features,
            "header_bytes": commit.envelope.header_bytes,
            "body_bytes": commit.envelope.body_bytes,
            "content_hash": hex(commit.envelope.content_hash),
        },
        "segments": header.segments.iter().map(|segment| json!({
            "id": segment.id.to_string(), "body_start": segment.body_start,
        })).collect::<Vec<_>>(),
        "slices": header.slices,
        "proposals": proposals.collect::<Vec<_>>(),
        "fates_unknown_because": fates.as_ref().err(),
        "corruptions": faults,
    })
}

fn hex(hash: u128) -> String {
    format!("{hash:032x}")
}

fn print_text(object: &str, commit: &Commit, fates: &Fates) {
    let (header, envelope) = (&commit.header, &commit.envelope);
    let writer = &header.writer;
    say(format_args!("slot {}   {object}", header.slot));
    say(format_args!("  time      {}", store_args::time_text(header.time)));
    say(format_args!("  put_id    {}   log {}", header.put_id, header.log_uuid));
    say(format_args!(
        "  writer    {} version {} address {} zone {} PUT p99 {} µs",
        writer.incarnation,
        writer.version,
        or_dash(&writer.address),
        or_dash(&writer.zone),
        writer.put_p99_us
    ));
    say(format_args!("  folded    slot {} log hash {}", header.folded.0, hex(header.folded.1)));
    say(format_args!(
        "  bytes     header {} body {} content hash {}",
        envelope.header_bytes,
        bytes_text(envelope.body_bytes),
        hex(envelope.content_hash)
    ));
    for segment in &header.segments {
        say(format_args!("  segment   {}", segment.id));
    }
    for (index, slice) in header.slices.iter().enumerate() {
        let home = match slice.home {
            SliceHome::Here => "here".to_owned(),
            SliceHome::Segment(segment) => format!("segment {segment}"),
        };
        say(format_args!(
            "  slice {index}   table {} bucket {} {:?} schema {} rows {} bytes {} at {home}+{} {:?} checksum {:016x}",
            slice.table,
            slice.bucket,
            slice.stream,
            slice.schema,
            slice.rows,
            slice.bytes,
            slice.body_offset,
            slice.codec,
            slice.checksum
        ));
    }
    for (index, proposal) in header.proposals.iter().enumerate() {
        print_proposal(index, proposal, fate_at(fates, index));
    }
    if let Err(why) = fates {
        say(format_args!("  verdicts are not known: {why}"));
    }
}

fn print_proposal(index: usize, proposal: &Proposal, fate: Option<&Fate>) {
    say(format_args!("  proposal {index}   {} base {}", proposal.name, proposal.base));
    if let Some(stamp) = &proposal.producer {
        say(format_args!(
            "    producer {:?} epoch {} seq {} request hash {}",
            stamp.id,
            stamp.epoch,
            stamp.seq,
            hex(proposal.request_hash)
        ));
    }
    for entry in &proposal.entries {
        say(format_args!("    {}", json!(entry)));
    }
    if let Some(fate) = fate {
        say(format_args!("    → {}", json!(fate)));
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}
