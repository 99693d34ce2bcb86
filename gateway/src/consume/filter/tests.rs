use arrow::array::{Array, ArrayRef, RecordBatch};
use frazil_log::schema::{Schema, Type};
use frazil_log::segment::statistics::of_columns;
use proptest::prelude::*;

use super::{Comparison, Filter, Known, Nulls, Predicate, Value};
use crate::consume::reader::OutputColumn;
use crate::error::Kind;
use crate::produce::decode::tests::{random, schema};
use crate::produce::decode::{Format, Limits, decode};

const COLUMNS: &str = "id BIGINT, n INT, x DOUBLE, r REAL, d DECIMAL(6,2), ok BOOLEAN, Name STRING, day DATE, t TIME, \
    at TIMESTAMP(6) WITH TIME ZONE, ns TIMESTAMP(9), u UUID, b BINARY, f FIXED(2), l ARRAY<INT>";

fn columns_of(batch: &RecordBatch) -> impl Fn(OutputColumn) -> Option<ArrayRef> + '_ {
    |source| match source {
        OutputColumn::User(at) => batch.columns().get(at).cloned(),
        _ => None,
    }
}

/// The rows of which a filter is true.
fn wanted(filter: &str, rows: &str) -> Vec<usize> {
    let schema = schema(COLUMNS);
    let batch = decode(Format::Json, &rows.to_owned().into(), &schema, &Limits::default()).unwrap();
    let filter = Filter::parse(filter, &schema).unwrap_or_else(|problem| panic!("{filter}: {problem}"));
    let mask = filter.mask(batch.num_rows(), &columns_of(&batch)).unwrap();
    (0..batch.num_rows()).filter(|row| mask.value(*row)).collect()
}

#[test]
fn comparisons_mean_what_sql_says() {
    let rows = r#"[{"id":1,"n":-5,"x":1.5,"d":"1.50","ok":true,"Name":"anna","day":"2026-01-01","at":"2026-01-01T00:00:00Z"},
        {"id":2,"n":0,"x":-0.0,"d":"-1.50","ok":false,"Name":"","day":"2026-01-02","at":"2026-01-01T12:00:00.000001Z"},
        {"id":3,"n":7,"x":"NaN","d":"0","ok":true,"Name":"annex"},
        {}]"#;
    for (filter, expected) in [
        ("id = 1", &[0][..]),
        ("ID <> 1", &[1, 2]),
        ("2 <= id", &[1, 2]),
        ("id < 1.5", &[0]),
        ("id = 1.5", &[]),
        ("id != 1.5", &[0, 1, 2]),
        ("NOT id = 1.5", &[0, 1, 2]),
        ("id <= 2.0", &[0, 1]),
        ("id < 99999999999999999999", &[0, 1, 2]),
        ("id > -1e30", &[0, 1, 2]),
        ("id = '2'", &[1]),
        ("n > -5 AND n < 7", &[1]),
        ("n = -(5)", &[0]),
        ("x = 0", &[1]),
        ("x < 0", &[]),
        ("x >= 0", &[0, 1, 2]),
        ("x = 'NaN'", &[2]),
        ("x IN (0, 1.5)", &[0, 1]),
        ("d = 1.5", &[0]),
        ("d > -1.505", &[0, 1, 2]),
        ("d < -1.499", &[1]),
        ("d >= 10000", &[]),
        ("ok", &[0, 2]),
        ("NOT ok", &[1]),
        ("ok = false OR id = 3", &[1, 2]),
        ("name LIKE 'ann%'", &[0, 2]),
        ("name NOT LIKE 'ann%'", &[1]),
        ("name LIKE 'anna'", &[0]),
        ("\"Name\" = ''", &[1]),
        ("name IS NULL", &[3]),
        ("name IS NOT NULL AND day IS NULL", &[2]),
        ("id IN (1, 3, NULL)", &[0, 2]),
        ("id NOT IN (1, 3)", &[1]),
        ("id NOT IN (1, NULL)", &[]),
        ("id BETWEEN 2 AND 3", &[1, 2]),
        ("id NOT BETWEEN 2 AND 3", &[0]),
        ("day = DATE '2026-01-02'", &[1]),
        ("day < '2026-01-02'", &[0]),
        ("at >= '2026-01-01T13:00:00+01:00'", &[1]),
        ("at = TIMESTAMP '2026-01-01 00:00:00'", &[0]),
        ("at > DATE '2026-01-01'", &[1]),
        ("at <= '2026-01-01T12:00:00.0000015Z'", &[0, 1]),
        ("id = NULL", &[]),
        ("NULL OR id = 1", &[0]),
        ("l IS NULL", &[0, 1, 2, 3]),
        ("true", &[0, 1, 2, 3]),
        ("(((id = 1)))", &[0]),
    ] {
        assert_eq!(wanted(filter, rows), expected, "{filter}");
    }
}

