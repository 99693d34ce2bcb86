//! What the commands that read a store themselves have in common: `--store`, `--database`, `-o`, and the runtime they run on.

use std::io::Write;
use std::path::Path as FilePath;

use anyhow::{Context, bail};
use clap::ValueEnum;
use frazil_log::id::Name;
use frazil_log::store::{Store, StoreOptions};

use crate::config;

/// Which store.
#[derive(Debug, clap::Args)]
pub(crate) struct StoreArgs {
    /// The store: s3://bucket/prefix, file:///path, or a path
    #[arg(long = "store", env = "FRAZIL_STORE", value_name = "URL")]
    pub(crate) url: String,
}

/// How a command answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}

/// `-o`.
#[derive(Debug, clap::Args)]
pub(crate) struct OutputArgs {
    /// How to print
    #[arg(short = 'o', long = "output", value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) output: Output,
}

impl StoreArgs {
    /// Opens a store that must be there: a mistyped directory is refused, not made.
    pub(crate) fn open(&self) -> anyhow::Result<Store> {
        if let Some(path) = directory(&self.url)
            && !path.is_dir()
        {
            bail!("there is no directory {}: is --store right?", path.display());
        }
        open_or_create(&self.url)
    }
}

/// Opens a store; a local directory is made.
pub(crate) fn open_or_create(url: &str) -> anyhow::Result<Store> {
    let options = StoreOptions { environment: config::environment(), ..StoreOptions::default() };
    Store::open(url, &options).with_context(|| format!("opening the store {url}"))
}

/// The local directory that a URL names, where that can be told at a glance.
pub(crate) fn directory(url: &str) -> Option<&FilePath> {
    let path = match url.split_once("://") {
        None => url,
        Some(("file", path)) => path,
        Some(_) => return None,
    };
    (!path.contains('%')).then(|| FilePath::new(path))
}

/// The database that a command means.
pub(crate) fn database(name: &str) -> anyhow::Result<Name> {
    Ok(Name::new(name)?)
}

/// Runs a command's future to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("starting the runtime")?.block_on(future)
}

/// A commit time, a file's time: RFC 3339 with microseconds.
pub(crate) fn time_text(micros: i64) -> String {
    match chrono::DateTime::from_timestamp_micros(micros) {
        Some(time) => time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        None => format!("{micros} µs"),
    }
}

/// Bytes for people.
pub(crate) fn bytes_text(bytes: u64) -> String {
    if bytes < 10_000 { format!("{bytes} B") } else { bytesize::ByteSize(bytes).display().iec().to_string() }
}

/// A line for the user. Who stopped reading (`| head`) is no failure.
pub(crate) fn say(text: impl std::fmt::Display) {
    writeln!(std::io::stdout(), "{text}").unwrap_or_default();
}

/// A line beside the answer.
pub(crate) fn note(text: impl std::fmt::Display) {
    writeln!(std::io::stderr(), "{text}").unwrap_or_default();
}

/// A table without lines around it.
pub(crate) fn plain_table(head: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header(head.iter().map(|name| (*name).to_owned()));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_not_there_is_refused_and_not_made() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("typo");
        for url in [path.display().to_string(), format!("file://{}", path.display())] {
            let error = StoreArgs { url }.open().unwrap_err();
            assert!(error.to_string().contains("typo"), "{error}");
            assert!(!path.exists());
        }
        StoreArgs { url: parent.path().display().to_string() }.open().unwrap();
    }

    #[test]
    fn only_a_local_url_names_a_directory() {
        assert_eq!(directory("file://./x"), Some(FilePath::new("./x")));
        assert_eq!(directory("x"), Some(FilePath::new("x")));
        assert_eq!(directory("s3://bucket/x"), None);
        assert_eq!(directory("memory://"), None);
    }

    #[test]
    fn times_and_bytes_are_readable() {
        assert_eq!(time_text(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(time_text(i64::MIN), format!("{} µs", i64::MIN));
        assert_eq!(bytes_text(9_999), "9999 B");
        assert_eq!(bytes_text(64 << 20), "64.0 MiB");
    }
}
