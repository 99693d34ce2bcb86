//! How commands print: tables for people, one JSON document or CSV for programs.
//!
//! Invariants:
//! * what a program reads goes to standard output, whole and alone; remarks go to standard error;
//! * text that came from the store cannot steer a terminal: control characters are shown, not sent.
//!
//! Start reading at [`Listing`]; rows that come over time are a [`Grid`].

pub mod csv;
mod grid;
mod listing;
pub(crate) mod number;

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde_json::Value;

pub(crate) use grid::{Grid, harmless};
pub(crate) use listing::Listing;

/// How a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// One JSON document
    Json,
    /// Comma-separated values with a header line
    Csv,
    /// An Arrow stream (rows only)
    Arrow,
}

/// Prints lines to standard output.
///
/// # Errors
/// If nobody reads there any more, or the disk is full.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Prints a JSON document, indented.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_json(document: &Value) -> io::Result<()> {
    print(&format!("{document:#}"))
}

/// Prints a remark to standard error. Where that is closed, nobody wants it.
pub(crate) fn remark(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Prints an answer about an object: a line for people, the document for programs.
///
/// # Errors
/// As [`print()`]; and where the format is for rows or lists only.
pub(crate) fn print_object(format: Format, document: &Value, line: &str) -> anyhow::Result<()> {
    match format {
        Format::Table => print(line)?,
        Format::Json => print_json(document)?,
        Format::Csv => anyhow::bail!("-o csv is for lists: this answer is one object, use -o json"),
        Format::Arrow => return Err(arrow_is_for_rows()),
    }
    Ok(())
}

/// Whether a person reads standard error.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

fn arrow_is_for_rows() -> anyhow::Error {
    anyhow::anyhow!("-o arrow is for rows, as in `frazil consume`: use -o json")
}
