//! Columns from an Arrow schema: what `create=true` makes of an Arrow stream.
//!
//! | Arrow | type |
//! |---|---|
//! | Int8, Int16, UInt8, UInt16; UInt32; UInt64 | INT; BIGINT; DECIMAL(20,0) |
//! | Float16 | REAL |
//! | Decimal32 … Decimal256 of at most 38 digits, 0 ≤ scale ≤ precision | DECIMAL(p,s) |
//! | Date64; Time32 | DATE; TIME |
//! | Timestamp(s \| ms \| µs); Timestamp(ns); with any zone | TIMESTAMP(6); TIMESTAMP(9); WITH TIME ZONE |
//! | Large and view forms of Utf8, Binary, List | STRING, BINARY, ARRAY |
//! | FixedSizeBinary(16) that says `arrow.uuid` | UUID |
//! | FixedSizeList of Float32; of others | VECTOR(n); ARRAY |
//! | Dictionary, RunEndEncoded | the type of the values |
//!
//! and the Arrow form of each type ([`arrow_form`](super::arrow_form)) gives the type back. Fields named like
//! pseudo-columns are left out: as input they mean something else. Field ids are given out anew.

use arrow::datatypes::{DataType, Field, Fields, Schema as ArrowSchema, TimeUnit};

use crate::error::{Error, Result};
use crate::schema::check::{TYPE_DEPTH_MAX, check_columns, same_unicode};
use crate::schema::ids::assign_ids;
use crate::schema::shown::{cut, shown_path};
use crate::schema::{Column, Nested, TimestampUnit, Type};

/// The pseudo-columns, which no table has as columns of its own.
pub const PSEUDO_COLUMNS: [&str; 4] = ["__bucket", "__offset", "__timestamp", "__op"];

const EXTENSION_NAME_KEY: &str = "ARROW:extension:name";

/// The columns of an Arrow schema, names and limits checked, ids given out.
///
/// # Errors
/// Unsupported: an Arrow type without a counterpart; the message names column and type and says what to do.
/// Invalid: a name that is not allowed, no columns, a column of nothing but nulls.
pub fn infer_columns_from_arrow(schema: &ArrowSchema) -> Result<Vec<Column>> {
    let mut path = Vec::new();
    let own = schema.fields().iter().filter(|field| !PSEUDO_COLUMNS.contains(&field.name().as_str()));
    let mut columns = own.map(|field| column(&mut path, field)).collect::<Result<Vec<_>>>()?;
    assign_ids(&mut columns);
    check_columns(&columns, same_unicode)?;
    Ok(columns)
}

type Path<'a> = Vec<&'a str>;

fn column<'a>(path: &mut Path<'a>, field: &'a Field) -> Result<Column> {
    path.push(field.name());
    let ty = type_of_field(path, field)?;
    path.pop();
    Ok(Column { id: 0, name: field.name().clone(), required: !field.is_nullable(), ty, doc: String::new() })
}

fn nested<'a>(path: &mut Path<'a>, name: &'static str, field: &'a Field) -> Result<Nested> {
    path.push(name);
    let ty = type_of_field(path, field)?;
    path.pop();
    Ok(Nested { id: 0, required: name == "key" || !field.is_nullable(), ty })
}

fn type_of_field<'a>(path: &mut Path<'a>, field: &'a Field) -> Result<Type> {
    if field.data_type() == &DataType::FixedSizeBinary(16)
        && field.metadata().get(EXTENSION_NAME_KEY).is_some_and(|name| name == "arrow.uuid")
    {
        return Ok(Type::Uuid);
    }
    type_of(path, field.data_type())
}

fn type_of<'a>(path: &mut Path<'a>, data_type: &'a DataType) -> Result<Type> {
    if path.len() > TYPE_DEPTH_MAX {
        return Err(fail(path, &format!("types may nest {TYPE_DEPTH_MAX} deep, this one goes deeper")));
    }
    let ty = match data_type {
        DataType::Boolean => Type::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => Type::Int,
        DataType::Int64 | DataType::UInt32 => Type::Bigint,
        DataType::UInt64 => Type::Decimal { precision: 20, scale: 0 },
        DataType::Float16 | DataType::Float32 => Type::Real,
        DataType::Float64 => Type::Double,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => return decimal(path, data_type, *precision, *scale),
        DataType::Date32 | DataType::Date64 => Type::Date,
        DataType::Time32(_) | DataType::Time64(TimeUnit::Microsecond) => Type::Time,
        DataType::Timestamp(unit, zone) => {
            let nanos = *unit == TimeUnit::Nanosecond;
            let unit = if nanos { TimestampUnit::Nanos } else { TimestampUnit::Micros };
            Type::Timestamp { unit, zone: zone.is_some() }
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Type::String,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Type::Binary,
        DataType::FixedSizeBinary(bytes) => {
            let bytes = u64::try_from(*bytes).unwrap_or(0);
            return Type::fixed(bytes).map_err(|error| fail(path, error.message()));
        }
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::ListView(element)
        | DataType::LargeListView(element) => Type::List(Box::new(nested(path, "element", element)?)),
        DataType::FixedSizeList(element, length) => return fixed_size_list(path, element, *length),
        DataType::Struct(fields) => Type::Struct(structure(path, fields)?),
        DataType::Map(entries, _) => return map(path, entries),
        DataType::Dictionary(_, values) => return type_of(path, values),
        DataType::RunEndEncoded(_, values) => return type_of_field(path, values),
        DataType::Null => {
            return Err(fail(
                path,
                "it holds nothing but nulls, so its type is not known: create the table first",
            ));
        }
        other => return Err(no_counterpart(path, other)),
    };
    Ok(ty)
}