#[test]
fn what_is_no_filter_is_refused_and_named() {
    let refused = |text: &str| {
        let problem = Filter::parse(text, &schema(COLUMNS)).unwrap_err();
        (problem.kind(), problem.detail().to_owned())
    };
    for text in ["", "id =", "id = 1 id", "id == ", "(id = 1", "id = 1)", "id IN ()x", "'", "id = 1; DROP"] {
        let (kind, detail) = refused(text);
        assert_eq!(kind, Kind::Malformed, "{text}: {detail}");
        assert!(detail.starts_with("filter, line 1, column "), "{detail}");
    }
    let problem = Filter::parse("id = 1 AND\n )", &schema(COLUMNS)).unwrap_err();
    assert_eq!((problem.field("line").unwrap(), problem.field("column").unwrap()), (&2.into(), &2.into()));
    for (text, words) in [
        ("nope = 1", "no column \"nope\"; it has id, n, x"),
        ("id = 'x'", "column \"id\" is BIGINT, which cannot be compared with 'x'"),
        ("name = 1", "column \"Name\" is STRING"),
        ("ok = 1", "BOOLEAN"),
        ("l = 1", "ARRAY<INT>"),
        ("id", "BIGINT, which cannot be compared with true"),
        ("name LIKE '%x'", "LIKE '%x'"),
        ("name LIKE 'a_'", "LIKE 'a_'"),
        ("name ILIKE 'a%'", "ILIKE"),
        ("lower(name) = 'x'", "lower(name)"),
        ("id + 1 = 2", "id + 1"),
        ("id = n", "id = n"),
        ("id = (SELECT 1)", "SELECT 1"),
        ("EXISTS (SELECT 1)", "EXISTS"),
        ("s.a = 1", "s.a"),
        ("CASE WHEN true THEN true END", "CASE"),
        ("id IS DISTINCT FROM 1", "DISTINCT"),
        ("at = 'soon'", "cannot be compared with 'soon'"),
    ] {
        let (kind, detail) = refused(text);
        assert_eq!(kind, Kind::Unsupported, "{text}: {detail}");
        assert!(detail.contains(words), "{text}: {detail}");
    }
}

#[test]
fn a_hostile_filter_is_refused_and_nothing_overflows() {
    let parse = |text: String| Filter::parse(&text, &schema(COLUMNS));
    for text in [
        format!("{}id = 1{}", "(".repeat(4000), ")".repeat(4000)),
        format!("{}ok", "NOT ".repeat(2000)),
        format!("id = {}1", "-".repeat(8000)),
        format!("id = {}1", "- ".repeat(4000)),
        format!("id IN ({}1)", "1,".repeat(2000)),
        format!("{}ok", "ok OR ".repeat(1200)),
        "x".repeat(9000),
        format!("{}1", "id=".repeat(2000)),
        "CASE WHEN ".repeat(800),
        "f(".repeat(4000),
        format!("id{}", "[".repeat(8000)),
        format!("id = 1{}", "::int".repeat(1500)),
    ] {
        assert!(parse(text.clone()).is_err(), "{text}");
    }
    let long = parse(format!("{}ok", "ok OR ".repeat(900))).unwrap();
    assert_eq!(long.columns(), [OutputColumn::User(5)]);
}

