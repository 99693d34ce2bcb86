//! The limits of a schema, and the one walk that checks them all.
//!
//! Invariant: what `check_columns` takes under `same_ascii` is part of the log's meaning, since the fold asks it: it may
//! only change together with a feature bit, and depends on no table that a compiler may bring (so ASCII case only).

use std::collections::{BTreeMap, BTreeSet};

use super::ids::FIELD_ID_MAX;
use super::shown::{shown, shown_path};
use super::{Column, Nested, Type};
use crate::error::{Error, Result};
use crate::id::FieldId;

/// Columns and nested fields of a table together.
pub const FIELDS_MAX: usize = 10_000;
/// How deep types nest: a BIGINT has depth 1, an ARRAY of them 2.
pub const TYPE_DEPTH_MAX: usize = 16;
/// Bytes of the name of a column or nested field.
pub const COLUMN_NAME_BYTES_MAX: usize = 256;
/// Bytes of a comment.
pub const COMMENT_BYTES_MAX: usize = 4_096;
/// Bytes of all names and comments of a table together.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
/// Digits of a DECIMAL.
pub const DECIMAL_PRECISION_MAX: u8 = 38;
/// Bytes of a FIXED.
pub const FIXED_BYTES_MAX: u32 = 1_048_576;
/// Elements of a VECTOR.
pub const VECTOR_LENGTH_MAX: u32 = 65_536;

impl Type {
    /// A DECIMAL, its bounds checked.
    pub fn decimal(precision: u64, scale: u64) -> Result<Self> {
        let found = (u8::try_from(precision), u8::try_from(scale));
        match found {
            (Ok(precision), Ok(scale))
                if (1..=DECIMAL_PRECISION_MAX).contains(&precision) && scale <= precision =>
            {
                Ok(Self::Decimal { precision, scale })
            }
            _ => Err(Error::invalid(format!(
                "DECIMAL({precision},{scale}) is out of bounds: give a precision from 1 to {DECIMAL_PRECISION_MAX} \
                 and a scale from 0 to the precision"
            ))),
        }
    }

    /// A FIXED, its bounds checked.
    pub fn fixed(bytes: u64) -> Result<Self> {
        let length = bounded(bytes, FIXED_BYTES_MAX);
        length.map(Self::Fixed).ok_or_else(|| {
            Error::invalid(format!("FIXED({bytes}) is out of bounds: give 1 to {FIXED_BYTES_MAX} bytes"))
        })
    }

    /// A VECTOR whose element has no id yet, its bounds checked.
    pub fn vector(length: u64) -> Result<Self> {
        let checked = bounded(length, VECTOR_LENGTH_MAX);
        checked.map(|length| Self::Vector { length, element_id: 0 }).ok_or_else(|| {
            Error::invalid(format!(
                "VECTOR({length}) is out of bounds: give 1 to {VECTOR_LENGTH_MAX} elements"
            ))
        })
    }

    /// Whether the type has no nested fields.
    pub fn is_primitive(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Map(..) | Self::Struct(_) | Self::Vector { .. })
    }

    /// Whether a column of the type may choose the bucket: the types that Iceberg's `bucket` transform takes.
    pub fn is_bucketable(&self) -> bool {
        self.is_primitive() && !matches!(self, Self::Boolean | Self::Real | Self::Double)
    }
}

fn bounded(value: u64, max: u32) -> Option<u32> {
    u32::try_from(value).ok().filter(|value| (1..=max).contains(value))
}

/// Two names with the same result are the same name. For the fold: stable forever.
pub(super) fn same_ascii(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// Two names with the same result are the same name. For the door: as engines with Unicode rules see it.
pub(super) fn same_unicode(name: &str) -> String {
    name.to_lowercase()
}

/// Checks names, comments, ids, bounds, depth and count of a schema's columns, and returns all field ids. `same` says
/// which names are equal.
pub(super) fn check_columns(columns: &[Column], same: fn(&str) -> String) -> Result<BTreeSet<FieldId>> {
    if columns.is_empty() {
        return Err(Error::invalid("a table needs at least one column: give one such as `id BIGINT`"));
    }
    let mut walk = Walk { same, path: Vec::new(), fields: 0, text_bytes: 0, ids: BTreeSet::new() };
    walk.columns(columns)?;
    Ok(walk.ids)
}

struct Walk<'a> {
    same: fn(&str) -> String,
    path: Vec<&'a str>,
    fields: usize,
    text_bytes: usize,
    ids: BTreeSet<FieldId>,
}

