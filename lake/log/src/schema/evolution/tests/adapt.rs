//! Rows of an older schema, read as ones of a newer: each value by hand.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, StructArray};
use arrow::datatypes::{Decimal128Type, Float64Type, Int32Type, Int64Type};
use serde_json::{Value, json};

use super::values::Cell::{Decimal, Int, Many, Real, Struct, Text};
use super::values::{Cell, Row, write_rows};
use super::{changed, of_columns};
use crate::error::ErrorKind;
use crate::schema::arrow_form::data_type;
use crate::schema::evolution::{absent, adapt};
use crate::schema::{Column, Type};

fn row(cells: impl IntoIterator<Item = (i32, Cell)>) -> Row {
    cells.into_iter().collect()
}

/// The rows, written in these columns, as the columns that the changes make of them.
fn read(columns: &str, changes: Value, rows: &[Row]) -> StructArray {
    let old = of_columns(columns);
    let new = changed(&old, changes).unwrap();
    let written = write_rows(&old.schema.columns, rows);
    let (old, new) = (Type::Struct(old.schema.columns), Type::Struct(new.schema.columns));
    let adapted = adapt(&written, &old, &new).unwrap();
    assert_eq!(*adapted.data_type(), data_type(&new));
    adapted.to_data().validate_full().unwrap();
    adapted.as_struct().clone()
}

#[test]
fn numbers_are_widened() {
    let changes = json!([
        {"widen": {"column": "a", "type": "BIGINT"}}, {"widen": {"column": "b", "type": "DOUBLE"}},
        {"widen": {"column": "c", "type": "DECIMAL(38,2)"}},
    ]);
    let rows =
        [row([(1, Int(i64::from(i32::MIN))), (2, Real(0.1f32.into())), (3, Decimal(-99_999))]), row([])];
    let read = read("a INT, b REAL, c DECIMAL(5,2)", changes, &rows);
    assert_eq!(
        read.column(0).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(),
        [Some(-2_147_483_648), None]
    );
    assert_eq!(
        read.column(1).as_primitive::<Float64Type>().iter().collect::<Vec<_>>(),
        [Some(0.100_000_001_490_116_12), None]
    );
    assert_eq!(
        read.column(2).as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>(),
        [Some(-99_999), None]
    );
}

#[test]
fn columns_are_found_by_field_id() {
    // `a` takes the name that `b` had and the place behind it; a new `c` has nothing of the dropped one.
    let changes = json!([
        {"rename": {"from": "b", "to": "x"}}, {"rename": {"from": "a", "to": "b"}}, {"move": {"column": "b", "after": "x"}},
        {"drop": "c"}, {"add": {"name": "c", "type": "INT", "first": true}},
    ]);
    let read = read("a INT, b INT, c INT", changes, &[row([(1, Int(1)), (2, Int(2)), (3, Int(3))])]);
    assert_eq!(read.column_names(), ["c", "x", "b"]);
    let value = |at: usize| read.column(at).as_primitive::<Int32Type>().iter().next().unwrap();
    assert_eq!([value(0), value(1), value(2)], [None, Some(2), Some(1)]);
}

#[test]
fn what_is_nested_is_widened_and_missing_fields_are_null() {
    let changes = json!([
        {"widen": {"column": "s.x", "type": "BIGINT"}}, {"add": {"name": "s.z", "type": "STRING", "first": true}},
        {"widen": {"column": "l", "type": "ARRAY<BIGINT>"}}, {"widen": {"column": "m.value.u", "type": "DOUBLE"}},
        {"add": {"name": "m.value.w", "type": "INT"}},
    ]);
    let columns = "s STRUCT<x INT NOT NULL>, l ARRAY<INT>, m MAP<STRING,STRUCT<u REAL>>";
    // 1 s, 2 l, 3 m, 4 s.x, 5 element, 6 key, 7 value, 8 value.u
    let entry = row([(6, Text("k".to_owned())), (7, Struct), (8, Real(0.5))]);
    let full = row([
        (1, Struct),
        (4, Int(7)),
        (2, Many(vec![row([(5, Int(1))]), row([]), row([(5, Int(3))])])),
        (3, Many(vec![entry])),
    ]);
    let read = read(columns, changes, &[row([]), full]);
    assert!((0..3).all(|at| read.column(at).is_null(0) && read.column(at).is_valid(1)));
    let s = read.column(0).as_struct();
    assert_eq!((s.column_names(), s.column(0).is_null(1)), (vec!["z", "x"], true));
    assert_eq!(s.column(1).as_primitive::<Int64Type>().value(1), 7);
    let l = read.column(1).as_list::<i32>().value(1);
    assert_eq!(l.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1), None, Some(3)]);
    let m = read.column(2).as_map().value(1);
    assert_eq!(m.column(0).as_string::<i32>().value(0), "k");
    let value = m.column(1).as_struct();
    assert_eq!(value.column(0).as_primitive::<Float64Type>().value(0).to_bits(), 0.5f64.to_bits());
    assert!(value.is_valid(0) && value.column(1).is_null(0));
}

#[test]
fn a_column_of_any_type_may_be_missing() {
    let types = "BOOLEAN; BIGINT; DECIMAL(38,9); DATE; TIME; TIMESTAMP(6) WITH TIME ZONE; STRING; UUID; FIXED(3); BINARY; VECTOR(2); \
                 ARRAY<INT NOT NULL>; MAP<STRING,VECTOR(2) NOT NULL>; STRUCT<x INT NOT NULL, y STRUCT<z UUID NOT NULL> NOT NULL>";
    for ty in types.split("; ") {
        let read = read("a INT", json!([{"add": {"name": "n", "type": ty}}]), &[row([(1, Int(1))]), row([])]);
        assert_eq!((read.column(1).len(), read.column(1).null_count()), (2, 2), "{ty}");
    }
    let column = Column { id: 9, name: "n".to_owned(), required: false, ty: Type::Uuid, doc: String::new() };
    assert_eq!((absent(&column, 3).null_count(), absent(&column, 0).len()), (3, 0));
}

#[test]
fn what_cannot_have_come_after_is_an_error() {
    let ints: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    assert!(Arc::ptr_eq(&adapt(&ints, &Type::Int, &Type::Int).unwrap(), &ints));
    let fields = |columns: &str| Type::Struct(of_columns(columns).schema.columns);
    for (old, new) in [
        (Type::Int, Type::String),
        (Type::Bigint, Type::Int),
        (Type::Int, fields("a INT")),
        // The array is no struct.
        (fields("a INT"), fields("a BIGINT")),
    ] {
        let error = adapt(&ints, &old, &new).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{old} as {new}: {error}");
    }
}
