use proptest::prelude::{any, prop_assert_eq, proptest};
use serde_json::{Value, json};

use super::{from_json, to_json};
use crate::error::ErrorKind;
use crate::schema::{Schema, Type, arbitrary, sql};

fn error(value: &Value) -> String {
    let error = from_json(value).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    error.to_string()
}

fn error_of_type(ty: &Value) -> String {
    error(&json!({"fields": [{"name": "c", "type": ty}]}))
}

fn unsupported(value: &Value) -> String {
    let error = from_json(value).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    error.to_string()
}

#[test]
fn a_schema_is_written_as_iceberg_writes_it() {
    let columns = sql::parse_columns(
        "id BIGINT NOT NULL COMMENT 'key', price DECIMAL(9,2), at TIMESTAMPTZ, ns TIMESTAMP(9), h FIXED(16), \
         tags ARRAY<STRING NOT NULL>, m MAP<STRING,DOUBLE>, s STRUCT<lat REAL>, e VECTOR(3)",
    )
    .unwrap();
    let written = to_json(&Schema { id: 7, columns });
    let expected = json!({"type": "struct", "schema-id": 7, "fields": [
        {"id": 1, "name": "id", "required": true, "type": "long", "doc": "key"},
        {"id": 2, "name": "price", "required": false, "type": "decimal(9,2)"},
        {"id": 3, "name": "at", "required": false, "type": "timestamptz"},
        {"id": 4, "name": "ns", "required": false, "type": "timestamp_ns"},
        {"id": 5, "name": "h", "required": false, "type": "fixed[16]"},
        {"id": 6, "name": "tags", "required": false, "type":
            {"type": "list", "element-id": 10, "element-required": true, "element": "string"}},
        {"id": 7, "name": "m", "required": false, "type":
            {"type": "map", "key-id": 11, "key": "string", "value-id": 12, "value-required": false, "value": "double"}},
        {"id": 8, "name": "s", "required": false, "type":
            {"type": "struct", "fields": [{"id": 13, "name": "lat", "required": false, "type": "float"}]}},
        {"id": 9, "name": "e", "required": false, "type":
            {"type": "list", "element-id": 14, "element-required": true, "element": "float", "frazil-vector-length": 3}},
    ]});
    assert_eq!(written, expected);
}

#[test]
fn missing_ids_are_given_out_and_given_ones_kept() {
    let schema = json!({"type": "struct", "fields": [
        {"name": "a", "type": {"type": "list", "element": "decimal( 9 , 2 )"}},
        {"name": "b", "type": "int", "id": 5, "required": true},
    ]});
    let columns = from_json(&schema).unwrap();
    assert_eq!((columns[0].id, columns[1].id), (6, 5));
    let Type::List(element) = &columns[0].ty else { panic!("a list") };
    assert_eq!((element.id, &element.ty), (7, &Type::Decimal { precision: 9, scale: 2 }));

    let fresh =
        from_json(&json!({"fields": [{"name": "a", "type": "int"}, {"name": "b", "type": "int"}]})).unwrap();
    assert_eq!((fresh[0].id, fresh[1].id), (1, 2));
}

