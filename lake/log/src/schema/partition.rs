//! Partitions: Iceberg's transforms of columns, as they are typed (`day(at)`, `bucket(16, id)`) and as Iceberg keeps them.
//!
//! Invariants: a transform is taken only for the types that Iceberg's specification gives it; names and ids are what Iceberg's own
//! builder would give (`at_day`, `id_bucket`, from 1000 on); what `partition_sql` writes, `parse_partitions` reads.

use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Value};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use super::check::same_unicode;
use super::shown::{cut, quoted, shown, shown_path};
use super::sql::identifier_sql;
use super::{Column, PartitionField, Schema, Type};
use crate::error::{Error, Result};
use crate::id::FieldId;

/// Iceberg counts partition fields from here.
const FIRST_FIELD_ID: i32 = 1_000;
/// Partition fields of a table.
const FIELDS_MAX: usize = 100;
/// Bytes of one transform as text.
const TEXT_BYTES_MAX: usize = 1_024;

/// What a partition does to its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transform {
    Identity,
    Year,
    Month,
    Day,
    Hour,
    Bucket(u32),
    Truncate(u32),
}

/// The partition fields that a request asks for.
///
/// # Errors
/// Invalid: names the transform and says what is expected.
pub fn parse_partitions(texts: &[String], columns: &[Column]) -> Result<Vec<PartitionField>> {
    if texts.len() > FIELDS_MAX {
        return Err(Error::invalid(format!(
            "partitioned_by: {} fields, {FIELDS_MAX} are allowed",
            texts.len()
        )));
    }
    let mut fields: Vec<(Transform, PartitionField)> = Vec::new();
    for (id, text) in (FIRST_FIELD_ID..).zip(texts) {
        let wrong = |why: &str| Error::invalid(format!("partitioned_by {}: {why}", quoted(text)));
        let (transform, path) = parse(text).map_err(|error| wrong(error.message()))?;
        let (names, source) = find(columns, &path).map_err(|error| wrong(error.message()))?;
        if !transform.takes(&source.ty) {
            return Err(wrong(&format!(
                "{} is {}, and {} takes {}",
                shown_path(names.iter().copied()),
                cut(&source.ty.to_string(), 200),
                transform.word(),
                transform.types()
            )));
        }
        let name = format!("{}{}", names.join("."), transform.suffix());
        let same = |other: &(Transform, PartitionField)| {
            other.1.source_id == source.id
                && (other.0 == transform || (other.0.is_time() && transform.is_time()))
        };
        if let Some((_, other)) = fields.iter().find(|field| same(field)) {
            return Err(wrong(&format!(
                "{} is a partition by the same column already: leave one out",
                shown(&other.name)
            )));
        }
        // Iceberg knows partitions by names too: one may be called like a column only if it is that column.
        let is_taken = fields.iter().any(|(_, other)| same_unicode(&other.name) == same_unicode(&name));
        let is_column = columns
            .iter()
            .any(|column| same_unicode(&column.name) == same_unicode(&name) && column.id != source.id);
        if is_taken || is_column {
            return Err(wrong(&format!(
                "it would be called {}, which is taken: rename the column",
                shown(&name)
            )));
        }
        fields.push((
            transform,
            PartitionField { source_id: source.id, field_id: id, name, transform: transform.iceberg() },
        ));
    }
    Ok(fields.into_iter().map(|(_, field)| field).collect())
}

/// A partition field as it is typed: `day(at)`, `bucket(16, id)`; the columns as they are called now.
pub fn partition_sql(field: &PartitionField, schema: &Schema) -> String {
    let source =
        name_of(&schema.columns, field.source_id).unwrap_or_else(|| format!("field {}", field.source_id));
    match field.transform.split_once('[') {
        None => format!("{}({source})", field.transform),
        Some((word, number)) => format!("{word}({}, {source})", number.trim_end_matches(']')),
    }
}

/// The path of a column or field of a struct, quoted where SQL needs it.
fn name_of(columns: &[Column], id: FieldId) -> Option<String> {
    columns.iter().find_map(|column| match &column.ty {
        _ if column.id == id => Some(identifier_sql(&column.name)),
        Type::Struct(fields) => Some(format!("{}.{}", identifier_sql(&column.name), name_of(fields, id)?)),
        _ => None,
    })
}

