//! `frazil bench`: measures next to the raw store, in the same run. One file a verb.

mod ack;
mod cold;
mod end_to_end;
mod fleet;
mod ingest;
mod scan;
mod tables;
mod wrap;

use std::process::ExitCode;

use clap::Subcommand;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: frazil bench ack --store s3-like")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Acknowledgements beside raw create-only PUTs of the same size, on the same store
    #[command(after_help = "Example: frazil bench ack --store s3://bucket/prefix --seconds 60 -o json")]
    Ack(ack::Args),
    /// Cold starts on synthetic logs of 10^4, 10^5, … slots
    #[command(after_help = "Example: frazil bench cold 1000000")]
    Cold(cold::Args),
    /// From an acknowledgement to a follower on another gateway, with the leader's pushes and without
    #[command(after_help = "Example: frazil bench end-to-end --store memory:// --wrap s3-like")]
    EndToEnd(end_to_end::Args),
    /// One, three and ten gateways on one store at the same load; and their leader killed
    #[command(after_help = "Example: frazil bench fleet --store s3://bucket/prefix --rate 100")]
    Fleet(fleet::Args),
    /// Reads from the tail ring, the cache and the store, beside plain GETs of the same bytes
    #[command(after_help = "Example: frazil bench scan --store s3://bucket/prefix --rows 100000")]
    Scan(scan::Args),
    /// A database of many tables: writing to a tenth of them each second, and a start
    #[command(after_help = "Example: frazil bench tables 10000 --written 1000 --seconds 120")]
    Tables(tables::Args),
    /// What a gateway spends on rows: CPU seconds per GiB of Arrow, by Flight and by HTTP
    #[command(after_help = "Example: frazil bench ingest --mib 1024 -o json")]
    Ingest(ingest::Args),
}

/// Measures.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::Ack(args) => ack::run(&args),
        Verb::Cold(args) => cold::run(&args),
        Verb::EndToEnd(args) => end_to_end::run(&args),
        Verb::Fleet(args) => fleet::run(&args),
        Verb::Scan(args) => scan::run(&args),
        Verb::Tables(args) => tables::run(&args),
        Verb::Ingest(args) => ingest::run(&args),
    }
}
