use arrow::array::Array;
use arrow::array::cast::AsArray;
use arrow::array::types::{Decimal128Type, Float32Type, Float64Type, Int64Type};
use proptest::prelude::*;
use serde_json::Value;

use super::{Format, json, schema};
use crate::error::{Kind, Problem, RowErrorKind};
use crate::produce::decode::{Bytes, Limits, decode};

/// The one row error of a body: `row kind pointer: expected / found`.
fn refused(columns: &str, body: &str) -> String {
    let problem = json(columns, body).unwrap_err();
    assert_eq!(problem.kind(), Kind::InvalidRows, "{problem}");
    let shown = problem.errors().iter().map(|error| {
        format!("{} {:?} {}: {} / {}", error.row, error.kind, error.pointer, error.expected, error.found)
    });
    shown.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_string_where_a_bigint_belongs_is_named() {
    let problem = json("id BIGINT NOT NULL, url STRING", r#"[{"id":3},{"id":"x"}]"#).unwrap_err();
    assert_eq!(problem.detail(), "row 1, column \"id\": expected BIGINT, found \"x\"");
    let error: Value = serde_json::to_value(&problem.errors()[0]).unwrap();
    let expected = r#"{"row":1,"column":"id","kind":"wrong-type","pointer":"/1/id","expected":"BIGINT","found":"\"x\""}"#;
    assert_eq!(error, serde_json::from_str::<Value>(expected).unwrap());
}

#[test]
fn each_error_has_its_kind_and_place() {
    let columns = "id BIGINT NOT NULL, n INT, s STRUCT<a INT NOT NULL, b ARRAY<INT>>, d DECIMAL(4,2)";
    for (row, shown) in [
        (r#"{"n":1}"#, "0 Missing /0/id: BIGINT NOT NULL / nothing"),
        (r#"{"id":null}"#, "0 Missing /0/id: BIGINT NOT NULL / null"),
        (r#"{"id":1,"x":[1,{}]}"#, "0 UnknownColumn /0/x: a column of the table / \"x\""),
        (r#"{"id":1,"N":1}"#, "0 UnknownColumn /0/N: a column of the table (case matters: \"n\") / \"N\""),
        (r#"{"id":1,"__x":1}"#, "0 UnknownColumn /0/__x: a column of the table / \"__x\""),
        (r#"{"id":1.0}"#, "0 WrongType /0/id: BIGINT / 1.0"),
        (r#"{"id":9223372036854775808}"#, "0 OutOfRange /0/id: BIGINT / 9223372036854775808"),
        (r#"{"id":1,"n":2147483648}"#, "0 OutOfRange /0/n: INT / 2147483648"),
        (r#"{"id":1,"n":"1"}"#, "0 WrongType /0/n: INT / \"1\""),
        (r#"{"id":1,"n":{"a":1}}"#, "0 WrongType /0/n: INT / {\"a\":1}"),
        (r#"{"id":1,"s":{}}"#, "0 Missing /0/s/a: INT NOT NULL / nothing"),
        (r#"{"id":1,"s":{"a":1,"b":[1,true]}}"#, "0 WrongType /0/s/b/1: INT / true"),
        (r#"{"id":1,"d":"123.45"}"#, "0 OutOfRange /0/d: DECIMAL(4,2) / \"123.45\""),
        (r#"{"id":1,"d":"n/a"}"#, "0 WrongType /0/d: DECIMAL(4,2) / \"n/a\""),
        ("7", "0 WrongType /0: an object / 7"),
    ] {
        assert_eq!(refused(columns, row), shown, "{row}");
    }
}

#[test]
fn all_errors_of_a_request_are_counted_and_a_hundred_are_told() {
    let rows = vec![r#"{"id":"x","id2":1}"#; 300].join(",");
    let problem = json("id BIGINT", &format!("[{rows}]")).unwrap_err();
    assert_eq!((problem.errors().len(), problem.errors_total()), (100, 600));
    assert_eq!(problem.errors()[99].row, 49);
}

#[test]
fn a_long_value_is_shown_shortened() {
    let shown = refused("id BIGINT", &format!(r#"[{{"id":"{}"}}]"#, "x".repeat(5000)));
    assert!(shown.len() < 200 && shown.ends_with('…'), "{shown}");
}

#[test]
fn numbers_are_taken_exactly() {
    let columns = "b BIGINT, d DECIMAL(38,10), f DOUBLE, r REAL";
    let body = r#"[{"b":"-9223372036854775808","d":1234567890123456789012345678.0123456789,"f":0.1,"r":0.1},
                   {"b":9007199254740993,"d":"1e-10","f":123456789.1234568e-300,"r":16777217}]"#;
    let batch = json(columns, body).unwrap();
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().values(), &[i64::MIN, 9_007_199_254_740_993]);
    let decimals = batch.column(1).as_primitive::<Decimal128Type>().values();
    assert_eq!(decimals, &[12_345_678_901_234_567_890_123_456_780_123_456_789, 1]);
    assert_eq!(batch.column(2).as_primitive::<Float64Type>().values(), &[0.1, 1.234_567_891_234_568e-292]);
    assert_eq!(batch.column(3).as_primitive::<Float32Type>().values(), &[0.1, 16_777_216.0]);
}

#[test]
fn values_of_every_type_are_read() {
    let columns = "a BOOLEAN, b UUID, c FIXED(2), d BINARY, e VECTOR(2), f MAP<STRING, INT>, g MAP<INT, INT>, h TIME, i DATE";
    let body = r#"{"a":true,"b":"123e4567-e89b-12d3-a456-426614174000","c":"AQI=","d":"AQI","e":[1,"NaN"],"f":{"k":1},
                   "g":[[1,2]],"h":"12:00:00.5","i":"2026-01-02"}"#;
    let batch = json(columns, body).unwrap();
    assert!(batch.columns().iter().all(|column| column.null_count() == 0));
    let pairs = json("f MAP<STRING, INT>", r#"{"f":[["k",1]]}"#).unwrap();
    let object = json("f MAP<STRING, INT>", r#"{"f":{"k":1}}"#).unwrap();
    assert_eq!(pairs, object);
}

#[test]
fn values_of_the_wrong_shape_are_refused() {
    for (columns, value) in [
        ("v VECTOR(2)", "[1]"),
        ("v VECTOR(2)", "[1,2,3]"),
        ("v VECTOR(2)", "[1,null]"),
        ("v VECTOR(2)", "[1,\"x\"]"),
        ("v UUID", "\"123e4567e89b12d3a456426614174000\""),
        ("v FIXED(2)", "\"AQ==\""),
        ("v BINARY", "\"*\""),
        ("v MAP<INT, INT>", "{\"1\":2}"),
        ("v MAP<INT, INT>", "[[1]]"),
        ("v MAP<INT, INT>", "[[1,2,3]]"),
        ("v MAP<INT, INT>", "[1]"),
        ("v MAP<INT, INT>", "[[1,2],[1,3]]"),
        ("v MAP<STRING, INT>", "{\"a\":1,\"a\":2}"),
        ("v MAP<INT, INT>", "[[null,2]]"),
        ("v REAL", "1e39"),
        ("v DOUBLE", "1e400"),
        ("v DOUBLE", "\"inf\""),
        ("v BOOLEAN", "1"),
        ("v STRING", "1"),
        ("v ARRAY<INT>", "{}"),
        ("v STRUCT<a INT>", "[]"),
        ("v TIMESTAMP", "\"2026-01-02T03:04:05Z\""),
        ("v DATE", "20000"),
        ("v STRUCT<m ARRAY<MAP<STRING, INT>>>", "{\"m\":[{\"a\":1,\"a\":2}]}"),
    ] {
        let problem = json(columns, &format!(r#"[{{"v":{value}}}]"#)).unwrap_err();
        assert_eq!(problem.kind(), Kind::InvalidRows, "{columns} {value}");
        assert_eq!(problem.errors()[0].column.as_deref(), Some("v"));
    }
}

#[test]
fn rows_lie_where_they_were_when_some_are_null_and_some_nested() {
    let batch = json(
        "s STRUCT<a INT>, l ARRAY<INT>",
        r#"[{},{"s":{"a":1},"l":[1,null]},{"s":null,"l":[]},{"s":{}}]"#,
    )
    .unwrap();
    assert_eq!(batch.num_rows(), 4);
    assert_eq!(batch.column(0).null_count(), 2);
    assert_eq!(batch.column(1).as_list::<i32>().value_offsets(), &[0, 0, 2, 2, 2]);
}

#[test]
fn pseudo_columns_are_dropped_and_other_ops_refused() {
    let batch =
        json("id INT", r#"[{"__offset":7,"id":1,"__bucket":0,"__timestamp":"x","__op":"+I"}]"#).unwrap();
    assert_eq!((batch.num_rows(), batch.num_columns()), (1, 1));
    let problem = json("id INT", r#"[{"id":1,"__op":"-D"}]"#).unwrap_err();
    assert_eq!(problem.kind(), Kind::Unsupported);
    assert!(problem.detail().contains("__op"));
}

#[test]
fn broken_json_is_named_by_line_and_column() {
    let problem = json("id INT", "[{\"id\":1},\n {\"id\":}]").unwrap_err();
    assert_eq!((problem.kind(), problem.detail()), (Kind::Malformed, "line 2, column 8: expected a value"));
    for body in [
        "",
        "[",
        "[{\"id\":1}",
        "[{\"id\":1}] x",
        "{\"id\":1}{\"id\":2}",
        "[{\"id\":1,\"id\":2}]",
        "[{id:1}]",
    ] {
        assert_eq!(json("id INT", body).unwrap_err().kind(), Kind::Malformed, "{body}");
    }
    let latin = decode(
        Format::Json,
        &Bytes::from_static(b"[{\"s\":\"\xe9\"}]"),
        &schema("s STRING"),
        &Limits::default(),
    );
    assert_eq!(latin.unwrap_err().kind(), Kind::Malformed);
}

fn ndjson(body: &str) -> Result<usize, Problem> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    decode(Format::Ndjson, &body, &schema("id INT"), &Limits::default()).map(|batch| batch.num_rows())
}

#[test]
fn ndjson_is_a_row_a_line() {
    assert_eq!(ndjson("{\"id\":1}\r\n\n  {\"id\":2}  \n{\"id\":3}"), Ok(3));
    assert_eq!(ndjson(""), Ok(0));
    let problem = ndjson("{\"id\":1}\n{\"id\":\n2}\n").unwrap_err();
    assert!(problem.detail().starts_with("line 2, column 7"), "{problem}");
    let problem = ndjson("{\"id\":1}\n{\"id\":\"x\"}\n{}{}").unwrap_err();
    assert!(problem.detail().starts_with("line 3, column 3"), "{problem}");
    let problem = ndjson("{\"id\":1}\n\n{\"id\":\"x\"}").unwrap_err();
    assert_eq!((problem.errors()[0].row, problem.errors()[0].kind), (1, RowErrorKind::WrongType));
}

#[test]
fn a_body_without_a_type_is_sniffed() {
    for (body, format) in [
        (&b" [{}]"[..], Format::Json),
        (b"{\"a\":1}", Format::Json),
        (b"{\"a\":\n1}", Format::Json),
        (b"{\"a\":1}\n{\"a\":2}", Format::Ndjson),
        (b"\xff\xff\xff\xff\x10\0\0\0", Format::ArrowStream),
    ] {
        assert_eq!(Format::of(Some("application/x-www-form-urlencoded"), body), Ok(format));
        assert_eq!(Format::of(None, body), Ok(format));
    }
    for body in [&b"id=1"[..], b"ARROW1\0\0", b"\x00"] {
        assert_eq!(Format::of(None, body).unwrap_err().kind(), Kind::UnsupportedMediaType);
    }
    assert_eq!(Format::of(None, b" ").unwrap_err().kind(), Kind::Malformed);
    assert_eq!(Format::of(Some("application/JSON; charset=utf-8"), b""), Ok(Format::Json));
    assert_eq!(Format::of(Some("text/csv; header=present"), b""), Ok(Format::Csv));
    assert_eq!(Format::of(Some("text/html"), b"").unwrap_err().kind(), Kind::UnsupportedMediaType);
}

#[test]
fn small_rows_of_a_wide_table_cannot_fill_the_memory() {
    let columns: Vec<_> = (0..1000).map(|at| format!("c{at} DECIMAL(38,0)")).collect();
    let body = format!("[{}]", vec!["{}"; 100_000].join(","));
    assert_eq!(json(&columns.join(","), &body).unwrap_err().kind(), Kind::TooLarge);
    let nulls = format!(r#"{{"v":[{}]}}"#, vec!["null"; 100_000].join(","));
    assert_eq!(json("v ARRAY<VECTOR(65536)>", &nulls).unwrap_err().kind(), Kind::TooLarge);
}

proptest! {
    #[test]
    fn no_body_panics(body in "[\\[\\]{}:,\"a0-9.eE\\-+ \n\\\\nulsitrf_]{0,60}") {
        for format in [Format::Json, Format::Ndjson] {
            let body = Bytes::copy_from_slice(body.as_bytes());
            let schema = schema("a BIGINT, e STRUCT<a INT NOT NULL>, n ARRAY<DOUBLE>, s MAP<STRING, DECIMAL(9,3)>");
            let valid = body.split(|byte| *byte == b'\n').all(|line| serde_json::from_slice::<Value>(line).is_ok());
            if decode(format, &body, &schema, &Limits::default()).is_ok() && format == Format::Ndjson && !valid {
                prop_assert!(body.split(|byte| *byte == b'\n').any(|line| line.trim_ascii().is_empty()));
            }
        }
    }
}
