//! Field ids: given out as Iceberg gives them out, read and counted.
//!
//! Invariant: the fields of one struct (the table's columns first) get consecutive ids in order; only then each field's
//! own nested fields follow, field by field. So the columns of a new table always are 1, 2, 3, …
//!
//! An id of 0 means "none yet"; no stored schema has one.

use super::{Column, Type};
use crate::id::FieldId;

/// The highest field id that a table may hold. Far below the ids that Iceberg keeps for its metadata columns.
pub const FIELD_ID_MAX: FieldId = 1_000_000_000;

/// Gives every field a new id, from 1 on, in Iceberg's order.
pub fn assign_ids(columns: &mut [Column]) {
    let mut last: FieldId = 0;
    visit_columns_mut(columns, &mut |id| {
        last = last.saturating_add(1);
        *id = last;
    });
}

/// Gives an id to each field that has none, in Iceberg's order, above the highest one that is there.
pub(super) fn fill_ids(columns: &mut [Column]) {
    let mut last = highest_id(columns);
    visit_columns_mut(columns, &mut |id| {
        if *id == 0 {
            last = last.saturating_add(1);
            *id = last;
        }
    });
}

/// The highest field id in use, nested fields included; 0 if there is none.
pub fn highest_id(columns: &[Column]) -> FieldId {
    columns.iter().map(|column| column.id.max(highest_id_of_type(&column.ty))).max().unwrap_or(0).max(0)
}

/// Gives an id to each field, in Iceberg's order, above `last`; returns the highest one given out. Saturates: the caller checks it
/// against [`FIELD_ID_MAX`].
pub(super) fn fill_ids_above(columns: &mut [Column], mut last: FieldId) -> FieldId {
    visit_columns_mut(columns, &mut |id| {
        last = last.saturating_add(1);
        *id = last;
    });
    last
}

/// Visits every field id, nested ones included.
pub(super) fn visit_ids(columns: &[Column], visit: &mut dyn FnMut(FieldId)) {
    for column in columns {
        visit(column.id);
        visit_type_ids(&column.ty, visit);
    }
}

fn visit_type_ids(ty: &Type, visit: &mut dyn FnMut(FieldId)) {
    match ty {
        Type::List(element) => {
            visit(element.id);
            visit_type_ids(&element.ty, visit);
        }
        Type::Map(key, value) => {
            visit(key.id);
            visit(value.id);
            visit_type_ids(&key.ty, visit);
            visit_type_ids(&value.ty, visit);
        }
        Type::Struct(fields) => visit_ids(fields, visit),
        Type::Vector { element_id, .. } => visit(*element_id),
        _ => {}
    }
}

fn highest_id_of_type(ty: &Type) -> FieldId {
    match ty {
        Type::List(element) => element.id.max(highest_id_of_type(&element.ty)),
        Type::Map(key, value) => {
            key.id.max(value.id).max(highest_id_of_type(&key.ty)).max(highest_id_of_type(&value.ty))
        }
        Type::Struct(fields) => highest_id(fields),
        Type::Vector { element_id, .. } => *element_id,
        _ => 0,
    }
}

fn visit_columns_mut(columns: &mut [Column], visit: &mut dyn FnMut(&mut FieldId)) {
    for column in columns.iter_mut() {
        visit(&mut column.id);
    }
    for column in columns {
        visit_type_mut(&mut column.ty, visit);
    }
}

fn visit_type_mut(ty: &mut Type, visit: &mut dyn FnMut(&mut FieldId)) {
    match ty {
        Type::List(element) => {
            visit(&mut element.id);
            visit_type_mut(&mut element.ty, visit);
        }
        Type::Map(key, value) => {
            visit(&mut key.id);
            visit(&mut value.id);
            visit_type_mut(&mut key.ty, visit);
            visit_type_mut(&mut value.ty, visit);
        }
        Type::Struct(fields) => visit_columns_mut(fields, visit),
        Type::Vector { element_id, .. } => visit(element_id),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Nested;

    fn column(name: &str, ty: Type) -> Column {
        Column { id: 0, name: name.to_owned(), required: false, ty, doc: String::new() }
    }

    fn nested(ty: Type) -> Box<Nested> {
        Box::new(Nested { id: 0, required: true, ty })
    }

    fn ids(columns: &[Column]) -> Vec<FieldId> {
        let mut copy = columns.to_vec();
        let mut ids = Vec::new();
        visit_columns_mut(&mut copy, &mut |id| ids.push(*id));
        ids
    }

    /// The shape that Iceberg's own tests of fresh ids use: a list, a map of maps, a list of structs, a struct.
    fn many() -> Vec<Column> {
        let inner = Type::Map(nested(Type::String), nested(Type::Int));
        let place = Type::Struct(vec![column("lat", Type::Real), column("lon", Type::Real)]);
        vec![
            column("foo", Type::String),
            column("qux", Type::List(nested(Type::String))),
            column("quux", Type::Map(nested(Type::String), nested(inner))),
            column("location", Type::List(nested(place))),
            column("person", Type::Struct(vec![column("name", Type::String), column("age", Type::Int)])),
            column("embedding", Type::Vector { length: 4, element_id: 0 }),
        ]
    }

    #[test]
    fn columns_come_first_then_each_columns_fields_in_turn() {
        let mut columns = many();
        assign_ids(&mut columns);
        assert_eq!(columns.iter().map(|c| c.id).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
        let Type::List(element) = &columns[1].ty else { panic!("a list") };
        assert_eq!(element.id, 7);
        let Type::Map(key, value) = &columns[2].ty else { panic!("a map") };
        assert_eq!((key.id, value.id), (8, 9));
        let Type::Map(key, value) = &value.ty else { panic!("a map") };
        assert_eq!((key.id, value.id), (10, 11));
        let Type::List(element) = &columns[3].ty else { panic!("a list") };
        let Type::Struct(place) = &element.ty else { panic!("a struct") };
        assert_eq!((element.id, place[0].id, place[1].id), (12, 13, 14));
        let Type::Struct(person) = &columns[4].ty else { panic!("a struct") };
        assert_eq!((person[0].id, person[1].id), (15, 16));
        assert!(matches!(columns[5].ty, Type::Vector { element_id: 17, .. }));
        assert_eq!(highest_id(&columns), 17);
    }

    #[test]
    fn given_ids_are_kept_and_the_missing_ones_come_after_the_highest() {
        let mut columns = many();
        columns[2].id = 40;
        fill_ids(&mut columns);
        assert_eq!(ids(&columns), [41, 42, 40, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56]);
    }
}
