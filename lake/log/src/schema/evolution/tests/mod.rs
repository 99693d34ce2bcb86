//! What a table may become, and how its older rows are read then.

mod adapt;
mod random;
mod successor;
mod values;
mod verbs;

use serde_json::{Value, json};

use super::{Change, alter};
use crate::error::{ErrorKind, Result};
use crate::schema::TableSpec;
use crate::schema::ensure::build;

/// A table of these columns, with nothing else said.
fn of_columns(columns: &str) -> TableSpec {
    build(&serde_json::from_value(json!({ "columns": columns })).unwrap()).unwrap()
}

/// Field ids: the columns 1 to 9, `s.x` 10, `s.y` 11, `tags.element` 12, its `k` 13 and `v` 14, keys and values of `m` 15 and 16,
/// the pseudo-columns 17 to 19.
fn events() -> TableSpec {
    let columns = "id INT NOT NULL, url STRING, at TIMESTAMP(6), f REAL, d DECIMAL(5,2), s STRUCT<x INT NOT NULL, y STRING>, \
                   tags ARRAY<STRUCT<k INT, v REAL>>, m MAP<STRING,INT>, \"a.b\" INT";
    let request = json!({
        "columns": columns, "buckets": 4, "bucket_by": ["url"], "partitioned_by": ["day(at)"], "options": {"retention": "1d"},
    });
    build(&serde_json::from_value(request).unwrap()).unwrap()
}

fn changed(spec: &TableSpec, changes: Value) -> Result<TableSpec> {
    alter(spec, &serde_json::from_value::<Vec<Change>>(changes).unwrap())
}

/// The sentence of a refusal, which must be of the kind Invalid.
fn sentence<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    error.to_string()
}
