//! Random histories of a table: whatever legal changes were made, each row ever written reads as the last schema says.

use arrow::array::Array;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use serde_json::{Value, json};

use super::values::{Dice, Row, write_rows};
use super::{changed, of_columns};
use crate::schema::evolution::{adapt, check_successor, keeps_all};
use crate::schema::{Column, TableSpec, Type};

const ADDED: [&str; 7] = [
    "INT",
    "REAL",
    "DECIMAL(9,2)",
    "STRING",
    "STRUCT<p INT NOT NULL, q REAL>",
    "ARRAY<INT NOT NULL>",
    "MAP<STRING,STRUCT<v INT NOT NULL>>",
];

/// What stands somewhere in a schema: a path, whether it has neighbours, its type.
struct Place {
    path: String,
    named: bool,
    siblings: Vec<String>,
    ty: Type,
}

fn places(columns: &[Column], prefix: &str, found: &mut Vec<Place>) {
    for column in columns {
        let path = format!("{prefix}{}", column.name);
        let siblings = columns.iter().map(|other| other.name.clone()).filter(|name| *name != column.name);
        found.push(Place {
            path: path.clone(),
            named: true,
            siblings: siblings.collect(),
            ty: column.ty.clone(),
        });
        below(&column.ty, &path, found);
    }
}

fn below(ty: &Type, path: &str, found: &mut Vec<Place>) {
    let (step, nested) = match ty {
        Type::Struct(columns) => return places(columns, &format!("{path}."), found),
        Type::List(element) => ("element", element),
        Type::Map(_, value) => ("value", value),
        _ => return,
    };
    let path = format!("{path}.{step}");
    found.push(Place { path: path.clone(), named: false, siblings: Vec::new(), ty: nested.ty.clone() });
    below(&nested.ty, &path, found);
}

/// A legal change; `number` makes new names new.
fn change(spec: &TableSpec, number: usize, dice: &mut Dice) -> Value {
    let mut found = Vec::new();
    places(&spec.schema.columns, "", &mut found);
    let place = &found[dice.below(found.len())];
    let path = &place.path;
    match (dice.below(5), &place.ty) {
        (0, ty) => {
            let name = if matches!(ty, Type::Struct(_)) {
                format!("{path}.n{number}")
            } else {
                format!("n{number}")
            };
            json!({"add": {"name": name, "type": ADDED[dice.below(ADDED.len())], "first": dice.below(2) == 0}})
        }
        (1, _) if place.named => json!({"rename": {"from": path, "to": format!("r{number}")}}),
        (2, _) if place.named && !place.siblings.is_empty() => json!({"drop": path}),
        (3, _) if place.named && !place.siblings.is_empty() => {
            let side = ["after", "before"][dice.below(2)];
            json!({"move": {"column": path, side: place.siblings[dice.below(place.siblings.len())]}})
        }
        (_, Type::Int) => json!({"widen": {"column": path, "type": "BIGINT"}}),
        (_, Type::Real) => json!({"widen": {"column": path, "type": "DOUBLE", "required": false}}),
        (_, Type::Decimal { precision, scale }) if *precision < 38 => {
            json!({"widen": {"column": path, "type": format!("DECIMAL({},{scale})", precision + 1)}})
        }
        _ => json!({"widen": {"column": path, "required": false}}),
    }
}

proptest! {
    #[test]
    fn each_row_ever_written_reads_as_the_last_schema_says(seed in any::<u64>(), steps in 0usize..12) {
        let mut dice = Dice(seed);
        let mut spec = of_columns(
            "a INT NOT NULL, r REAL, d DECIMAL(5,2), s STRUCT<x INT NOT NULL, y STRUCT<z REAL NOT NULL> NOT NULL>, \
             l ARRAY<INT NOT NULL>, m MAP<STRING,STRUCT<u REAL, v ARRAY<STRUCT<w INT>>> NOT NULL>",
        );
        let mut written = Vec::new();
        for number in 0..=steps {
            let rows: Vec<Row> = (0..1 + dice.below(4)).map(|_| dice.row(&spec.schema.columns)).collect();
            written.push((spec.schema.clone(), rows));
            let change = change(&spec, number, &mut dice);
            let new = changed(&spec, json!([change])).unwrap_or_else(|error| panic!("{change}: {error}"));
            check_successor(&spec, &new).unwrap();
            prop_assert_eq!(keeps_all(&spec.schema, &new.schema), change.get("drop").is_none());
            spec = new;
        }
        let last = Type::Struct(spec.schema.columns.clone());
        for (schema, rows) in written {
            let array = write_rows(&schema.columns, &rows);
            let expected = write_rows(&spec.schema.columns, &rows);
            let adapted = adapt(&array, &Type::Struct(schema.columns.clone()), &last).unwrap();
            prop_assert!(adapted.to_data().validate_full().is_ok());
            prop_assert_eq!(&adapted, &expected);
            // A part of the rows, as a read from the middle of a slice has them.
            let from = dice.below(rows.len());
            let part = adapt(&array.slice(from, rows.len() - from), &Type::Struct(schema.columns), &last).unwrap();
            prop_assert_eq!(&part, &expected.slice(from, rows.len() - from));
        }
    }
}
