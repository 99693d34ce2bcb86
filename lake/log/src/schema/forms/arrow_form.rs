//! The Arrow form of a schema: what record batches in slices, requests and answers look like.
//!
//! | type | Arrow |
//! |---|---|
//! | BOOLEAN, INT, BIGINT, REAL, DOUBLE | Boolean, Int32, Int64, Float32, Float64 |
//! | DECIMAL(p,s) | Decimal128(p, s) |
//! | DATE, TIME | Date32, Time64(µs) |
//! | TIMESTAMP(6\|9) [WITH TIME ZONE] | Timestamp(µs\|ns, none\|"UTC") |
//! | STRING, BINARY | Utf8, Binary |
//! | UUID, FIXED(n) | FixedSizeBinary(16), FixedSizeBinary(n) |
//! | ARRAY, MAP, STRUCT | List("element"), Map("entries": "key", "value"), Struct |
//! | VECTOR(n) | FixedSizeList("element" Float32 not null, n) |
//!
//! Each field carries its field id as the metadata `PARQUET:field_id`, as Parquet and Iceberg readers expect.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema as ArrowSchema, SchemaRef, TimeUnit};

use crate::id::FieldId;
use crate::schema::{Column, Nested, Schema, TimestampUnit, Type};

/// The metadata key under which Arrow fields carry their field id.
pub const FIELD_ID_KEY: &str = "PARQUET:field_id";

/// The Arrow schema of a table's user columns.
pub fn arrow_schema(schema: &Schema) -> SchemaRef {
    Arc::new(ArrowSchema::new(schema.columns.iter().map(arrow_field).collect::<Fields>()))
}

/// The Arrow field of a column, nested fields included.
pub fn arrow_field(column: &Column) -> Field {
    field(&column.name, data_type(&column.ty), !column.required, column.id)
}

/// The Arrow type of a type.
pub fn data_type(ty: &Type) -> DataType {
    match ty {
        Type::Boolean => DataType::Boolean,
        Type::Int => DataType::Int32,
        Type::Bigint => DataType::Int64,
        Type::Real => DataType::Float32,
        Type::Double => DataType::Float64,
        Type::Decimal { precision, scale } => DataType::Decimal128(*precision, scale.cast_signed()),
        Type::Date => DataType::Date32,
        Type::Time => DataType::Time64(TimeUnit::Microsecond),
        Type::Timestamp { unit, zone } => {
            let unit = match unit {
                TimestampUnit::Micros => TimeUnit::Microsecond,
                TimestampUnit::Nanos => TimeUnit::Nanosecond,
            };
            DataType::Timestamp(unit, zone.then(|| "UTC".into()))
        }
        Type::String => DataType::Utf8,
        Type::Uuid => DataType::FixedSizeBinary(16),
        Type::Fixed(length) => DataType::FixedSizeBinary(length.cast_signed()),
        Type::Binary => DataType::Binary,
        Type::List(element) => DataType::List(Arc::new(nested_field("element", element))),
        Type::Map(key, value) => {
            let entries = Fields::from(vec![nested_field("key", key), nested_field("value", value)]);
            DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
        }
        Type::Struct(fields) => DataType::Struct(fields.iter().map(arrow_field).collect()),
        Type::Vector { length, element_id } => DataType::FixedSizeList(
            Arc::new(field("element", DataType::Float32, false, *element_id)),
            length.cast_signed(),
        ),
    }
}

fn nested_field(name: &str, nested: &Nested) -> Field {
    field(name, data_type(&nested.ty), !nested.required, nested.id)
}

fn field(name: &str, data_type: DataType, nullable: bool, id: FieldId) -> Field {
    Field::new(name, data_type, nullable).with_metadata([(FIELD_ID_KEY.to_owned(), id.to_string())].into())
}