impl<'a> Walk<'a> {
    fn columns(&mut self, columns: &'a [Column]) -> Result<()> {
        let mut names: BTreeMap<String, &str> = BTreeMap::new();
        for (place, column) in columns.iter().enumerate() {
            if column.name.is_empty() {
                let place = place + 1;
                let place = if self.path.is_empty() {
                    format!("column {place}")
                } else {
                    format!("its field {place}")
                };
                return Err(self.fail(&format!("the name of {place} is empty: name it")));
            }
            self.path.push(&column.name);
            self.name(&column.name)?;
            if let Some(other) = names.insert((self.same)(&column.name), &column.name) {
                return Err(self.fail(&format!(
                    "there is {} already, and names are compared ignoring case: rename one",
                    shown(other)
                )));
            }
            if column.doc.len() > COMMENT_BYTES_MAX {
                let bytes = column.doc.len();
                return Err(
                    self.fail(&format!("its comment has {bytes} bytes, {COMMENT_BYTES_MAX} are allowed"))
                );
            }
            self.text_bytes += column.name.len() + column.doc.len();
            if self.text_bytes > TEXT_BYTES_MAX {
                return Err(Error::invalid(format!(
                    "names and comments have more than {TEXT_BYTES_MAX} bytes together: shorten the comments"
                )));
            }
            self.field(column.id, &column.ty)?;
            self.path.pop();
        }
        Ok(())
    }

    fn name(&self, name: &str) -> Result<()> {
        if name.len() > COLUMN_NAME_BYTES_MAX {
            let bytes = name.len();
            return Err(
                self.fail(&format!("its name has {bytes} bytes, {COLUMN_NAME_BYTES_MAX} are allowed"))
            );
        }
        if self.path.len() == 1 && name.starts_with("__") {
            return Err(self.fail("names of columns that begin with __ are reserved: rename it"));
        }
        if name.chars().any(char::is_control) {
            return Err(self.fail("its name holds a control character: rename it"));
        }
        Ok(())
    }

    fn nested(&mut self, name: &'static str, nested: &'a Nested) -> Result<()> {
        self.path.push(name);
        self.field(nested.id, &nested.ty)?;
        self.path.pop();
        Ok(())
    }

    /// Checks one field's id and type; its name is the last of the path.
    fn field(&mut self, id: FieldId, ty: &'a Type) -> Result<()> {
        self.fields += 1;
        if self.fields > FIELDS_MAX {
            return Err(Error::invalid(format!(
                "a table may have {FIELDS_MAX} columns and nested fields, this one has more: split it"
            )));
        }
        if self.path.len() > TYPE_DEPTH_MAX {
            return Err(self.fail(&format!("types may nest {TYPE_DEPTH_MAX} deep, this one goes deeper")));
        }
        self.id(id)?;
        match ty {
            Type::Decimal { precision, scale } => Type::decimal(u64::from(*precision), u64::from(*scale))
                .map(drop)
                .map_err(|e| self.fail(e.message())),
            Type::Fixed(bytes) => {
                Type::fixed(u64::from(*bytes)).map(drop).map_err(|e| self.fail(e.message()))
            }
            Type::Vector { length, element_id } => {
                self.fields += 1;
                self.id(*element_id)?;
                Type::vector(u64::from(*length)).map(drop).map_err(|e| self.fail(e.message()))
            }
            Type::List(element) => self.nested("element", element),
            Type::Map(key, value) => {
                if !key.required {
                    return Err(self.fail("the keys of a map are never null: make them required"));
                }
                self.nested("key", key)?;
                self.nested("value", value)
            }
            Type::Struct(fields) if fields.is_empty() => Err(self.fail("a STRUCT needs at least one field")),
            Type::Struct(fields) => self.columns(fields),
            _ => Ok(()),
        }
    }

    fn id(&mut self, id: FieldId) -> Result<()> {
        if !(1..=FIELD_ID_MAX).contains(&id) {
            return Err(
                self.fail(&format!("its field id is {id}: give one from 1 to {FIELD_ID_MAX}, or none"))
            );
        }
        if !self.ids.insert(id) {
            return Err(
                self.fail(&format!("its field id {id} is another field's: give each its own, or none"))
            );
        }
        Ok(())
    }

    fn fail(&self, message: &str) -> Error {
        if self.path.is_empty() {
            return Error::invalid(message);
        }
        Error::invalid(format!("column {}: {message}", shown_path(self.path.iter().copied())))
    }
}