#[test]
fn pseudo_columns_are_columns_too() {
    let filter =
        Filter::parse("__offset >= 5 AND __Bucket = 0 AND __timestamp > '2026-01-01'", &schema(COLUMNS))
            .unwrap();
    assert_eq!(filter.columns(), [OutputColumn::Offset, OutputColumn::Bucket, OutputColumn::Timestamp]);
}

/// SQL's three values, row by row and without Arrow.
fn naive(predicate: &Predicate, row: &dyn Fn(OutputColumn) -> Option<Value>) -> Option<bool> {
    match predicate {
        Predicate::Constant(value) => *value,
        Predicate::Not(inner) => naive(inner, row).map(|value| !value),
        Predicate::All(parts) => {
            let values: Vec<_> = parts.iter().map(|part| naive(part, row)).collect();
            if values.contains(&Some(false)) {
                Some(false)
            } else if values.contains(&None) {
                None
            } else {
                Some(true)
            }
        }
        Predicate::Any(parts) => {
            let values: Vec<_> = parts.iter().map(|part| naive(part, row)).collect();
            if values.contains(&Some(true)) {
                Some(true)
            } else if values.contains(&None) {
                None
            } else {
                Some(false)
            }
        }
        Predicate::IsNull(column) => Some(row(column.source).is_none()),
        Predicate::In(column, values) => {
            let value = row(column.source)?;
            Some(values.iter().any(|other| value.order(other).unwrap().is_eq()))
        }
        Predicate::Prefix(column, prefix) => match row(column.source)? {
            Value::Text(text) => Some(text.starts_with(prefix)),
            other => panic!("{other:?}"),
        },
        Predicate::Compare(column, op, value) => {
            let order = row(column.source)?.order(value).unwrap();
            Some(match op {
                Comparison::Equal => order.is_eq(),
                Comparison::NotEqual => order.is_ne(),
                Comparison::Less => order.is_lt(),
                Comparison::LessOrEqual => order.is_le(),
                Comparison::Greater => order.is_gt(),
                Comparison::GreaterOrEqual => order.is_ge(),
            })
        }
    }
}

/// Filters over a schema's first columns: values of their rows, and some that are no row's.
fn filters(schema: Schema, batch: RecordBatch) -> impl Strategy<Value = Predicate> {
    let flat: Vec<usize> = (0..schema.columns.len())
        .filter(|at| {
            !matches!(
                schema.columns[*at].ty,
                Type::List(_) | Type::Map(..) | Type::Struct(_) | Type::Vector { .. }
            )
        })
        .collect();
    let columns = schema.columns.len();
    let leaf =
        (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..9usize, any::<prop::sample::Index>());
    let leaf = leaf.prop_map(move |(column, row, kind, other)| {
        let at = if flat.is_empty() { column.index(columns) } else { flat[column.index(flat.len())] };
        let column = super::ColumnRef {
            name: schema.columns[at].name.clone(),
            source: OutputColumn::User(at),
            ty: schema.columns[at].ty.clone(),
        };
        let value = |row: prop::sample::Index| {
            let rows = batch.num_rows().max(1);
            Value::of_row(&column.ty, batch.column(at), row.index(rows))
        };
        let comparison = [
            Comparison::Equal,
            Comparison::NotEqual,
            Comparison::Less,
            Comparison::LessOrEqual,
            Comparison::Greater,
            Comparison::GreaterOrEqual,
        ];
        match (value(row), kind) {
            (Some(Value::Text(text)), 7) => Predicate::Prefix(column, text.chars().take(1).collect()),
            (Some(value), kind) if kind < 6 => Predicate::Compare(column, comparison[kind], value),
            (Some(one), 6) => {
                let values = value(other).into_iter().chain([one]).collect();
                Predicate::In(column, values)
            }
            (None, 8) => Predicate::Constant(None),
            _ => Predicate::IsNull(column),
        }
    });
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Predicate::Not(Box::new(inner))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Predicate::All),
            prop::collection::vec(inner, 1..4).prop_map(Predicate::Any),
        ]
    })
}

