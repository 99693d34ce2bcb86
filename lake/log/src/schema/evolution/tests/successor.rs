//! The fold's check, against specs that no honest gateway makes.

use serde_json::json;

use super::{changed, events, sentence};
use crate::schema::evolution::{check_successor, keeps_all};
use crate::schema::{Column, TableSpec, Type};

/// What the check says of a spec that was tampered with, as the next schema.
fn refused(tamper: impl FnOnce(&mut TableSpec)) -> String {
    let old = events();
    let mut new = old.clone();
    new.schema.id = 1;
    tamper(&mut new);
    sentence(check_successor(&old, &new))
}

fn column(id: i32, required: bool) -> Column {
    Column { id, name: "new".to_owned(), required, ty: Type::Int, doc: String::new() }
}

#[test]
fn the_same_spec_and_a_legal_one_are_taken() {
    let old = events();
    check_successor(&old, &old).unwrap();
    let new = changed(&old, json!([{"add": {"name": "s.n", "type": "ARRAY<INT NOT NULL>"}}, {"drop": "f"}]))
        .unwrap();
    check_successor(&old, &new).unwrap();
    assert!(sentence(check_successor(&new, &old)).contains("the last column id goes back"));
}

#[test]
fn ids_are_never_given_twice() {
    // That of a column dropped before, of a pseudo-column, of a nested field, and of one that is there.
    let old = changed(&events(), json!([{"drop": "f"}])).unwrap();
    let mut new = old.clone();
    new.schema.id = 2;
    new.schema.columns.push(column(4, false));
    assert_eq!(sentence(check_successor(&old, &new)), "column new: field id 4 was given before");
    let pseudo = refused(|spec| spec.schema.columns.push(column(17, false)));
    assert!(pseudo.starts_with("field id 17 of __bucket"), "{pseudo}");
    for id in [1, 10] {
        let twice = refused(|spec| spec.schema.columns.push(column(id, false)));
        assert!(twice.contains(&format!("field id {id}")), "{twice}");
    }
    let above = refused(|spec| spec.schema.columns.push(column(20, false)));
    assert_eq!(above, "last column id is 19: expected 20 to 1000000000");
    let moved = refused(|spec| {
        let Type::Struct(fields) = &mut spec.schema.columns[5].ty else { panic!("a struct") };
        let field = fields.pop().unwrap();
        spec.schema.columns.push(field);
    });
    assert_eq!(moved, "column y: field id 11 was given before");
}

#[test]
fn what_places_rows_stays() {
    const FIXED: &str = "primary key, buckets, bucket_by and partitions of a table stay as they are";
    let tampers: [fn(&mut TableSpec); 6] = [
        |spec| (spec.pseudo.offset, spec.last_column_id) = (20, 20),
        |spec| std::mem::swap(&mut spec.pseudo.bucket, &mut spec.pseudo.timestamp),
        |spec| spec.primary_key = vec![1],
        |spec| spec.buckets = 8,
        |spec| spec.bucket_by.clear(),
        |spec| spec.partitions.clear(),
    ];
    for tamper in tampers {
        assert_eq!(refused(tamper), FIXED);
    }
}

#[test]
fn types_only_widen_and_nothing_becomes_required() {
    assert_eq!(
        refused(|spec| spec.schema.columns[0].ty = Type::String),
        "column id: INT cannot become STRING"
    );
    assert_eq!(refused(|spec| spec.schema.columns[3].ty = Type::Int), "column f: REAL cannot become INT");
    let scale = refused(|spec| spec.schema.columns[4].ty = Type::Decimal { precision: 9, scale: 3 });
    assert_eq!(scale, "column d: DECIMAL(5,2) cannot become DECIMAL(9,3)");
    let required = refused(|spec| spec.schema.columns[3].required = true);
    assert_eq!(required, "column f: it may be null, and rows that are there may be");
    let fresh = refused(|spec| {
        spec.schema.columns.push(column(20, true));
        spec.last_column_id = 20;
    });
    assert_eq!(fresh, "column new: rows that are there have no value of it: it must allow null");
    let element = refused(|spec| {
        let Type::List(element) = &mut spec.schema.columns[6].ty else { panic!("a list") };
        (element.id, spec.last_column_id) = (20, 20);
    });
    assert_eq!(element, "column tags: an element's field id stays as it is");
    let key = refused(|spec| {
        let Type::Map(key, _) = &mut spec.schema.columns[7].ty else { panic!("a map") };
        key.ty = Type::Binary;
    });
    assert_eq!(key, "column m: the keys of a map stay as they are");
    let value = refused(|spec| {
        let Type::Map(_, value) = &mut spec.schema.columns[7].ty else { panic!("a map") };
        value.required = true;
    });
    assert_eq!(value, "column m: it may be null, and rows that are there may be");
    let nested = refused(|spec| {
        let Type::Struct(fields) = &mut spec.schema.columns[5].ty else { panic!("a struct") };
        fields[0].ty = Type::Date;
    });
    assert!(nested.ends_with("column x: INT cannot become DATE") && nested.contains("column s"), "{nested}");
}

#[test]
fn a_schema_has_the_number_that_follows() {
    let found = refused(|_| {});
    assert_eq!(found, "schema id is 1, expected Some(0)");
    let found = refused(|spec| (spec.schema.id, spec.schema.columns[0].doc) = (2, "new".to_owned()));
    assert_eq!(found, "schema id is 2, expected Some(1)");
}

#[test]
fn all_is_kept_unless_something_was_dropped() {
    let old = events();
    for (change, kept) in [
        (json!({"add": {"name": "n", "type": "INT"}}), true),
        (json!({"widen": {"column": "tags.element.k", "type": "BIGINT"}}), true),
        (json!({"rename": {"from": "s", "to": "t"}}), true),
        (json!({"drop": "f"}), false),
        (json!({"drop": "tags.element.k"}), false),
    ] {
        let new = changed(&old, json!([change])).unwrap();
        assert_eq!(keeps_all(&old.schema, &new.schema), kept, "{change}");
    }
}
