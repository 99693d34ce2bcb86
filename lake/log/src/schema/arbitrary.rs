//! Random columns, for property tests here and elsewhere in the crate.

use proptest::prelude::{Just, Strategy, any, prop_oneof};

use super::ids::assign_ids;
use super::{Column, Nested, Schema, TimestampUnit, Type};

/// Types of every kind, nested at most `levels` deep; ids are 0.
pub(crate) fn types(levels: u32) -> impl Strategy<Value = Type> {
    primitives().prop_recursive(levels, 24, 4, |inner| {
        prop_oneof![
            nested(inner.clone()).prop_map(|element| Type::List(Box::new(element))),
            (inner.clone(), nested(inner.clone())).prop_map(|(key, value)| {
                Type::Map(Box::new(Nested { id: 0, required: true, ty: key }), Box::new(value))
            }),
            fields(inner, 4).prop_map(Type::Struct),
        ]
    })
}

/// The columns of a table, checked names, ids given out.
pub(crate) fn columns() -> impl Strategy<Value = Vec<Column>> {
    fields(types(4), 6).prop_map(|mut columns| {
        assign_ids(&mut columns);
        columns
    })
}

/// A first schema.
pub(crate) fn schemas() -> impl Strategy<Value = Schema> {
    columns().prop_map(|columns| Schema { id: 0, columns })
}

fn primitives() -> impl Strategy<Value = Type> {
    prop_oneof![
        Just(Type::Boolean),
        Just(Type::Int),
        Just(Type::Bigint),
        Just(Type::Real),
        Just(Type::Double),
        (1u8..=38).prop_flat_map(
            |precision| (0..=precision).prop_map(move |scale| Type::Decimal { precision, scale })
        ),
        Just(Type::Date),
        Just(Type::Time),
        (any::<bool>(), any::<bool>()).prop_map(|(nanos, zone)| {
            let unit = if nanos { TimestampUnit::Nanos } else { TimestampUnit::Micros };
            Type::Timestamp { unit, zone }
        }),
        Just(Type::String),
        Just(Type::Uuid),
        (1u32..=1_048_576).prop_map(Type::Fixed),
        Just(Type::Binary),
        (1u32..=65_536).prop_map(|length| Type::Vector { length, element_id: 0 }),
    ]
}

fn nested(inner: impl Strategy<Value = Type>) -> impl Strategy<Value = Nested> {
    (any::<bool>(), inner).prop_map(|(required, ty)| Nested { id: 0, required, ty })
}

fn fields(ty: impl Strategy<Value = Type>, count_max: usize) -> impl Strategy<Value = Vec<Column>> {
    // A leading letter keeps names clear of `__`; the place at the end makes them unique.
    let field = ("[a-zA-Zäß][a-zA-Z0-9_ .\"'`é日]{0,8}", any::<bool>(), ty, "[^\0]{0,6}");
    proptest::collection::vec(field, 1..=count_max).prop_map(|fields| {
        let numbered = fields.into_iter().enumerate();
        numbered
            .map(|(place, (name, required, ty, doc))| {
                let name = format!("{name}{place}");
                Column { id: 0, name, required, ty, doc }
            })
            .collect()
    })
}
