//! How a type is called in an error: as SQL writes it.

use frazil_log::schema::{Nested, TimestampUnit, Type};

/// The type as a user types it.
pub(crate) fn type_name(ty: &Type) -> String {
    match ty {
        Type::Boolean => "BOOLEAN".to_owned(),
        Type::Int => "INT".to_owned(),
        Type::Bigint => "BIGINT".to_owned(),
        Type::Real => "REAL".to_owned(),
        Type::Double => "DOUBLE".to_owned(),
        Type::Decimal { precision, scale } => format!("DECIMAL({precision},{scale})"),
        Type::Date => "DATE".to_owned(),
        Type::Time => "TIME".to_owned(),
        Type::Timestamp { unit, zone } => {
            let digits = if *unit == TimestampUnit::Micros { 6 } else { 9 };
            format!("TIMESTAMP({digits}){}", if *zone { " WITH TIME ZONE" } else { "" })
        }
        Type::String => "STRING".to_owned(),
        Type::Uuid => "UUID".to_owned(),
        Type::Fixed(length) => format!("FIXED({length})"),
        Type::Binary => "BINARY".to_owned(),
        Type::List(element) => format!("ARRAY<{}>", nested_name(element)),
        Type::Map(key, value) => format!("MAP<{}, {}>", type_name(&key.ty), nested_name(value)),
        Type::Struct(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|field| format!("{} {}{}", field.name, type_name(&field.ty), not_null(field.required)))
                .collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        Type::Vector { length, .. } => format!("VECTOR({length})"),
    }
}

fn nested_name(nested: &Nested) -> String {
    format!("{}{}", type_name(&nested.ty), not_null(nested.required))
}

fn not_null(required: bool) -> &'static str {
    if required { " NOT NULL" } else { "" }
}