fn cases() -> impl Strategy<Value = (Schema, RecordBatch, Predicate)> {
    (random::schemas(), 1usize..8, any::<u64>()).prop_flat_map(|(schema, rows, seed)| {
        let batch = random::batch(&schema, rows, seed);
        let filter = filters(schema.clone(), batch.clone());
        (Just(schema), Just(batch), filter)
    })
}

proptest! {
    #[test]
    fn kernels_and_a_naive_evaluator_agree_and_statistics_rule_out_nothing_wanted((schema, batch, predicate) in cases()) {
        let mut columns = Vec::new();
        predicate.columns(&mut columns);
        let filter = Filter { text: String::new(), predicate, columns };
        let mask = filter.mask(batch.num_rows(), &columns_of(&batch)).unwrap();
        let value = |row| {
            let (schema, batch) = (&schema, &batch);
            move |source: OutputColumn| match source {
                OutputColumn::User(at) => {
                    let (ty, array) = (&schema.columns[at].ty, batch.column(at));
                    // A nested value stands for itself: only whether it is null is asked.
                    Value::of_row(ty, array, row).or_else(|| (!array.is_null(row)).then_some(Value::Boolean(true)))
                }
                _ => None,
            }
        };
        for row in 0..batch.num_rows() {
            prop_assert_eq!(mask.value(row), naive(&filter.predicate, &value(row)) == Some(true), "row {} of {:?}", row, filter);
        }
        let ids: Vec<_> = schema.columns.iter().map(|column| column.id).collect();
        let statistics = of_columns(&ids, std::slice::from_ref(&batch));
        let known = |source: OutputColumn| match source {
            OutputColumn::User(at) => {
                let (ty, of) = (&schema.columns[at].ty, &statistics[at]);
                let rows = u32::try_from(batch.num_rows()).unwrap();
                let nulls = match of.nulls {
                    0 => Nulls::None,
                    nulls if nulls == rows => Nulls::All,
                    _ => Nulls::Some,
                };
                Known { min: Value::of_bound(ty, &of.min), max: Value::of_bound(ty, &of.max), nulls }
            }
            _ => Known::default(),
        };
        let any = (0..mask.len()).any(|row| mask.value(row));
        prop_assert!(!any || filter.may_match(&known), "{:?} by {:?}", filter, statistics);
    }

    #[test]
    fn no_text_panics(text in "[a-z0-9()'\"=<>,.%_\\- ]{0,60}") {
        drop(Filter::parse(&text, &schema(COLUMNS)));
    }

    #[test]
    fn whole_numbers_compare_as_numbers(values in prop::collection::vec(any::<i32>(), 1..6), literal in -3e9f64..3e9, op in 0..6usize) {
        let (sql, holds): (&str, fn(f64, f64) -> bool) = [
            ("=", (|a, b| a == b) as fn(f64, f64) -> bool), ("<>", |a, b| a != b), ("<", |a, b| a < b),
            ("<=", |a, b| a <= b), (">", |a, b| a > b), (">=", |a, b| a >= b),
        ][op];
        let rows: Vec<String> = values.iter().map(|value| format!("{{\"n\":{value}}}")).collect();
        let found = wanted(&format!("n {sql} {literal}"), &format!("[{}]", rows.join(",")));
        let expected: Vec<usize> = (0..values.len()).filter(|at| holds(f64::from(values[*at]), literal)).collect();
        prop_assert_eq!(found, expected);
    }
}
