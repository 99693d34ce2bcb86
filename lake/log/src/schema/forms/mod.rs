//! A schema in the forms of others: SQL text, Iceberg's JSON, Arrow; each both ways. PURE.
//!
//! Invariant: what one side writes the other reads back, up to field ids where the form has none.

pub mod arrow_form;
pub mod iceberg_json;
pub mod infer;
pub mod sql;