fn parse(text: &str) -> Result<(Transform, Vec<Ident>)> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Error::invalid(format!("{} bytes, {TEXT_BYTES_MAX} are allowed", text.len())));
    }
    let form = || {
        Error::invalid(
            "write identity(x), year(x), month(x), day(x), hour(x), bucket(N, x) or truncate(W, x), x a column",
        )
    };
    let mut parser = Parser::new(&GenericDialect {}).try_with_sql(text).map_err(|_| form())?;
    let parsed = parser.parse_expr().map_err(|_| form())?;
    if parser.peek_token().token != sqlparser::tokenizer::Token::EOF {
        return Err(form());
    }
    let Expr::Function(function) = parsed else {
        return Ok((Transform::Identity, column(parsed).ok_or_else(form)?));
    };
    let FunctionArguments::List(list) = &function.args else { return Err(form()) };
    let plain = function.over.is_none() && function.filter.is_none() && list.clauses.is_empty();
    let arguments: Option<Vec<Expr>> = list
        .args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        })
        .collect();
    let arguments = arguments.filter(|_| plain && list.duplicate_treatment.is_none()).ok_or_else(form)?;
    let word = function.name.to_string().to_ascii_lowercase();
    let (transform, source) = match (word.as_str(), <[Expr; 1]>::try_from(arguments)) {
        ("identity", Ok([source])) => (Transform::Identity, source),
        ("year" | "years", Ok([source])) => (Transform::Year, source),
        ("month" | "months", Ok([source])) => (Transform::Month, source),
        ("day" | "days", Ok([source])) => (Transform::Day, source),
        ("hour" | "hours", Ok([source])) => (Transform::Hour, source),
        (word @ ("bucket" | "truncate"), Err(arguments)) => {
            let [number, source] = <[Expr; 2]>::try_from(arguments).map_err(|_| form())?;
            let number = positive(&number).ok_or_else(|| {
                Error::invalid(format!("write {word}(N, x), N a whole number from 1 to {}", i32::MAX))
            })?;
            (if word == "bucket" { Transform::Bucket(number) } else { Transform::Truncate(number) }, source)
        }
        _ => return Err(form()),
    };
    Ok((transform, column(source).ok_or_else(form)?))
}

fn column(expr: Expr) -> Option<Vec<Ident>> {
    match expr {
        Expr::Identifier(name) => Some(vec![name]),
        Expr::CompoundIdentifier(names) => Some(names),
        _ => None,
    }
}

fn positive(expr: &Expr) -> Option<u32> {
    let Expr::Value(value) = expr else { return None };
    let Value::Number(text, _) = &value.value else { return None };
    text.parse::<i32>().ok().filter(|number| *number > 0).map(i32::unsigned_abs)
}

/// The column of a path through structs, and the names on the way.
fn find<'c>(columns: &'c [Column], path: &[Ident]) -> Result<(Vec<&'c str>, &'c Column)> {
    let mut names = Vec::new();
    let mut within = columns;
    for (at, ident) in path.iter().enumerate() {
        let same = same_unicode(&ident.value);
        let Some(column) = within.iter().find(|column| same_unicode(&column.name) == same) else {
            let known: Vec<String> = within.iter().take(20).map(|column| shown(&column.name)).collect();
            return Err(Error::invalid(format!(
                "there is no column {}; columns are {}",
                shown(&ident.value),
                known.join(", ")
            )));
        };
        names.push(column.name.as_str());
        if at + 1 == path.len() {
            return Ok((names, column));
        }
        within = match &column.ty {
            Type::Struct(fields) => fields,
            _ => return Err(Error::invalid(format!("{} is no STRUCT", shown_path(names)))),
        };
    }
    Err(Error::invalid("name a column"))
}

impl Transform {
    fn takes(self, ty: &Type) -> bool {
        let is_time = matches!(ty, Type::Timestamp { .. });
        match self {
            Self::Identity => ty.is_primitive(),
            Self::Year | Self::Month | Self::Day => is_time || *ty == Type::Date,
            Self::Hour => is_time,
            Self::Bucket(_) => ty.is_bucketable(),
            Self::Truncate(_) => {
                matches!(ty, Type::Int | Type::Bigint | Type::Decimal { .. } | Type::String | Type::Binary)
            }
        }
    }