fn decimal(path: &Path<'_>, data_type: &DataType, precision: u8, scale: i8) -> Result<Type> {
    let checked = u64::try_from(scale).ok().map(|scale| Type::decimal(u64::from(precision), scale));
    checked.and_then(Result::ok).ok_or_else(|| no_counterpart(path, data_type))
}

fn fixed_size_list<'a>(path: &mut Path<'a>, element: &'a Field, length: i32) -> Result<Type> {
    let length = u64::try_from(length).unwrap_or(0);
    match (element.data_type(), Type::vector(length)) {
        (DataType::Float32, Ok(vector)) => Ok(vector),
        _ => Ok(Type::List(Box::new(nested(path, "element", element)?))),
    }
}

fn structure<'a>(path: &mut Path<'a>, fields: &'a Fields) -> Result<Vec<Column>> {
    fields.iter().map(|field| column(path, field)).collect()
}

fn map<'a>(path: &mut Path<'a>, entries: &'a Field) -> Result<Type> {
    let DataType::Struct(pair) = entries.data_type() else {
        return Err(no_counterpart(path, entries.data_type()));
    };
    let [key, value] = pair.as_ref() else {
        return Err(no_counterpart(path, entries.data_type()));
    };
    Ok(Type::Map(Box::new(nested(path, "key", key)?), Box::new(nested(path, "value", value)?)))
}

fn no_counterpart(path: &Path<'_>, data_type: &DataType) -> Error {
    let shown = cut(&data_type.to_string(), 64);
    let cast = match data_type {
        DataType::Time64(_) => "cast it to microseconds",
        DataType::Duration(_) => "cast it to Int64",
        DataType::Interval(_) => "cast it to a string",
        DataType::Union(..) => "make it a struct",
        _ => "cast it to a type that is there",
    };
    Error::unsupported(at_column(path, &format!("Arrow's {shown} has no type here: {cast}")))
}

fn fail(path: &Path<'_>, message: &str) -> Error {
    Error::invalid(at_column(path, message))
}

