//! The SQL form of columns: `id BIGINT NOT NULL, url STRING COMMENT 'where to'`, both ways.
//!
//! Invariants:
//! * `parse_columns(columns_sql(s))` gives the columns of `s` back, up to their field ids;
//! * one type has one canonical text (the `Display` of `Type`), whatever synonym it was written in;
//! * nothing that was written is ignored: what cannot be kept (a VARCHAR's length, a DEFAULT) is an error.
//!
//! `sqlparser` cuts the text into words; the grammar of types is our own (`parse.rs`), because sqlparser's loses `NOT NULL`
//! and `COMMENT` inside of types and bounds neither their depth nor their number.

mod parse;
mod words;
mod write;

#[cfg(test)]
mod tests;

pub use parse::{COLUMNS_TEXT_BYTES_MAX, parse_columns};
pub use write::{columns_sql, identifier_sql};
