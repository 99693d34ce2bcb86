//! A list of changes, as `PATCH …/tables/{t}` gives it, and what it makes of a table's spec.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::check_successor;
use super::path::{self, Step};
use super::successor::is_wider;
use crate::error::{Error, Result};
use crate::id::FieldId;
use crate::schema::check::{check_columns, same_unicode};
use crate::schema::ensure::refuse_nanos;
use crate::schema::ids::{FIELD_ID_MAX, fill_ids_above, visit_ids};
use crate::schema::options::{canonical, option};
use crate::schema::shown::{cut, shown};
use crate::schema::sql::{identifier_sql, parse_columns};
use crate::schema::{Column, TableSpec, Type};

/// Changes in one list.
pub const CHANGES_MAX: usize = 1_000;

/// What `PATCH …/tables/{t}` asks for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlterRequest {
    /// The changes, made one after the other; all of them or none.
    pub alter: Vec<Change>,
}

/// One change. Columns are named as in SQL; a field of a struct as `person.zip`, of a list's elements as `tags.element.zip`, of
/// a map's values as `prices.value.zip`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Adds a column, which may be null.
    Add(Add),
    /// Gives a column another name.
    Rename(Rename),
    /// Gives a column a type that holds all its values, or lets it be null.
    Widen(Widen),
    /// Drops a column.
    Drop(String),
    /// Moves a column among its neighbours.
    Move(Move),
    /// Sets options.
    Set(BTreeMap<String, Value>),
    /// Takes options back to their defaults.
    Unset(Unset),
}

/// See [`Change::Add`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Add {
    /// Its name.
    pub name: String,
    /// Its type as SQL, maybe with a COMMENT.
    #[serde(rename = "type")]
    pub ty: String,
    /// A comment.
    #[serde(default, alias = "doc")]
    pub comment: Option<String>,
    /// Put it first.
    #[serde(default)]
    pub first: bool,
    /// Put it behind this one.
    #[serde(default)]
    pub after: Option<String>,
    /// Put it before this one.
    #[serde(default)]
    pub before: Option<String>,
}

/// See [`Change::Rename`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// The column.
    pub from: String,
    /// Its new name, without the path.
    pub to: String,
}

/// See [`Change::Widen`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Widen {
    /// The column.
    #[serde(alias = "name")]
    pub column: String,
    /// Its new type as SQL; the old one if it is not given.
    #[serde(default, rename = "type")]
    pub ty: Option<String>,
    /// `false`: it may be null from now on.
    #[serde(default)]
    pub required: Option<bool>,
}

/// See [`Change::Move`]; one of `first`, `after` and `before`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// The column.
    #[serde(alias = "name")]
    pub column: String,
    /// To the front.
    #[serde(default)]
    pub first: bool,
    /// Behind this neighbour.
    #[serde(default)]
    pub after: Option<String>,
    /// Before this neighbour.
    #[serde(default)]
    pub before: Option<String>,
}

/// See [`Change::Unset`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Unset {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

/// What the changes make of a spec.
///
/// # Errors
/// Invalid: says which change cannot be made and why. Unsupported: names the type or option that is not there yet.
pub fn alter(old: &TableSpec, changes: &[Change]) -> Result<TableSpec> {
    if changes.len() > CHANGES_MAX {
        let count = changes.len();
        return Err(Error::invalid(format!("{count} changes in one list: give at most {CHANGES_MAX}")));
    }
    let mut new = old.clone();
    for change in changes {
        match change {
            Change::Add(add) => add_column(&mut new, add)?,
            Change::Rename(rename) => rename_column(&mut new, rename)?,
            Change::Widen(widen) => widen_column(&mut new, widen)?,
            Change::Drop(name) => drop_column(&mut new, name)?,
            Change::Move(change) => move_column(&mut new, change)?,
            Change::Set(options) => set_options(&mut new, options)?,
            Change::Unset(Unset::One(name)) => unset_option(&mut new, name)?,
            Change::Unset(Unset::Several(names)) => {
                names.iter().try_for_each(|name| unset_option(&mut new, name))?;
            }
        }
    }
    check_columns(&new.schema.columns, same_unicode)?;
    refuse_nanos(&new.schema.columns)?;
    if new.schema.columns != old.schema.columns {
        let too_many = || Error::invalid("the table was altered too often: make another");
        new.schema.id = old.schema.id.checked_add(1).ok_or_else(too_many)?;
    }
    check_successor(old, &new)?;
    Ok(new)
}