fn at_column(path: &Path<'_>, message: &str) -> String {
    format!("column {}: {message}", shown_path(path.iter().copied()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::IntervalUnit;
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;
    use crate::error::ErrorKind;
    use crate::schema::arrow_form::arrow_schema;
    use crate::schema::{Schema, arbitrary};

    fn infer(data_type: DataType) -> Result<Vec<Column>> {
        infer_columns_from_arrow(&ArrowSchema::new(vec![Field::new("c", data_type, true)]))
    }

    fn text(data_type: DataType) -> String {
        infer(data_type).unwrap()[0].to_string()
    }

    fn item(data_type: DataType) -> Arc<Field> {
        Arc::new(Field::new("item", data_type, true))
    }

    #[test]
    fn every_arrow_type_finds_its_type() {
        let dictionary = |values| DataType::Dictionary(Box::new(DataType::Int32), Box::new(values));
        let runs = DataType::RunEndEncoded(item(DataType::Int32), item(DataType::Date64));
        let entries = Fields::from(vec![
            Field::new("keys", DataType::LargeUtf8, false),
            Field::new("values", DataType::UInt8, true),
        ]);
        let map = DataType::Map(item(DataType::Struct(entries)), false);
        let cases = [
            (DataType::Int8, "INT"),
            (DataType::UInt16, "INT"),
            (DataType::UInt32, "BIGINT"),
            (DataType::UInt64, "DECIMAL(20,0)"),
            (DataType::Float16, "REAL"),
            (DataType::Decimal256(38, 4), "DECIMAL(38,4)"),
            (DataType::Decimal32(5, 2), "DECIMAL(5,2)"),
            (DataType::Time32(TimeUnit::Second), "TIME"),
            (DataType::Timestamp(TimeUnit::Millisecond, None), "TIMESTAMP(6)"),
            (
                DataType::Timestamp(TimeUnit::Second, Some("Europe/Berlin".into())),
                "TIMESTAMP(6) WITH TIME ZONE",
            ),
            (DataType::Timestamp(TimeUnit::Nanosecond, None), "TIMESTAMP(9)"),
            (DataType::Utf8View, "STRING"),
            (dictionary(DataType::LargeUtf8), "STRING"),
            (runs, "DATE"),
            (DataType::LargeBinary, "BINARY"),
            (DataType::FixedSizeBinary(16), "FIXED(16)"),
            (DataType::LargeList(item(DataType::Int64)), "ARRAY<BIGINT>"),
            (DataType::FixedSizeList(item(DataType::Float32), 3), "VECTOR(3)"),
            (DataType::FixedSizeList(item(DataType::Float64), 3), "ARRAY<DOUBLE>"),
            (map, "MAP<STRING,INT>"),
        ];
        for (data_type, expected) in cases {
            assert_eq!(text(data_type), format!("c {expected}"));
        }
    }

    #[test]
    fn nullability_ids_and_extensions_are_kept_and_pseudo_columns_left_out() {
        let uuid = Field::new("u", DataType::FixedSizeBinary(16), false)
            .with_metadata([(EXTENSION_NAME_KEY.to_owned(), "arrow.uuid".to_owned())].into());
        let pseudo = PSEUDO_COLUMNS.map(|name| Field::new(name, DataType::Int64, true));
        let fields = pseudo.into_iter().chain([uuid, Field::new("n", DataType::Int64, true)]);
        let columns = infer_columns_from_arrow(&ArrowSchema::new(fields.collect::<Vec<_>>())).unwrap();
        let texts: Vec<String> = columns.iter().map(|c| format!("{} {c}", c.id)).collect();
        assert_eq!(texts, ["1 u UUID NOT NULL", "2 n BIGINT"]);
    }

    #[test]
    fn an_error_names_the_column_and_says_what_to_do() {
        let error = |data_type, kind| {
            let error = infer(data_type).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            error.to_string()
        };
        let unsupported = |data_type| error(data_type, ErrorKind::Unsupported);
        assert_eq!(
            unsupported(DataType::List(item(DataType::Duration(TimeUnit::Second)))),
            "column c.element: Arrow's Duration(s) has no type here: cast it to Int64"
        );
        assert_eq!(
            unsupported(DataType::Time64(TimeUnit::Nanosecond)),
            "column c: Arrow's Time64(ns) has no type here: cast it to microseconds"
        );
        assert!(unsupported(DataType::Interval(IntervalUnit::DayTime)).ends_with(": cast it to a string"));
        assert!(unsupported(DataType::Decimal128(5, -2)).contains("has no type here"));
        assert!(unsupported(DataType::Decimal256(39, 0)).contains("has no type here"));
        assert_eq!(
            error(DataType::Null, ErrorKind::Invalid),
            "column c: it holds nothing but nulls, so its type is not known: create the table first"
        );
        assert!(
            error(DataType::FixedSizeBinary(0), ErrorKind::Invalid)
                .starts_with("column c: FIXED(0) is out of")
        );
        assert!(
            error(DataType::Struct(Fields::empty()), ErrorKind::Invalid)
                .starts_with("column c: a STRUCT needs")
        );
        let deep = (0..16).fold(DataType::Int8, |ty, _| DataType::List(item(ty)));
        assert!(error(deep, ErrorKind::Invalid).ends_with(": types may nest 16 deep, this one goes deeper"));
        let none = infer_columns_from_arrow(&ArrowSchema::empty()).unwrap_err();
        assert_eq!(none.to_string(), "a table needs at least one column: give one such as `id BIGINT`");
    }

    proptest! {
        #[test]
        fn the_arrow_form_of_a_schema_gives_its_columns_back(schema in arbitrary::schemas()) {
            let inferred = infer_columns_from_arrow(&arrow_schema(&schema)).unwrap();
            // Arrow has neither UUIDs nor comments of its own.
            let plain = |columns: Vec<Column>| {
                let text = crate::schema::sql::columns_sql(&Schema { id: 0, columns: without_docs(columns) });
                text.replace("UUID", "FIXED(16)")
            };
            prop_assert_eq!(plain(inferred), plain(schema.columns));
        }
    }

    fn without_docs(mut columns: Vec<Column>) -> Vec<Column> {
        fn strip(ty: &mut Type) {
            match ty {
                Type::List(element) => strip(&mut element.ty),
                Type::Map(key, value) => {
                    strip(&mut key.ty);
                    strip(&mut value.ty);
                }
                Type::Struct(fields) => *fields = without_docs(std::mem::take(fields)),
                _ => {}
            }
        }
        for column in &mut columns {
            column.doc.clear();
            strip(&mut column.ty);
        }
        columns
    }
}
