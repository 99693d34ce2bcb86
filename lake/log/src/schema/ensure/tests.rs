use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
use serde_json::{Value, json};

use super::{TableRequest, build, build_with, difference, validate};
use crate::error::{ErrorKind, Result};
use crate::schema::{Nested, PartitionField, PseudoIds, TableSpec, Type, arbitrary};

fn request(value: Value) -> TableRequest {
    serde_json::from_value(value).unwrap()
}

fn spec(value: Value) -> TableSpec {
    build(&request(value)).unwrap()
}

fn error(value: Value) -> String {
    fails(build(&request(value)), ErrorKind::Invalid)
}

fn unsupported(value: Value) -> String {
    fails(build(&request(value)), ErrorKind::Unsupported)
}

fn fails<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    error.to_string()
}

fn clicks() -> TableSpec {
    spec(json!({
        "columns": "id BIGINT NOT NULL, url STRING, tags ARRAY<STRING>", "buckets": 4, "bucket_by": ["ID", "url"],
        "options": {"retention": "168h"},
    }))
}

#[test]
fn a_request_becomes_a_spec() {
    let spec = clicks();
    assert_eq!((spec.schema.id, spec.schema.columns.len()), (0, 3));
    assert_eq!(spec.pseudo, PseudoIds { bucket: 5, offset: 6, timestamp: 7 });
    assert_eq!(spec.last_column_id, 7);
    assert_eq!((spec.buckets, spec.bucket_by, spec.bucket_function), (4, vec![1, 2], 1));
    assert_eq!(spec.options, [("retention".to_owned(), "7d".to_owned())]);
    assert!(spec.primary_key.is_empty() && spec.partitions.is_empty());
}

#[test]
fn ids_of_an_iceberg_schema_are_kept_and_the_pseudo_columns_come_after_them() {
    let spec =
        spec(json!({"schema": {"type": "struct", "fields": [{"id": 40, "name": "id", "type": "long"}]}}));
    assert_eq!((spec.schema.columns[0].id, spec.pseudo.bucket, spec.last_column_id), (40, 41, 43));
    assert_eq!((spec.buckets, spec.bucket_by.len()), (1, 0));
}

#[test]
fn columns_without_ids_get_them() {
    let mut columns = clicks().schema.columns;
    for column in &mut columns {
        column.id = 0;
    }
    columns[2].ty = Type::List(Box::new(Nested { id: 0, required: false, ty: Type::String }));
    let spec = build_with(columns, &TableRequest::default()).unwrap();
    assert_eq!(spec.schema.columns, clicks().schema.columns);
}

#[test]
fn an_error_says_what_is_wrong_and_what_to_write() {
    assert_eq!(
        error(json!({})),
        "give columns such as \"id BIGINT NOT NULL, url STRING\", or schema in Iceberg's JSON form"
    );
    assert_eq!(error(json!({"columns": "a INT", "schema": {}})), "give columns or schema, not both");
    for buckets in [0, 1025] {
        assert_eq!(
            error(json!({"columns": "a INT", "buckets": buckets})),
            format!("buckets is {buckets}: give a number from 1 to 1024")
        );
    }
    assert_eq!(
        error(json!({"columns": "a INT, b INT", "bucket_by": ["c"]})),
        "bucket_by: there is no column c; columns are a, b"
    );
    assert_eq!(
        error(json!({"columns": "a INT", "bucket_by": ["a", "A"]})),
        "bucket_by: column A is named twice: name it once"
    );
    for ty in ["BOOLEAN", "REAL", "DOUBLE", "ARRAY<INT>", "VECTOR(3)"] {
        assert_eq!(
            error(json!({"columns": format!("a {ty}"), "bucket_by": ["a"]})),
            format!(
                "bucket_by: column a is {ty}, which cannot choose a bucket: use one of INT, BIGINT, DECIMAL, DATE, \
                 TIME, TIMESTAMP, STRING, UUID, FIXED, BINARY"
            )
        );
    }
    assert_eq!(
        error(json!({"schema": {"fields": [{"id": 999_999_998, "name": "id", "type": "long"}]}})),
        "field id 999999998 leaves no room for the ids of __bucket, __offset, __timestamp: give ids up to 999999997"
    );
    assert!(serde_json::from_value::<TableRequest>(json!({"colums": "a INT"})).is_err());
}

