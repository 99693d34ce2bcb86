//! What a table is: columns with field ids, types, key, buckets, partitions, options. PURE.
//!
//! Invariants:
//! * a field id, once given, never names another column (nested fields have ids of their own);
//! * column names are unique ignoring case, and none begins with `__`;
//! * the pseudo-columns' ids are given out after the user's columns, at creation, and never change.
//!
//! Start reading at [`TableSpec`]; [`ensure`] makes and checks one, [`evolution`] changes one. Text forms live in [`sql`] (SQL) and [`iceberg_json`]
//! (Iceberg's JSON); the Arrow form, which slices are written in, in [`arrow_form`], and the way back in [`infer`]; options
//! in [`options`]; partitions in [`partition`]; values as bytes in [`single_value`] (bounds, statistics) and hashed in [`bucket`] (which bucket a row goes to).

#[cfg(test)]
pub(crate) mod arbitrary;
pub mod bucket;
pub mod check;
pub mod ensure;
pub mod evolution;
mod forms;
pub mod ids;
pub mod options;
pub mod partition;
mod shown;
pub mod single_value;

pub use forms::{arrow_form, iceberg_json, infer, sql};
pub use ids::assign_ids;

use serde::Serialize;

use crate::id::{FieldId, SchemaId};

/// The type of a column or nested field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Type {
    /// true or false
    Boolean,
    /// 32-bit signed
    Int,
    /// 64-bit signed
    Bigint,
    /// 32-bit IEEE 754
    Real,
    /// 64-bit IEEE 754
    Double,
    /// Exact decimal: 1 ≤ precision ≤ 38, scale ≤ precision.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
    },
    /// Days since 1970-01-01
    Date,
    /// Microseconds since midnight
    Time,
    /// A point in time (with zone: UTC; without: a wall clock's).
    Timestamp {
        /// Micro- or nanoseconds.
        unit: TimestampUnit,
        /// WITH TIME ZONE.
        zone: bool,
    },
    /// UTF-8
    String,
    /// 16 bytes
    Uuid,
    /// So many bytes
    Fixed(u32),
    /// Any bytes
    Binary,
    /// Values of one type
    List(Box<Nested>),
    /// Keys to values; keys are required.
    Map(Box<Nested>, Box<Nested>),
    /// Named fields
    Struct(Vec<Column>),
    /// So many required REALs; the element has a field id as a list's has.
    Vector {
        /// How many.
        length: u32,
        /// The field id of the element.
        element_id: FieldId,
    },
}

/// The resolution of a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum TimestampUnit {
    /// TIMESTAMP(6)
    Micros,
    /// TIMESTAMP(9)
    Nanos,
}

/// The element of a list, or key or value of a map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Nested {
    /// Its field id.
    pub id: FieldId,
    /// NOT NULL.
    pub required: bool,
    /// Its type.
    pub ty: Type,
}

/// A column, or a field of a struct.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its field id, unique in the table.
    pub id: FieldId,
    /// Its name, case kept.
    pub name: String,
    /// NOT NULL.
    pub required: bool,
    /// Its type.
    pub ty: Type,
    /// A comment, or empty.
    pub doc: String,
}

/// The columns of a table at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Schema {
    /// Its number within the table.
    pub id: SchemaId,
    /// The user's columns, in order.
    pub columns: Vec<Column>,
}

/// The field ids of the pseudo-columns (`__bucket __offset __timestamp`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PseudoIds {
    /// of `__bucket`
    pub bucket: FieldId,
    /// of `__offset`
    pub offset: FieldId,
    /// of `__timestamp`
    pub timestamp: FieldId,
}

/// A field of the partition spec: an Iceberg transform of a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionField {
    /// The source column.
    pub source_id: FieldId,
    /// The partition field's own id (Iceberg counts them from 1000).
    pub field_id: i32,
    /// Its name, as Iceberg would name it.
    pub name: String,
    /// The transform as Iceberg writes it: `identity`, `day`, `bucket[16]`, …
    pub transform: String,
}

/// All that creating a table says. Stored in the log as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableSpec {
    /// The first schema.
    pub schema: Schema,
    /// The highest field id given out so far (pseudo-columns included).
    pub last_column_id: FieldId,
    /// The pseudo-columns' ids.
    pub pseudo: PseudoIds,
    /// Field ids of the primary key, in order; empty for a log table.
    pub primary_key: Vec<FieldId>,
    /// How many buckets; at least 1.
    pub buckets: u32,
    /// Field ids whose values choose the bucket, in order; empty: sticky.
    pub bucket_by: Vec<FieldId>,
    /// The number of the bucket function; 1 is the only one (design 5.1).
    pub bucket_function: u8,
    /// The partition spec; empty: unpartitioned.
    pub partitions: Vec<PartitionField>,
    /// Options as `key → canonical value`, sorted by key, only those that were given.
    pub options: Vec<(String, String)>,
}
