//! The Iceberg JSON form of a schema, both ways.
//!
//! ```text
//!   schema = {"type":"struct","schema-id":0,"fields":[field, …]}
//!   field  = {"id":1,"name":"url","required":false,"type":type,"doc":"…"}
//!   type   = "boolean" | "int" | "long" | "float" | "double" | "decimal(p,s)" | "date" | "time" | "string" | "uuid"
//!          | "timestamp" | "timestamptz" | "timestamp_ns" | "timestamptz_ns" | "fixed[n]" | "binary"
//!          | {"type":"struct","fields":[…]}
//!          | {"type":"list","element-id":2,"element-required":true,"element":type}
//!          | {"type":"map","key-id":3,"key":type,"value-id":4,"value-required":false,"value":type}
//! ```
//!
//! A VECTOR(n) is a list of required floats with one more attribute, `"frazil-vector-length": n`.
//!
//! Invariants: `from_json(to_json(s))` gives the columns of `s` back, ids too; ids that are given are kept, missing ones
//! are filled in above them in Iceberg's order; an attribute that is not known is an error, never ignored.

mod read;
mod write;

#[cfg(test)]
mod tests;

pub use read::from_json;
pub use write::to_json;

/// The attribute of a list that makes it a vector.
const VECTOR_LENGTH_KEY: &str = "frazil-vector-length";