#[test]
fn a_name_that_is_not_allowed_is_named_with_what_to_do() {
    assert_eq!(
        error(json!({"columns": "id INT, Id INT"})),
        "column Id: there is id already, and names are compared ignoring case: rename one"
    );
    assert_eq!(
        error(json!({"columns": "\"Ä\" INT, \"ä\" INT"})),
        "column \"ä\": there is \"Ä\" already, and names are compared ignoring case: rename one"
    );
    assert_eq!(
        error(json!({"columns": "s STRUCT<a INT, b STRUCT<c INT, C INT>>"})),
        "column s.b.C: there is c already, and names are compared ignoring case: rename one"
    );
    assert_eq!(
        error(json!({"columns": "__offset INT"})),
        "column __offset: names of columns that begin with __ are reserved: rename it"
    );
    assert_eq!(error(json!({"columns": "a INT, \"\" INT"})), "the name of column 2 is empty: name it");
    assert_eq!(
        error(json!({"columns": "a STRUCT<\"\" INT>"})),
        "column a: the name of its field 1 is empty: name it"
    );
    assert_eq!(
        error(json!({"columns": "\"a\nb\" INT"})),
        "column \"a\\nb\": its name holds a control character: rename it"
    );
    let long = "x".repeat(257);
    assert_eq!(
        error(json!({"columns": format!("{long} INT")})),
        format!("column {}…: its name has 257 bytes, 256 are allowed", "x".repeat(64))
    );
    assert!(build(&request(json!({"columns": format!("{} INT", "x".repeat(256))}))).is_ok());
    assert!(
        build(&request(json!({"columns": "s STRUCT<__typename STRING>"}))).is_ok(),
        "reserved for columns only"
    );
    let comment = "y".repeat(4_097);
    assert_eq!(
        error(json!({"columns": format!("a INT COMMENT '{comment}'")})),
        "column a: its comment has 4097 bytes, 4096 are allowed"
    );
    let field = |n: usize| json!({"name": format!("c{n}"), "type": "int", "doc": "z".repeat(4_096)});
    assert_eq!(
        error(json!({"schema": {"fields": (0..300).map(field).collect::<Vec<_>>()}})),
        "names and comments have more than 1048576 bytes together: shorten the comments"
    );
}

#[test]
fn what_is_not_there_yet_is_named() {
    assert_eq!(
        unsupported(json!({"columns": "a INT", "primary_key": ["a"]})),
        "primary_key is not there yet: leave it out, the table is a log table"
    );
    for ty in ["TIMESTAMP(9)", "ARRAY<TIMESTAMP(9)>", "MAP<STRING,STRUCT<b TIMESTAMP(9) WITH TIME ZONE>>"] {
        assert_eq!(
            unsupported(json!({"columns": format!("a {ty}")})),
            "column a: TIMESTAMP(9) needs the option format-version=3, which is not there yet: use TIMESTAMP(6)"
        );
    }
    assert!(
        unsupported(json!({"columns": "a INT", "options": {"lake.enabled": true}}))
            .starts_with("option lake.enabled is not there yet: leave it out")
    );
}

#[test]
fn the_same_request_is_the_same_table_whatever_its_ids() {
    let mut existing = clicks();
    existing.schema.columns[0].id = 12;
    existing.bucket_by[0] = 12;
    existing.schema.id = 3;
    assert_eq!(difference(&existing, &clicks()), None);
    let defaults = spec(json!({"columns": "a INT"}));
    let spelled = spec(json!({"columns": "a INTEGER NULL", "buckets": 1, "options": {"retention": "1w"}}));
    assert_eq!(difference(&defaults, &spelled), None, "an option that is not given counts as its default");
}

