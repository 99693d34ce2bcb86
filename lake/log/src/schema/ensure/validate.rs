//! Whether a spec makes sense: the fold's check, total and the same for ever.

use std::collections::BTreeSet;

use super::BUCKETS_MAX;
use crate::error::{Error, Result};
use crate::id::FieldId;
use crate::schema::bucket::BUCKET_FUNCTION;
use crate::schema::check::{check_columns, same_ascii};
use crate::schema::ids::FIELD_ID_MAX;
use crate::schema::options::OPTION_VALUE_BYTES_MAX;
use crate::schema::{PartitionField, TableSpec, Type};

/// Options of a table.
const OPTIONS_MAX: usize = 100;
/// Bytes of an option's name.
const OPTION_NAME_BYTES_MAX: usize = 128;
/// Fields of a partition spec.
const PARTITION_FIELDS_MAX: usize = 100;
/// Bytes of the name or transform of a partition field.
const PARTITION_TEXT_BYTES_MAX: usize = 512;
/// Iceberg counts partition fields from here.
const PARTITION_FIELD_ID_MIN: i32 = 1_000;

/// Checks a spec that came from the log or from a stranger.
///
/// # Errors
/// Invalid: names the first thing that does not fit. The fold refuses the entry.
pub fn validate(spec: &TableSpec) -> Result<()> {
    if spec.schema.id != 0 {
        return Err(Error::invalid(format!("schema id is {}: a table starts with schema 0", spec.schema.id)));
    }
    validate_altered(spec)
}

/// Checks a spec that may have been altered; whether it may follow the one before is another question.
///
/// # Errors
/// As [`validate`].
pub fn validate_altered(spec: &TableSpec) -> Result<()> {
    let ids = check_columns(&spec.schema.columns, same_ascii)?;
    check_ids(spec, &ids)?;
    check_keys(spec)?;
    if !(1..=BUCKETS_MAX).contains(&spec.buckets) {
        return Err(Error::invalid(format!("buckets is {}: expected 1 to {BUCKETS_MAX}", spec.buckets)));
    }
    if spec.bucket_function != BUCKET_FUNCTION {
        let found = spec.bucket_function;
        return Err(Error::invalid(format!("bucket function is {found}: {BUCKET_FUNCTION} is the only one")));
    }
    check_partitions(&spec.partitions, &ids)?;
    check_options(&spec.options)
}

fn check_ids(spec: &TableSpec, ids: &BTreeSet<FieldId>) -> Result<()> {
    let mut all = ids.clone();
    let pseudo = spec.pseudo;
    for (name, id) in
        [("__bucket", pseudo.bucket), ("__offset", pseudo.offset), ("__timestamp", pseudo.timestamp)]
    {
        if id < 1 || !all.insert(id) {
            return Err(Error::invalid(format!("field id {id} of {name}: expected one above 0 of its own")));
        }
    }
    let highest = all.last().copied().unwrap_or(0);
    if spec.last_column_id < highest || spec.last_column_id > FIELD_ID_MAX {
        return Err(Error::invalid(format!(
            "last column id is {}: expected {highest} to {FIELD_ID_MAX}",
            spec.last_column_id
        )));
    }
    Ok(())
}

fn check_keys(spec: &TableSpec) -> Result<()> {
    let check = |what: &str, ids: &[FieldId], fits: fn(&Type) -> bool| {
        let mut seen = BTreeSet::new();
        for id in ids {
            let column = spec.schema.columns.iter().find(|column| column.id == *id);
            if column.is_none_or(|column| !fits(&column.ty)) || !seen.insert(*id) {
                return Err(Error::invalid(format!(
                    "{what}: field id {id} is not a column that fits, or named twice"
                )));
            }
        }
        Ok(())
    };
    check("primary key", &spec.primary_key, Type::is_primitive)?;
    check("bucket key", &spec.bucket_by, Type::is_bucketable)
}

fn check_partitions(partitions: &[PartitionField], ids: &BTreeSet<FieldId>) -> Result<()> {
    if partitions.len() > PARTITION_FIELDS_MAX {
        return Err(Error::invalid(format!(
            "partition spec: at most {PARTITION_FIELDS_MAX} fields are allowed"
        )));
    }
    let (mut field_ids, mut names) = (BTreeSet::new(), BTreeSet::new());
    for field in partitions {
        let text_fits = |text: &str| !text.is_empty() && text.len() <= PARTITION_TEXT_BYTES_MAX;
        let fits = ids.contains(&field.source_id)
            && field.field_id >= PARTITION_FIELD_ID_MIN
            && field_ids.insert(field.field_id)
            && names.insert(field.name.as_str())
            && text_fits(&field.name)
            && text_fits(&field.transform);
        if !fits {
            return Err(Error::invalid(format!(
                "partition field {}: expected a source column, an id from {PARTITION_FIELD_ID_MIN} on and a name of its \
                 own, and a transform",
                field.field_id
            )));
        }
    }
    Ok(())
}

fn check_options(options: &[(String, String)]) -> Result<()> {
    if options.len() > OPTIONS_MAX {
        return Err(Error::invalid(format!("options: at most {OPTIONS_MAX} are allowed")));
    }
    let name_fits = |name: &str| {
        (1..=OPTION_NAME_BYTES_MAX).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b))
    };
    if let Some((place, _)) = options
        .iter()
        .enumerate()
        .find(|(_, (name, value))| !name_fits(name) || value.len() > OPTION_VALUE_BYTES_MAX)
    {
        return Err(Error::invalid(format!(
            "option number {}: expected a name of [a-z0-9._-], at most {OPTION_NAME_BYTES_MAX} bytes, and a value of at \
             most {OPTION_VALUE_BYTES_MAX}",
            place + 1
        )));
    }
    if !options.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(Error::invalid("options: expected each once, sorted by name"));
    }
    Ok(())
}