fn add_column(spec: &mut TableSpec, add: &Add) -> Result<()> {
    let columns = &mut spec.schema.columns;
    // `person.zip` is a field of the struct `person`, if there is one; else a column with a dot in its name.
    let nested = add.name.rsplit_once('.').and_then(|(parent, leaf)| {
        let mut steps = path::find(columns, parent)?;
        let (ty, _) = path::field(columns, &steps)?;
        matches!(ty, Type::Struct(_)).then(|| steps.push(Step::Field(0)))?;
        Some((steps, leaf))
    });
    let (steps, leaf) = nested.unwrap_or((vec![Step::Field(0)], &add.name));
    let mut column = one_column(&add.name, leaf, &add.ty)?;
    if column.required {
        return Err(Error::invalid(format!(
            "column {}: rows that are there have no value of it, so it must allow null: leave NOT NULL out",
            shown(&add.name)
        )));
    }
    if let Some(comment) = &add.comment {
        column.doc.clone_from(comment);
    }
    let mut fresh = [column];
    spec.last_column_id = fill_ids_above(&mut fresh, spec.last_column_id);
    if spec.last_column_id > FIELD_ID_MAX {
        return Err(Error::invalid("the table has no field ids left: make another"));
    }
    let (fields, _) = path::siblings(columns, &steps).ok_or_else(|| unknown(&add.name, &[]))?;
    let at = place(fields, (add.first, add.after.as_deref(), add.before.as_deref()), &add.name)?;
    let at = at.unwrap_or(fields.len());
    fields.splice(at..at, fresh);
    Ok(())
}

/// A column of a name and a type as SQL; its ids are still to be given out.
fn one_column(path: &str, name: &str, ty: &str) -> Result<Column> {
    let parsed = parse_columns(&format!("{} {ty}", identifier_sql(name)))
        .map_err(|error| Error::new(error.kind(), format!("column {}: {}", shown(path), error.message())))?;
    let [column] = <[Column; 1]>::try_from(parsed).map_err(|_| {
        Error::invalid(format!("column {}: give one type, such as BIGINT or ARRAY<STRING>", shown(path)))
    })?;
    Ok(column)
}

/// Where among its neighbours a column is to stand; nothing if that is not said.
fn place(
    fields: &[Column],
    (first, after, before): (bool, Option<&str>, Option<&str>),
    column: &str,
) -> Result<Option<usize>> {
    match (first, after, before) {
        (false, None, None) => Ok(None),
        (true, None, None) => Ok(Some(0)),
        (false, Some(name), None) => neighbour(fields, name).map(|at| Some(at + 1)),
        (false, None, Some(name)) => neighbour(fields, name).map(Some),
        _ => Err(Error::invalid(format!(
            "column {}: give one of \"first\":true, \"after\" and \"before\"",
            shown(column)
        ))),
    }
}

/// Which of the fields is named, by itself or with the path that they have in common.
fn neighbour(fields: &[Column], name: &str) -> Result<usize> {
    let leaf = || name.rsplit_once('.').and_then(|(_, leaf)| path::position(fields, leaf));
    path::position(fields, name).or_else(leaf).ok_or_else(|| unknown(name, fields))
}

fn rename_column(spec: &mut TableSpec, rename: &Rename) -> Result<()> {
    let (fields, at) = sibling(spec, &rename.from)?;
    fields[at].name.clone_from(&rename.to);
    Ok(())
}

