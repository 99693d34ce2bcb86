//! Whether a PUT asks for the table that is there.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::FieldId;
use crate::schema::options::{OPTIONS, shown_option};
use crate::schema::partition::partition_sql;
use crate::schema::shown::{cut, shown};
use crate::schema::{Column, PartitionField, TableSpec, Type};

/// The first difference between a table and what a PUT asks for, as a sentence; `None` if the PUT changes nothing.
///
/// Field ids and schema ids do not count; an option that is not given counts as its default.
pub fn difference(existing: &TableSpec, wanted: &TableSpec) -> Option<String> {
    let names = |spec: &TableSpec, ids: &[FieldId]| {
        let name = |id: &FieldId| {
            let column = spec.schema.columns.iter().find(|column| column.id == *id);
            column.map_or_else(|| format!("field {id}"), |column| shown(&column.name))
        };
        let names: Vec<String> = ids.iter().map(name).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let partitions = |spec: &TableSpec| {
        let partition = |field: &PartitionField| partition_sql(field, &spec.schema);
        let partitions: Vec<String> = spec.partitions.iter().map(partition).collect();
        if partitions.is_empty() { "none".to_owned() } else { partitions.join(", ") }
    };
    columns_difference("", &existing.schema.columns, &wanted.schema.columns)
        .or_else(|| {
            let is = names(existing, &existing.primary_key);
            changed("primary_key", &is, &names(wanted, &wanted.primary_key))
        })
        .or_else(|| changed("partitioned_by", &partitions(existing), &partitions(wanted)))
        .or_else(|| changed("buckets", &existing.buckets.to_string(), &wanted.buckets.to_string()))
        .or_else(|| {
            let is = names(existing, &existing.bucket_by);
            changed("bucket_by", &is, &names(wanted, &wanted.bucket_by))
        })
        .or_else(|| {
            let is = existing.bucket_function.to_string();
            changed("bucket function", &is, &wanted.bucket_function.to_string())
        })
        .or_else(|| options_difference(&existing.options, &wanted.options))
}

/// The first difference of columns; `prefix` is the path of the struct that they are in, with its dot.
fn columns_difference(prefix: &str, existing: &[Column], wanted: &[Column]) -> Option<String> {
    let places: BTreeMap<&str, (usize, &Column)> =
        existing.iter().enumerate().map(|(place, column)| (column.name.as_str(), (place, column))).collect();
    let mut moved = None;
    for (place, column) in wanted.iter().enumerate() {
        let path = format!("{prefix}{}", shown(&column.name));
        let Some((place_now, now)) = places.get(column.name.as_str()) else {
            return Some(format!("column {path}: not in the table"));
        };
        if let Some(found) = column_difference(&path, now, column) {
            return Some(found);
        }
        if *place_now != place && moved.is_none() {
            moved =
                Some(format!("column {path}: is number {}, asked as number {}", place_now + 1, place + 1));
        }
    }
    let asked: BTreeSet<&str> = wanted.iter().map(|column| column.name.as_str()).collect();
    let left = existing.iter().find(|column| !asked.contains(column.name.as_str()));
    left.map(|column| format!("column {prefix}{}: in the table, not asked for", shown(&column.name)))
        .or(moved)
}

fn column_difference(path: &str, now: &Column, wanted: &Column) -> Option<String> {
    if let (Type::Struct(fields_now), Type::Struct(fields)) = (&now.ty, &wanted.ty)
        && let Some(found) = columns_difference(&format!("{path}."), fields_now, fields)
    {
        return Some(found);
    }
    let text = |column: &Column| format!("{}{}", column.ty, if column.required { " NOT NULL" } else { "" });
    let quoted = |doc: &str| format!("{doc:?}");
    changed(&format!("column {path}"), &text(now), &text(wanted))
        .or_else(|| changed(&format!("comment of column {path}"), &quoted(&now.doc), &quoted(&wanted.doc)))
}

fn options_difference(existing: &[(String, String)], wanted: &[(String, String)]) -> Option<String> {
    let given = existing.iter().chain(wanted).map(|(name, _)| name.as_str());
    let names: BTreeSet<&str> = given.collect();
    let value = |options: &[(String, String)], name: &str| {
        let given = options.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone());
        let default = || OPTIONS.iter().find(|spec| spec.name == name).map(|spec| spec.default.to_owned());
        given.or_else(default).unwrap_or_else(|| "not set".to_owned())
    };
    names.into_iter().find_map(|name| {
        changed(&format!("option {}", shown_option(name)), &value(existing, name), &value(wanted, name))
    })
}

fn changed(what: &str, is: &str, asked: &str) -> Option<String> {
    (is != asked).then(|| format!("{what}: is {}, asked {}", cut(is, 200), cut(asked, 200)))
}
