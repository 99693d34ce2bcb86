//! Each verb, what it makes, and what it refuses.

use serde_json::{Value, json};

use super::{changed, events, of_columns, sentence};
use crate::error::ErrorKind;
use crate::schema::evolution::{CHANGES_MAX, check_successor};
use crate::schema::{TableSpec, Type};

fn columns(spec: &TableSpec) -> String {
    spec.schema.columns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[test]
fn each_verb_makes_the_columns_it_says() {
    let before = "a INT NOT NULL, s STRUCT<x INT NOT NULL, y REAL>, l ARRAY<STRUCT<k INT, v REAL>>, m MAP<STRING,DECIMAL(5,2)>";
    for (change, after) in [
        (json!({"add": {"name": "n", "type": "STRING"}}), format!("{before}, n STRING")),
        (
            json!({"add": {"name": "n", "type": "INT COMMENT 'why'", "first": true}}),
            format!("n INT COMMENT 'why', {before}"),
        ),
        (
            json!({"add": {"name": "n", "type": "INT", "doc": "why", "before": "A"}}),
            format!("n INT COMMENT 'why', {before}"),
        ),
        (
            json!({"add": {"name": "n", "type": "INT", "after": "a"}}),
            before.replace("NULL, s", "NULL, n INT, s"),
        ),
        (json!({"add": {"name": "s.z", "type": "INT"}}), before.replace("y REAL", "y REAL, z INT")),
        (
            json!({"add": {"name": "l.element.z", "type": "INT", "after": "l.element.k"}}),
            before.replace("k INT,", "k INT, z INT,"),
        ),
        (json!({"add": {"name": "no.z", "type": "INT"}}), format!("{before}, \"no.z\" INT")),
        (json!({"rename": {"from": "A", "to": "b"}}), before.replace("a INT", "b INT")),
        (json!({"rename": {"from": "a", "to": "A"}}), before.replace("a INT", "A INT")),
        (json!({"rename": {"from": "l.element.v", "to": "w"}}), before.replace("v REAL", "w REAL")),
        (json!({"widen": {"column": "a", "type": "BIGINT"}}), before.replace("a INT", "a BIGINT")),
        (json!({"widen": {"name": "a", "required": false}}), before.replace("a INT NOT NULL", "a INT")),
        (
            json!({"widen": {"column": "s.x", "type": "BIGINT", "required": false}}),
            before.replace("x INT NOT NULL", "x BIGINT"),
        ),
        (json!({"widen": {"column": "l.element.v", "type": "DOUBLE"}}), before.replace("v REAL", "v DOUBLE")),
        (
            json!({"widen": {"column": "m", "type": "MAP<STRING,DECIMAL(9,2)>"}}),
            before.replace("(5,2)", "(9,2)"),
        ),
        (json!({"widen": {"column": "m.value", "type": "DECIMAL(38,2)"}}), before.replace("(5,2)", "(38,2)")),
        (json!({"drop": "a"}), before.replace("a INT NOT NULL, ", "")),
        (json!({"drop": "s.x"}), before.replace("x INT NOT NULL, ", "")),
        (
            json!({"move": {"column": "m", "first": true}}),
            format!("m MAP<STRING,DECIMAL(5,2)>, {}", before.rsplit_once(", m").unwrap().0),
        ),
        (
            json!({"move": {"column": "s.x", "after": "s.y"}}),
            before.replace("x INT NOT NULL, y REAL", "y REAL, x INT NOT NULL"),
        ),
        (
            json!({"move": {"column": "l.element.v", "before": "k"}}),
            before.replace("k INT, v REAL", "v REAL, k INT"),
        ),
    ] {
        let old = of_columns(before);
        let new = changed(&old, json!([change])).unwrap();
        assert_eq!(columns(&new), after, "{change}");
        assert_eq!(new.schema.id, 1, "{change}");
        assert!(new.last_column_id >= old.last_column_id && new.pseudo == old.pseudo, "{change}");
        check_successor(&old, &new).unwrap();
    }
}

#[test]
fn ids_stay_and_are_never_given_twice() {
    let old = events();
    assert_eq!(old.last_column_id, 19);
    let new = changed(
        &old,
        json!([
            {"rename": {"from": "s", "to": "t"}}, {"drop": "f"}, {"add": {"name": "f", "type": "ARRAY<INT>"}},
            {"widen": {"column": "m", "type": "MAP<STRING,BIGINT>"}}, {"move": {"column": "t", "first": true}},
        ]),
    );
    let new = new.unwrap();
    let ids: Vec<i32> = new.schema.columns.iter().map(|column| column.id).collect();
    assert_eq!(ids, [6, 1, 2, 3, 5, 7, 8, 9, 20]);
    let Type::List(element) = &new.schema.columns[8].ty else { panic!("a list") };
    assert_eq!((element.id, new.last_column_id), (21, 21));
    let Type::Map(key, value) = &new.schema.columns[6].ty else { panic!("a map") };
    assert_eq!((key.id, value.id, &value.ty), (15, 16, &Type::Bigint));
    // What was added and dropped again has used its id up.
    let new = changed(&new, json!([{"add": {"name": "z", "type": "INT"}}, {"drop": "z"}])).unwrap();
    assert_eq!((new.schema.id, new.last_column_id), (1, 22));
}

#[test]
fn options_are_set_and_unset_without_another_schema() {
    let old = events();
    let set = changed(&old, json!([{"set": {"retention": "48h", "compression": "none"}}]));
    let Ok(set) = set else { panic!("{set:?}") };
    assert_eq!(
        set.options,
        [("compression".to_owned(), "none".to_owned()), ("retention".to_owned(), "2d".to_owned())]
    );
    assert_eq!(set.schema, old.schema);
    let one = changed(&set, json!([{"unset": "compression"}])).unwrap();
    assert_eq!(one.options, [("retention".to_owned(), "2d".to_owned())]);
    assert!(changed(&set, json!([{"unset": ["compression", "retention"]}])).unwrap().options.is_empty());
    assert_eq!(changed(&old, json!([])).unwrap(), old);
}

/// Each change is refused, behind one that is fine, in a sentence that says so.
fn refuses<const CASES: usize>(cases: [(Value, &str); CASES]) {
    for (change, said) in cases {
        let found = sentence(changed(&events(), json!([{"rename": {"from": "a.b", "to": "ab"}}, change])));
        assert!(found.contains(said), "{change}: {found}");
    }
}

#[test]
fn what_cannot_be_added_or_renamed_is_refused_in_a_sentence() {
    refuses([
        (
            json!({"add": {"name": "n", "type": "INT NOT NULL"}}),
            "column n: rows that are there have no value of it",
        ),
        (
            json!({"add": {"name": "s.n", "type": "INT NOT NULL"}}),
            "column \"s.n\": rows that are there have no value",
        ),
        (json!({"add": {"name": "n", "type": "FOO"}}), "column n: "),
        (
            json!({"add": {"name": "n", "type": "INT, o INT"}}),
            "column n: give one type, such as BIGINT or ARRAY<STRING>",
        ),
        (
            json!({"add": {"name": "URL", "type": "INT"}}),
            "there is url already, and names are compared ignoring case",
        ),
        (
            json!({"add": {"name": "s.Y", "type": "INT"}}),
            "there is y already, and names are compared ignoring case",
        ),
        (json!({"add": {"name": "__n", "type": "INT"}}), "column __n: "),
        (
            json!({"add": {"name": "n", "type": "INT", "after": "no"}}),
            "there is no column no; columns are id, url, at",
        ),
        (
            json!({"add": {"name": "n", "type": "INT", "first": true, "after": "id"}}),
            "column n: give one of \"first\":true, \"after\" and \"before\"",
        ),
        (json!({"rename": {"from": "no", "to": "n"}}), "there is no column no; columns are id, url, at"),
        (json!({"rename": {"from": "id", "to": "Url"}}), "names are compared ignoring case: rename one"),
        (json!({"rename": {"from": "id", "to": ""}}), "the name of column 1 is empty: name it"),
        (
            json!({"rename": {"from": "tags.element", "to": "n"}}),
            "\"tags.element\": that is no column and no field of a STRUCT, so it has no name",
        ),
        (json!({"rename": {"from": "m.value", "to": "n"}}), "that is no column and no field of a STRUCT"),
    ]);
}

#[test]
fn what_cannot_be_widened_dropped_moved_or_set_is_refused_in_a_sentence() {
    refuses([
        (
            json!({"widen": {"column": "id", "type": "STRING"}}),
            "column id: INT cannot become STRING: a type may be widened",
        ),
        (json!({"widen": {"column": "f", "type": "INT"}}), "column f: REAL cannot become INT"),
        (json!({"widen": {"column": "id", "type": "DOUBLE"}}), "column id: INT cannot become DOUBLE"),
        (
            json!({"widen": {"column": "d", "type": "DECIMAL(9,3)"}}),
            "column d: DECIMAL(5,2) cannot become DECIMAL(9,3)",
        ),
        (
            json!({"widen": {"column": "d", "type": "DECIMAL(4,2)"}}),
            "column d: DECIMAL(5,2) cannot become DECIMAL(4,2)",
        ),
        (
            json!({"widen": {"column": "m", "type": "MAP<INT,INT>"}}),
            "column m: MAP<STRING,INT> cannot become MAP<INT,INT>",
        ),
        (
            json!({"widen": {"column": "s", "type": "STRUCT<x BIGINT>"}}),
            "column s: name the field to widen, such as person.age, rather than the STRUCT",
        ),
        (
            json!({"widen": {"column": "url", "required": true}}),
            "column url: it may be null, and rows that are there may be",
        ),
        (json!({"drop": "no"}), "there is no column no"),
        (json!({"drop": "s.no"}), "there is no column \"s.no\""),
        (json!({"drop": "url"}), "column url: it chooses the bucket (bucket_by), so it cannot be dropped"),
        (
            json!({"drop": "at"}),
            "column at: it is used by a partition (partitioned_by), so it cannot be dropped",
        ),
        (json!({"drop": "tags.element"}), "that is no column and no field of a STRUCT"),
        (
            json!({"move": {"column": "id"}}),
            "column id: say where to: one of \"first\":true, \"after\" and \"before\"",
        ),
        (json!({"move": {"column": "s.x", "after": "url"}}), "there is no column url; columns are y"),
        (json!({"move": {"column": "id", "after": "id"}}), "column id: it cannot be moved after itself"),
        (
            json!({"move": {"column": "s.x", "before": "x"}}),
            "column \"s.x\": it cannot be moved before itself",
        ),
        (
            json!({"move": {"column": "id", "first": true, "before": "url"}}),
            "column id: give one of \"first\":true",
        ),
        (json!({"set": {"retention": "soon"}}), "retention"),
    ]);
}

#[test]
fn the_last_column_and_the_key_stay() {
    let last = sentence(changed(&of_columns("a INT"), json!([{"drop": "a"}])));
    assert!(last.starts_with("column a: it is the last one; drop the table instead"), "{last}");
    let last = sentence(changed(&events(), json!([{"drop": "s.x"}, {"drop": "s.y"}])));
    assert!(last.starts_with("column \"s.y\": it is the last one"), "{last}");
    let mut keyed = events();
    keyed.primary_key = vec![1];
    let key = sentence(changed(&keyed, json!([{"drop": "id"}])));
    assert_eq!(key, "column id: it belongs to the primary key, so it cannot be dropped");
}

#[test]
fn names_with_dots_and_lists_too_long_and_types_to_come() {
    let new =
        changed(&events(), json!([{"widen": {"column": "a.b", "type": "BIGINT"}}, {"drop": "a.b"}])).unwrap();
    assert_eq!(new.schema.columns.len(), 8);
    let many: Vec<Value> = (0..=CHANGES_MAX).map(|_| json!({"unset": "retention"})).collect();
    let many = sentence(changed(&events(), Value::Array(many)));
    assert_eq!(many, "1001 changes in one list: give at most 1000");
    let nanos = changed(&events(), json!([{"add": {"name": "n", "type": "TIMESTAMP(9)"}}])).unwrap_err();
    assert_eq!(nanos.kind(), ErrorKind::Unsupported, "{nanos}");
    let unknown = sentence(changed(&events(), json!([{"set": {"colour": "red"}}])));
    assert!(unknown.starts_with("option colour is not known; known are"), "{unknown}");
}