#[test]
fn the_first_difference_is_named() {
    let existing = spec(json!({
        "columns": "id BIGINT NOT NULL, url STRING COMMENT 'where', s STRUCT<a INT, b ARRAY<INT>>",
        "buckets": 4, "bucket_by": ["id"],
    }));
    let differs = |columns: &str, buckets: u32, bucket_by: &[&str], options: Value| {
        let wanted =
            spec(json!({"columns": columns, "buckets": buckets, "bucket_by": bucket_by, "options": options}));
        difference(&existing, &wanted).unwrap()
    };
    let column = |columns: &str| differs(columns, 4, &["id"], json!({}));
    let rest = "url STRING COMMENT 'where', s STRUCT<a INT, b ARRAY<INT>>";
    let same = format!("id BIGINT NOT NULL, {rest}");

    assert_eq!(column(&format!("id INT, {rest}")), "column id: is BIGINT NOT NULL, asked INT");
    assert_eq!(column(&format!("{same}, ref INT")), "column ref: not in the table");
    assert_eq!(
        column("id BIGINT NOT NULL, url STRING COMMENT 'where'"),
        "column s: in the table, not asked for"
    );
    assert_eq!(
        column("url STRING COMMENT 'where', id BIGINT NOT NULL, s STRUCT<a INT, b ARRAY<INT>>"),
        "column url: is number 2, asked as number 1"
    );
    assert_eq!(
        column("id BIGINT NOT NULL, url STRING COMMENT 'to', s STRUCT<a INT, b ARRAY<INT>>"),
        r#"comment of column url: is "where", asked "to""#
    );
    assert_eq!(
        column("id BIGINT NOT NULL, url STRING COMMENT 'where', s STRUCT<a BIGINT, b ARRAY<INT>>"),
        "column s.a: is INT, asked BIGINT"
    );
    assert_eq!(
        column("id BIGINT NOT NULL, url STRING COMMENT 'where', s STRUCT<a INT, b ARRAY<INT NOT NULL>>"),
        "column s.b: is ARRAY<INT>, asked ARRAY<INT NOT NULL>"
    );
    assert_eq!(differs(&same, 8, &["id"], json!({})), "buckets: is 4, asked 8");
    assert_eq!(differs(&same, 4, &["id", "url"], json!({})), "bucket_by: is id, asked id, url");
    assert_eq!(differs(&same, 4, &[], json!({})), "bucket_by: is id, asked none");
    assert_eq!(differs(&same, 4, &["id"], json!({"retention": "30d"})), "option retention: is 7d, asked 30d");
}

type Change = fn(&mut TableSpec);

/// Changes of [`clicks`] with the beginning of the message that each gives.
const SENSELESS: &[(Change, &str)] = &[
    (|s| s.schema.id = 1, "schema id is 1: a table starts with schema 0"),
    (|s| s.schema.columns.clear(), "a table needs at least one column: give one such as `id BIGINT`"),
    (|s| s.schema.columns[1].name = "ID".into(), "column ID: there is id already"),
    (|s| s.schema.columns[1].id = 1, "column url: its field id 1 is another field's"),
    (|s| s.schema.columns[1].id = 0, "column url: its field id is 0"),
    (|s| s.schema.columns[1].id = -4, "column url: its field id is -4"),
    (|s| s.pseudo.offset = s.pseudo.bucket, "field id 5 of __offset: expected one above 0 of its own"),
    (|s| s.pseudo.bucket = 1, "field id 1 of __bucket: expected one above 0 of its own"),
    (|s| s.last_column_id = 6, "last column id is 6: expected 7 to 1000000000"),
    (|s| s.last_column_id = i32::MAX, "last column id is 2147483647: expected 7 to 1000000000"),
    (|s| s.buckets = 0, "buckets is 0: expected 1 to 1024"),
    (|s| s.buckets = 1_025, "buckets is 1025: expected 1 to 1024"),
    (|s| s.bucket_function = 2, "bucket function is 2: 1 is the only one"),
    (|s| s.bucket_by = vec![4], "bucket key: field id 4 is not a column that fits, or named twice"),
    (|s| s.bucket_by = vec![3], "bucket key: field id 3 is not a column that fits, or named twice"),
    (|s| s.primary_key = vec![1, 1], "primary key: field id 1 is not a column that fits, or named twice"),
    (|s| s.partitions = vec![day_of(9)], "partition field 1000: expected a source column"),
    (|s| s.partitions = vec![day_of(1), day_of(1)], "partition field 1000: expected a source column"),
    (|s| s.options.push(("a".into(), String::new())), "options: expected each once, sorted by name"),
    (|s| s.options[0].0 = "Retention".into(), "option number 1: expected a name"),
    (|s| s.options[0].1 = "x".repeat(257), "option number 1: expected a name"),
];