#[test]
fn an_error_names_the_column_and_says_what_is_expected() {
    assert_eq!(
        error(&json!([])),
        r#"schema: expected an object such as {"type":"struct","fields":[…]}, found an array"#
    );
    assert_eq!(error(&json!({"type": "list"})), r#"schema: expected "type":"struct", found "list""#);
    assert_eq!(error(&json!({"type": "struct"})), r#"schema: expected "fields", an array, found nothing"#);
    assert_eq!(
        error(&json!({"fields": []})),
        "a table needs at least one column: give one such as `id BIGINT`"
    );
    assert_eq!(
        error(&json!({"fields": [{"type": "int"}]})),
        r#"schema: expected "name" in each field, a string, found nothing"#
    );
    assert_eq!(
        error(&json!({"fields": [{"name": "c", "type": "int", "nullable": true}]})),
        r#"column c: the attribute "nullable" is not known here: leave it out; known are id, name, required, type, doc"#
    );
    assert_eq!(
        error(&json!({"fields": [{"name": "c", "type": "int", "required": "yes"}]})),
        r#"column c: expected "required", true or false, found "yes""#
    );
    assert_eq!(
        error(&json!({"fields": [{"name": "c", "type": "int", "id": 0}]})),
        r#"column c: expected "id", a whole number from 1 to 1000000000, or none, found 0"#
    );
    assert_eq!(
        error(
            &json!({"fields": [{"name": "c", "type": "int", "id": 2}, {"name": "d", "type": "int", "id": 2}]})
        ),
        "column d: its field id 2 is another field's: give each its own, or none"
    );
    assert_eq!(
        error(&json!({"fields": [{"name": "c", "type": "int", "doc": 3}]})),
        r#"column c: expected "doc", a string, found 3"#
    );
}

#[test]
fn a_wrong_type_is_named_with_the_ones_there_are() {
    assert!(
        error_of_type(&json!("bigint"))
            .starts_with(r#"column c: "bigint" is not a type of Iceberg's: use one of"#)
    );
    assert!(
        error_of_type(&json!("decimal(9)"))
            .starts_with(r#"column c: "decimal(9)" is not a type of Iceberg's"#)
    );
    assert!(
        error_of_type(&json!("decimal(39,0)")).starts_with("column c: DECIMAL(39,0) is out of bounds: give")
    );
    assert!(error_of_type(&json!("fixed[0]")).starts_with("column c: FIXED(0) is out of bounds: give 1 to"));
    assert_eq!(
        error_of_type(&json!(null)),
        r#"column c: expected "type", a type such as "long" or {"type":"list",…}, found null"#
    );
    assert_eq!(
        error_of_type(&json!({"type": "set"})),
        r#"column c: expected "type", one of "struct", "list", "map", found "set""#
    );
    assert_eq!(
        error_of_type(&json!({"type": "map", "key": "string"})),
        r#"column c.value: expected "value", a type such as "long" or {"type":"list",…}, found nothing"#
    );
    assert_eq!(
        error_of_type(&json!({"type": "list", "element": "float", "frazil-vector-length": 3})),
        r#"column c: frazil-vector-length needs an element that is a required "float""#
    );
    let long_vector =
        json!({"type": "list", "element": "float", "element-required": true, "frazil-vector-length": 0});
    assert_eq!(error_of_type(&long_vector), "column c: VECTOR(0) is out of bounds: give 1 to 65536 elements");
}

#[test]
fn what_is_not_there_yet_is_named() {
    let column = |ty: &str| json!({"fields": [{"name": "c", "type": ty}]});
    assert_eq!(unsupported(&column("variant")), "column c: the type variant is not there yet");
    assert_eq!(unsupported(&column("geometry(srid:4326)")), "column c: the type geometry is not there yet");
    assert_eq!(unsupported(&column("geography")), "column c: the type geography is not there yet");
    let with_default = json!({"fields": [{"name": "c", "type": "int", "write-default": 3}]});
    assert_eq!(unsupported(&with_default), "column c: write-default is not there yet: leave it out");
    let with_key = json!({"identifier-field-ids": [1], "fields": [{"name": "c", "type": "int"}]});
    assert_eq!(unsupported(&with_key), "schema: identifier-field-ids is not there yet: leave it out");
}

#[test]
fn depth_and_number_are_bounded() {
    let nest = |levels| (0..levels).fold(json!("int"), |ty, _| json!({"type": "list", "element": ty}));
    assert!(from_json(&json!({"fields": [{"name": "c", "type": nest(15)}]})).is_ok());
    assert!(error_of_type(&nest(16)).ends_with(": types may nest 16 deep, this one goes deeper"));
    let fields: Vec<Value> = (0..10_001).map(|n| json!({"name": format!("c{n}"), "type": "int"})).collect();
    assert!(from_json(&json!({"fields": fields[1..]})).is_ok());
    assert!(
        error(&json!({"fields": fields})).starts_with("a table may have 10000 columns and nested fields")
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(schema in arbitrary::schemas()) {
        prop_assert_eq!(from_json(&to_json(&schema)).unwrap(), schema.columns);
    }

    #[test]
    fn a_damaged_schema_is_an_error_or_other_columns_never_a_panic(
        schema in arbitrary::schemas(), at in any::<proptest::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut text = to_json(&schema).to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(value) = serde_json::from_slice(&text) {
            drop(from_json(&value));
        }
    }
}
