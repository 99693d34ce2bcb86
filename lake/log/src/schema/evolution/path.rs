//! Where a column or nested field stands: `person.address.zip`, `tags.element`, `prices.value`.
//!
//! A name that holds a dot is found as it is before it is taken for a path.

use crate::schema::check::same_unicode;
use crate::schema::{Column, Nested, Type};

/// One step down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Into the column or field of this number.
    Field(usize),
    /// Into a list's element.
    Element,
    /// Into a map's value.
    Value,
}

/// The steps to a column or nested field; nothing if there is none.
pub(super) fn find(columns: &[Column], path: &str) -> Option<Vec<Step>> {
    if let Some(at) = position(columns, path) {
        return Some(vec![Step::Field(at)]);
    }
    path.match_indices('.').find_map(|(dot, _)| {
        let at = position(columns, &path[..dot])?;
        let mut steps = vec![Step::Field(at)];
        steps.extend(find_in(&columns[at].ty, &path[dot + 1..])?);
        Some(steps)
    })
}

fn find_in(ty: &Type, path: &str) -> Option<Vec<Step>> {
    let through = |step: Step, name: &str, nested: &Nested| {
        let rest = path.strip_prefix(name)?;
        let mut steps = vec![step];
        match rest.strip_prefix('.') {
            None if rest.is_empty() => {}
            None => return None,
            Some(rest) => steps.extend(find_in(&nested.ty, rest)?),
        }
        Some(steps)
    };
    match ty {
        Type::Struct(fields) => find(fields, path),
        Type::List(element) => through(Step::Element, "element", element),
        Type::Map(_, value) => through(Step::Value, "value", value),
        _ => None,
    }
}

/// The number of the column of a name, ignoring case.
pub(super) fn position(columns: &[Column], name: &str) -> Option<usize> {
    let same = same_unicode(name);
    columns.iter().position(|column| same_unicode(&column.name) == same)
}

/// The fields among which the last step stands, and its number there; nothing for an element or a value.
pub(super) fn siblings<'c>(
    columns: &'c mut Vec<Column>,
    steps: &[Step],
) -> Option<(&'c mut Vec<Column>, usize)> {
    match steps {
        [Step::Field(at)] => Some((columns, *at)),
        [Step::Field(at), rest @ ..] => siblings_in(&mut columns.get_mut(*at)?.ty, rest),
        _ => None,
    }
}

fn siblings_in<'c>(ty: &'c mut Type, steps: &[Step]) -> Option<(&'c mut Vec<Column>, usize)> {
    match (ty, steps) {
        (Type::Struct(fields), steps) => siblings(fields, steps),
        (Type::List(element), [Step::Element, rest @ ..]) => siblings_in(&mut element.ty, rest),
        (Type::Map(_, value), [Step::Value, rest @ ..]) => siblings_in(&mut value.ty, rest),
        _ => None,
    }
}

/// The type at the end of the steps, and whether it is required.
pub(super) fn field<'c>(columns: &'c mut [Column], steps: &[Step]) -> Option<(&'c mut Type, &'c mut bool)> {
    let [Step::Field(at), rest @ ..] = steps else { return None };
    let column = columns.get_mut(*at)?;
    field_in(&mut column.ty, &mut column.required, rest)
}

fn field_in<'c>(
    ty: &'c mut Type,
    required: &'c mut bool,
    steps: &[Step],
) -> Option<(&'c mut Type, &'c mut bool)> {
    let Some((step, rest)) = steps.split_first() else { return Some((ty, required)) };
    match (ty, step) {
        (Type::Struct(fields), _) => field(fields, steps),
        (Type::List(element), Step::Element) => field_in(&mut element.ty, &mut element.required, rest),
        (Type::Map(_, value), Step::Value) => field_in(&mut value.ty, &mut value.required, rest),
        _ => None,
    }
}