type MakeType = fn() -> Type;

/// Types of column `url` that no table may have, likewise.
const SENSELESS_TYPES: &[(MakeType, &str)] = &[
    (|| Type::Decimal { precision: 9, scale: 10 }, "column url: DECIMAL(9,10) is out of bounds"),
    (|| Type::Fixed(0), "column url: FIXED(0) is out of bounds"),
    (|| Type::Vector { length: 0, element_id: 9 }, "column url: VECTOR(0) is out of bounds"),
    (|| Type::Vector { length: 1, element_id: 1 }, "column url: its field id 1 is another"),
    (|| Type::Struct(Vec::new()), "column url: a STRUCT needs at least one field"),
    (map_with_nullable_keys, "column url: the keys of a map are never null"),
    (nested_too_deep, "column url.element.element."),
];

#[test]
fn a_spec_that_makes_no_sense_is_refused() {
    let refused = |change: &dyn Fn(&mut TableSpec), expected: &str| {
        let mut spec = clicks();
        change(&mut spec);
        let found = fails(validate(&spec), ErrorKind::Invalid);
        assert!(found.starts_with(expected), "{found}");
    };
    for (change, expected) in SENSELESS {
        refused(change, expected);
    }
    for (ty, expected) in SENSELESS_TYPES {
        refused(&|spec| spec.schema.columns[1].ty = ty(), expected);
    }
}

#[test]
fn what_later_versions_will_build_is_taken() {
    let mut later = clicks();
    later.primary_key = vec![1];
    later.partitions = vec![day_of(1)];
    later.options.push(("zone.colour".to_owned(), "blue".to_owned()));
    later.schema.columns[1].name = "Ä".to_owned();
    later.schema.columns[2].name = "ä".to_owned();
    validate(&later).unwrap();
}

fn day_of(source_id: i32) -> PartitionField {
    PartitionField { source_id, field_id: 1_000, name: "day".to_owned(), transform: "day".to_owned() }
}

fn map_with_nullable_keys() -> Type {
    let nested = |id| Box::new(Nested { id, required: false, ty: Type::Int });
    Type::Map(nested(8), nested(9))
}

fn nested_too_deep() -> Type {
    (100..200).fold(Type::Int, |ty, id| Type::List(Box::new(Nested { id, required: false, ty })))
}

proptest! {
    #[test]
    fn what_is_built_is_valid_and_equal_to_itself(columns in arbitrary::columns(), other in arbitrary::columns()) {
        let request = TableRequest::default();
        if let Ok(spec) = build_with(columns.clone(), &request) {
            prop_assert!(validate(&spec).is_ok());
            prop_assert_eq!(difference(&spec, &spec), None);
            if let Ok(other_spec) = build_with(other.clone(), &request) {
                let text = |columns: &[_]| columns.iter().map(ToString::to_string).collect::<Vec<String>>();
                let same = text(&columns) == text(&other);
                prop_assert_eq!(difference(&spec, &other_spec).is_none(), same);
            }
        }
    }
}
