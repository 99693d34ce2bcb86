//! Columns and types as canonical SQL.

use std::fmt;

use crate::schema::shown::is_plain;
use crate::schema::{Column, Nested, Schema, TimestampUnit, Type};

/// A schema's columns as SQL: `id BIGINT NOT NULL, url STRING`.
pub fn columns_sql(schema: &Schema) -> String {
    let columns: Vec<String> = schema.columns.iter().map(Column::to_string).collect();
    columns.join(", ")
}

/// A name as SQL: quoted where it must be.
pub fn identifier_sql(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::Int => f.write_str("INT"),
            Self::Bigint => f.write_str("BIGINT"),
            Self::Real => f.write_str("REAL"),
            Self::Double => f.write_str("DOUBLE"),
            Self::Decimal { precision, scale } => write!(f, "DECIMAL({precision},{scale})"),
            Self::Date => f.write_str("DATE"),
            Self::Time => f.write_str("TIME"),
            Self::Timestamp { unit, zone } => {
                let digits = match unit {
                    TimestampUnit::Micros => 6,
                    TimestampUnit::Nanos => 9,
                };
                write!(f, "TIMESTAMP({digits}){}", if *zone { " WITH TIME ZONE" } else { "" })
            }
            Self::String => f.write_str("STRING"),
            Self::Uuid => f.write_str("UUID"),
            Self::Fixed(bytes) => write!(f, "FIXED({bytes})"),
            Self::Binary => f.write_str("BINARY"),
            Self::List(element) => write!(f, "ARRAY<{element}>"),
            Self::Map(key, value) => write!(f, "MAP<{},{value}>", key.ty),
            Self::Struct(fields) => {
                f.write_str("STRUCT<")?;
                for (place, field) in fields.iter().enumerate() {
                    write!(f, "{}{field}", if place == 0 { "" } else { ", " })?;
                }
                f.write_str(">")
            }
            Self::Vector { length, .. } => write!(f, "VECTOR({length})"),
        }
    }
}

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.ty, if self.required { " NOT NULL" } else { "" })
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", identifier_sql(&self.name), self.ty)?;
        if self.required {
            f.write_str(" NOT NULL")?;
        }
        if !self.doc.is_empty() {
            write!(f, " COMMENT '{}'", self.doc.replace('\'', "''"))?;
        }
        Ok(())
    }
}