fn widen_column(spec: &mut TableSpec, widen: &Widen) -> Result<()> {
    let steps = steps(spec, &widen.column)?;
    let (ty, required) =
        path::field(&mut spec.schema.columns, &steps).ok_or_else(|| unknown(&widen.column, &[]))?;
    if let Some(text) = &widen.ty {
        let given = one_column(&widen.column, "c", text)?;
        *ty = widened(ty, &given.ty).map_err(|error| {
            Error::invalid(format!("column {}: {}", shown(&widen.column), error.message()))
        })?;
    }
    match widen.required {
        Some(true) if !*required => Err(Error::invalid(format!(
            "column {}: it may be null, and rows that are there may be: it cannot become NOT NULL",
            shown(&widen.column)
        ))),
        Some(false) => {
            *required = false;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The wider type, with the field ids of the old one.
fn widened(old: &Type, given: &Type) -> Result<Type> {
    let nested = |old: &crate::schema::Nested, given: &crate::schema::Nested| {
        Ok::<_, Error>(Box::new(crate::schema::Nested { ty: widened(&old.ty, &given.ty)?, ..old.clone() }))
    };
    match (old, given) {
        (Type::List(old), Type::List(given)) => Ok(Type::List(nested(old, given)?)),
        (Type::Map(key, old), Type::Map(given_key, given)) if key.ty == given_key.ty => {
            Ok(Type::Map(key.clone(), nested(old, given)?))
        }
        (Type::Struct(_), Type::Struct(_)) => {
            Err(Error::invalid("name the field to widen, such as person.age, rather than the STRUCT"))
        }
        (Type::Vector { length, .. }, Type::Vector { length: given, .. }) if length == given => {
            Ok(old.clone())
        }
        (old, given) if old == given => Ok(old.clone()),
        (old, given) if is_wider(old, given) => Ok(given.clone()),
        (old, given) => Err(Error::invalid(format!(
            "{} cannot become {}: a type may be widened from INT to BIGINT, from REAL to DOUBLE, and from DECIMAL(p,s) to \
             more digits p; add another column instead",
            cut(&old.to_string(), 200),
            cut(&given.to_string(), 200)
        ))),
    }
}

fn drop_column(spec: &mut TableSpec, name: &str) -> Result<()> {
    let key: BTreeSet<FieldId> = spec.primary_key.iter().copied().collect();
    let bucket_by: BTreeSet<FieldId> = spec.bucket_by.iter().copied().collect();
    let partitions: BTreeSet<FieldId> = spec.partitions.iter().map(|field| field.source_id).collect();
    let (fields, at) = sibling(spec, name)?;
    let mut used = None;
    visit_ids(std::slice::from_ref(&fields[at]), &mut |id| {
        used = used.or(match () {
            () if key.contains(&id) => Some("belongs to the primary key"),
            () if bucket_by.contains(&id) => Some("chooses the bucket (bucket_by)"),
            () if partitions.contains(&id) => Some("is used by a partition (partitioned_by)"),
            () => None,
        });
    });
    if let Some(used) = used {
        return Err(Error::invalid(format!("column {}: it {used}, so it cannot be dropped", shown(name))));
    }
    if fields.len() == 1 {
        return Err(Error::invalid(format!(
            "column {}: it is the last one; drop the table instead, or the column that holds it",
            shown(name)
        )));
    }
    fields.remove(at);
    Ok(())
}

fn move_column(spec: &mut TableSpec, change: &Move) -> Result<()> {
    let (fields, at) = sibling(spec, &change.column)?;
    for named in change.after.iter().chain(&change.before) {
        if neighbour(fields, named).is_ok_and(|named| named == at) {
            return Err(Error::invalid(format!(
                "column {}: it cannot be moved {} itself: name another column",
                shown(&change.column),
                if change.after.is_some() { "after" } else { "before" }
            )));
        }
    }
    let column = fields.remove(at);
    let where_to = (change.first, change.after.as_deref(), change.before.as_deref());
    let to = place(fields, where_to, &change.column)?.ok_or_else(|| {
        Error::invalid(format!(
            "column {}: say where to: one of \"first\":true, \"after\" and \"before\"",
            shown(&change.column)
        ))
    })?;
    fields.insert(to, column);
    Ok(())
}

fn set_options(spec: &mut TableSpec, given: &BTreeMap<String, Value>) -> Result<()> {
    for (name, value) in canonical(given)? {
        spec.options.retain(|(known, _)| *known != name);
        spec.options.push((name, value));
    }
    spec.options.sort();
    Ok(())
}

fn unset_option(spec: &mut TableSpec, name: &str) -> Result<()> {
    option(name)?;
    spec.options.retain(|(known, _)| known != name);
    Ok(())
}

fn steps(spec: &TableSpec, name: &str) -> Result<Vec<Step>> {
    path::find(&spec.schema.columns, name).ok_or_else(|| unknown(name, &spec.schema.columns))
}

/// A column among its neighbours.
fn sibling<'s>(spec: &'s mut TableSpec, name: &str) -> Result<(&'s mut Vec<Column>, usize)> {
    let steps = steps(spec, name)?;
    path::siblings(&mut spec.schema.columns, &steps).ok_or_else(|| {
        Error::invalid(format!(
            "{}: that is no column and no field of a STRUCT, so it has no name",
            shown(name)
        ))
    })
}

fn unknown(name: &str, columns: &[Column]) -> Error {
    let known: Vec<String> = columns.iter().take(20).map(|column| shown(&column.name)).collect();
    let more = if columns.len() > 20 { ", …" } else { "" };
    Error::invalid(format!("there is no column {}; columns are {}{more}", shown(name), known.join(", ")))
}
