//! Columns and types as Iceberg's JSON.

use serde_json::{Value, json};

use super::VECTOR_LENGTH_KEY;
use crate::schema::{Column, Schema, TimestampUnit, Type};

/// A schema in Iceberg's JSON form.
pub fn to_json(schema: &Schema) -> Value {
    json!({"type": "struct", "schema-id": schema.id, "fields": fields_json(&schema.columns)})
}

fn fields_json(columns: &[Column]) -> Value {
    columns.iter().map(field_json).collect()
}

fn field_json(column: &Column) -> Value {
    let mut field = json!({
        "id": column.id, "name": column.name, "required": column.required, "type": type_json(&column.ty),
    });
    if !column.doc.is_empty() {
        field["doc"] = Value::from(column.doc.as_str());
    }
    field
}

fn type_json(ty: &Type) -> Value {
    let name = match ty {
        Type::Boolean => "boolean",
        Type::Int => "int",
        Type::Bigint => "long",
        Type::Real => "float",
        Type::Double => "double",
        Type::Date => "date",
        Type::Time => "time",
        Type::Timestamp { unit: TimestampUnit::Micros, zone: false } => "timestamp",
        Type::Timestamp { unit: TimestampUnit::Micros, zone: true } => "timestamptz",
        Type::Timestamp { unit: TimestampUnit::Nanos, zone: false } => "timestamp_ns",
        Type::Timestamp { unit: TimestampUnit::Nanos, zone: true } => "timestamptz_ns",
        Type::String => "string",
        Type::Uuid => "uuid",
        Type::Binary => "binary",
        Type::Decimal { precision, scale } => return Value::from(format!("decimal({precision},{scale})")),
        Type::Fixed(bytes) => return Value::from(format!("fixed[{bytes}]")),
        Type::List(element) => {
            return json!({
                "type": "list", "element-id": element.id, "element-required": element.required,
                "element": type_json(&element.ty),
            });
        }
        Type::Vector { length, element_id } => {
            return json!({
                "type": "list", "element-id": element_id, "element-required": true, "element": "float",
                VECTOR_LENGTH_KEY: length,
            });
        }
        Type::Map(key, value) => {
            return json!({
                "type": "map", "key-id": key.id, "key": type_json(&key.ty),
                "value-id": value.id, "value-required": value.required, "value": type_json(&value.ty),
            });
        }
        Type::Struct(fields) => return json!({"type": "struct", "fields": fields_json(fields)}),
    };
    Value::from(name)
}
