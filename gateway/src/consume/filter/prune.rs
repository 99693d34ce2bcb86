//! Predicates over what is known of many rows: which of true, false and null may be among the answers.

use std::cmp::Ordering;

use super::{Comparison, Filter, Predicate, Value};
use crate::consume::reader::OutputColumn;

/// What is known of a column in some rows. A bound that is absent is not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Known {
    pub(crate) min: Option<Value>,
    pub(crate) max: Option<Value>,
    pub(crate) nulls: Nulls,
}

/// How many of some values are null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Nulls {
    None,
    #[default]
    Some,
    All,
}

/// The answers that may be among those of some rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct May {
    hold: bool,
    fail: bool,
    be_null: bool,
}

impl Filter {
    /// Whether a row may be wanted of which this is known.
    pub(crate) fn may_match(&self, known: &dyn Fn(OutputColumn) -> Known) -> bool {
        self.predicate.may(known).hold
    }
}

impl Predicate {
    fn may(&self, known: &dyn Fn(OutputColumn) -> Known) -> May {
        match self {
            Self::Constant(value) => {
                May { hold: *value == Some(true), fail: *value == Some(false), be_null: value.is_none() }
            }
            Self::Not(inner) => {
                let inner = inner.may(known);
                May { hold: inner.fail, fail: inner.hold, ..inner }
            }
            Self::All(parts) => parts.iter().map(|part| part.may(known)).fold(May::TRUE, May::and),
            Self::Any(parts) => {
                parts.iter().map(|part| part.may(known).not()).fold(May::TRUE, May::and).not()
            }
            Self::IsNull(column) => {
                let nulls = known(column.source).nulls;
                May { hold: nulls != Nulls::None, fail: nulls != Nulls::All, be_null: false }
            }
            Self::Compare(column, op, value) => {
                let known = known(column.source);
                known.may(known.holds(*op, value), known.holds(op.opposite(), value))
            }
            Self::In(column, values) => {
                let known = known(column.source);
                known.may(values.iter().any(|value| known.holds(Comparison::Equal, value)), true)
            }
            Self::Prefix(column, prefix) => {
                let known = known(column.source);
                known.may(known.begins(prefix), true)
            }
        }
    }
}

impl May {
    const TRUE: Self = Self { hold: true, fail: false, be_null: false };

    fn not(self) -> Self {
        Self { hold: self.fail, fail: self.hold, ..self }
    }

    /// Any answer of one with any of the other.
    fn and(self, other: Self) -> Self {
        let can = |may: Self| may.hold || may.fail || may.be_null;
        Self {
            hold: self.hold && other.hold,
            fail: (self.fail && can(other)) || (other.fail && can(self)),
            be_null: (self.be_null && (other.hold || other.be_null)) || (other.be_null && self.hold),
        }
    }
}

impl Known {
    fn may(&self, hold: bool, fail: bool) -> May {
        let has_values = self.nulls != Nulls::All;
        May { hold: hold && has_values, fail: fail && has_values, be_null: self.nulls != Nulls::None }
    }

    /// Whether a value within the bounds may compare so.
    fn holds(&self, op: Comparison, value: &Value) -> bool {
        use Comparison as C;
        // Values of different kinds have no order: then nothing is ruled out.
        let min = self.min.as_ref().and_then(|min| min.order(value));
        let max = self.max.as_ref().and_then(|max| max.order(value));
        match op {
            C::Equal => min != Some(Ordering::Greater) && max != Some(Ordering::Less),
            C::NotEqual => min != Some(Ordering::Equal) || max != Some(Ordering::Equal),
            C::Less => !matches!(min, Some(Ordering::Equal | Ordering::Greater)),
            C::LessOrEqual => min != Some(Ordering::Greater),
            C::Greater => !matches!(max, Some(Ordering::Equal | Ordering::Less)),
            C::GreaterOrEqual => max != Some(Ordering::Less),
        }
    }

    /// Whether a string within the bounds may begin so.
    fn begins(&self, prefix: &str) -> bool {
        let prefix = prefix.as_bytes();
        let above = |min: &str| min.as_bytes() > prefix && !min.as_bytes().starts_with(prefix);
        let below = |max: &str| max.as_bytes() < prefix;
        let is = |bound: &Option<Value>, test: &dyn Fn(&str) -> bool| match bound {
            Some(Value::Text(text)) => test(text),
            _ => false,
        };
        !is(&self.min, &above) && !is(&self.max, &below)
    }
}

impl Comparison {
    /// What holds of a value where this fails.
    fn opposite(self) -> Self {
        match self {
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
            Self::Less => Self::GreaterOrEqual,
            Self::LessOrEqual => Self::Greater,
            Self::Greater => Self::LessOrEqual,
            Self::GreaterOrEqual => Self::Less,
        }
    }
}