    fn types(self) -> &'static str {
        match self {
            Self::Identity => "any type but ARRAY, MAP, STRUCT and VECTOR",
            Self::Year | Self::Month | Self::Day => "DATE and TIMESTAMP",
            Self::Hour => "TIMESTAMP",
            Self::Bucket(_) => "INT, BIGINT, DECIMAL, DATE, TIME, TIMESTAMP, STRING, UUID, FIXED and BINARY",
            Self::Truncate(_) => "INT, BIGINT, DECIMAL, STRING and BINARY",
        }
    }

    fn is_time(self) -> bool {
        matches!(self, Self::Year | Self::Month | Self::Day | Self::Hour)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Year => "year",
            Self::Month => "month",
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Bucket(_) => "bucket",
            Self::Truncate(_) => "truncate",
        }
    }

    /// What Iceberg's builder adds to the column's name.
    fn suffix(self) -> &'static str {
        match self {
            Self::Identity => "",
            Self::Year => "_year",
            Self::Month => "_month",
            Self::Day => "_day",
            Self::Hour => "_hour",
            Self::Bucket(_) => "_bucket",
            Self::Truncate(_) => "_trunc",
        }
    }

    /// The transform as Iceberg writes it.
    fn iceberg(self) -> String {
        match self {
            Self::Bucket(number) | Self::Truncate(number) => format!("{}[{number}]", self.word()),
            _ => self.word().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::sql::parse_columns;

    const COLUMNS: &str = "id BIGINT, at TIMESTAMP WITH TIME ZONE, on_day DATE, url STRING, price DECIMAL(9,2), ok BOOLEAN, \
                           who STRUCT<born DATE, tags ARRAY<STRING>>, ratio DOUBLE, at_hour INT, \"Odd name\" STRING";

    fn parsed(texts: &[&str]) -> Result<Vec<PartitionField>> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        parse_partitions(&texts, &parse_columns(COLUMNS).unwrap())
    }

    #[track_caller]
    fn error(texts: &[&str]) -> String {
        parsed(texts).unwrap_err().to_string()
    }

    #[test]
    fn transforms_get_icebergs_names_and_ids() {
        let fields = parsed(&[
            "day(at)",
            "bucket(16, id)",
            "truncate(4, URL)",
            "identity(ok)",
            "price",
            "years(on_day)",
            "month(who.born)",
            "\"Odd name\"",
        ]);
        let fields = fields.unwrap();
        let told: Vec<(i32, &str, &str)> = fields
            .iter()
            .map(|field| (field.field_id, field.name.as_str(), field.transform.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (1000, "at_day", "day"),
                (1001, "id_bucket", "bucket[16]"),
                (1002, "url_trunc", "truncate[4]"),
                (1003, "ok", "identity"),
                (1004, "price", "identity"),
                (1005, "on_day_year", "year"),
                (1006, "who.born_month", "month"),
                (1007, "Odd name", "identity"),
            ]
        );
        let schema = Schema { id: 0, columns: parse_columns(COLUMNS).unwrap() };
        let texts: Vec<String> = fields.iter().map(|field| partition_sql(field, &schema)).collect();
        assert_eq!(texts[1], "bucket(16, id)");
        assert_eq!(texts[7], "identity(\"Odd name\")");
        assert_eq!(
            parse_partitions(&texts, &schema.columns).unwrap(),
            fields,
            "what is written is read back"
        );
    }

    #[test]
    fn types_are_those_of_icebergs_specification() {
        for (wrong, takes) in [
            ("hour(on_day)", "hour takes TIMESTAMP"),
            ("day(id)", "day takes DATE and TIMESTAMP"),
            ("bucket(4, ratio)", "bucket takes INT"),
            ("bucket(4, ok)", "bucket takes INT"),
            ("truncate(4, on_day)", "truncate takes INT"),
            ("who", "identity takes any type but"),
            ("who.tags", "identity takes any type but"),
        ] {
            assert!(error(&[wrong]).contains(takes), "{}", error(&[wrong]));
        }
    }

    #[test]
    fn what_is_no_transform_is_told_what_to_write() {
        for wrong in [
            "",
            "day(",
            "day(at) x",
            "day(at, id)",
            "bucket(id)",
            "at + 1",
            "day(1)",
            "frob(at)",
            "day(at) OVER ()",
            "1",
        ] {
            let message = error(&[wrong]);
            assert!(message.contains("write identity(x), year(x)"), "{wrong}: {message}");
        }
        for wrong in [
            "bucket(0, id)",
            "bucket(-1, id)",
            "truncate(1.5, id)",
            "bucket(4294967296, id)",
            "bucket(id, 4)",
        ] {
            assert!(error(&[wrong]).contains("N a whole number from 1"), "{wrong}: {}", error(&[wrong]));
        }
        assert!(error(&["day(nope)"]).contains("there is no column nope"));
        assert!(error(&["day(id.x)"]).contains("id is no STRUCT"));
        assert!(error(&["day(at)", "hour(at)"]).contains("at_day is a partition by the same column"));
        assert!(error(&["hour(at)"]).contains("it would be called at_hour, which is taken"));
        assert!(error(&[&"(".repeat(500)]).contains("write identity(x)"));
    }
}
