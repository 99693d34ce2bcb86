use arrow::array::Array;
use arrow::array::cast::AsArray;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use frazil_log::schema::sql::columns_sql;
use frazil_log::schema::{Schema, assign_ids};
use proptest::prelude::*;

use super::schema;
use crate::consume::encode;
use crate::error::{Kind, Problem, RowErrorKind};
use crate::produce::decode::infer::infer;
use crate::produce::decode::{Format, Limits, decode};

fn csv(columns: &str, body: &str) -> Result<RecordBatch, Problem> {
    decode(Format::Csv, &Bytes::copy_from_slice(body.as_bytes()), &schema(columns), &Limits::default())
}

/// The rows as JSON lines.
fn shown(columns: &str, body: &str) -> String {
    let batch = csv(columns, body).unwrap();
    let encoder = encode::Encoder::new(schema(columns).columns);
    String::from_utf8(encoder.answer(encode::Format::Ndjson, &[batch]).unwrap()).unwrap()
}

/// The row errors of a body: `row kind pointer: expected / found`.
fn refused(columns: &str, body: &str) -> String {
    let problem = csv(columns, body).unwrap_err();
    assert_eq!(problem.kind(), Kind::InvalidRows, "{problem}");
    let shown = problem.errors().iter().map(|error| {
        format!("{} {:?} {}: {} / {}", error.row, error.kind, error.pointer, error.expected, error.found)
    });
    shown.collect::<Vec<_>>().join("\n")
}

#[test]
fn cells_are_read_by_the_type_of_their_column() {
    let columns = "id BIGINT, ok BOOLEAN, x DOUBLE, d DECIMAL(9,2), day DATE, at TIMESTAMP(6) WITH TIME ZONE, s STRING, \
        l ARRAY<INT>, m MAP<STRING,STRING>";
    let body = "s,id,ok,x,d,day,at,l,m\r\n\
        \" a, b \", 7 ,TRUE,-1.5e3,12.3,2026-01-02,2026-01-02T03:04:05+01:00,\"[1,null]\",\"{\"\"k\"\":\"\"v\"\"}\"\r\n\
        ,,,NaN,,,,,\r\n";
    assert_eq!(
        shown(columns, body),
        "{\"id\":7,\"ok\":true,\"x\":-1500.0,\"d\":\"12.30\",\"day\":\"2026-01-02\",\"at\":\"2026-01-02T02:04:05.000000Z\",\
         \"s\":\" a, b \",\"l\":[1,null],\"m\":{\"k\":\"v\"}}\n\
         {\"id\":null,\"ok\":null,\"x\":\"NaN\",\"d\":null,\"day\":null,\"at\":null,\"s\":null,\"l\":null,\"m\":null}\n"
    );
}

#[test]
fn an_empty_cell_is_null_and_empty_quotes_are_the_empty_string() {
    let batch = csv("id INT, s STRING", "id,s\n1,\n2,\"\"\n").unwrap();
    let texts = batch.column(1).as_string::<i32>();
    assert!(texts.is_null(0));
    assert_eq!((texts.is_null(1), texts.value(1)), (false, ""));
    assert_eq!(refused("id INT, s STRING", "id,s\n\"\",x"), "0 WrongType /0/id: INT / \"\"");
    assert_eq!(csv("s STRING", "s\na\n\n\"\"\n").unwrap().column(0).null_count(), 1);
}

#[test]
fn what_does_not_fit_is_named_by_row_and_column() {
    let columns = "id BIGINT NOT NULL, n INT, l ARRAY<INT>";
    for (body, errors) in [
        ("id,n\n1,2\nx,3\n", "1 WrongType /1/id: BIGINT / \"x\""),
        ("id,n\n1,2147483648", "0 OutOfRange /0/n: INT / \"2147483648\""),
        ("id,n\n,1\n", "0 Missing /0/id: BIGINT NOT NULL / nothing"),
        (
            "n\n1\n2\n",
            "0 Missing /0/id: BIGINT NOT NULL / nothing\n1 Missing /1/id: BIGINT NOT NULL / nothing",
        ),
        ("id,N\n1,1\n", "0 UnknownColumn /0/N: a column of the table (case matters: \"n\") / \"N\""),
        (
            "id,n\n1\n2,3,4\n",
            "0 WrongType /0: 2 cells, as the header has / 1 cells\n1 WrongType /1: 2 cells, as the header has / 3 cells",
        ),
        ("id,l\n1,\"[1,{}]\"", "0 WrongType /0/l/1: INT / {}"),
        ("id,l\n1,\"[1\"", "0 WrongType /0/l: ARRAY<INT> / \"[1\""),
        ("id,l\n1,7", "0 WrongType /0/l: ARRAY<INT> / 7"),
    ] {
        assert_eq!(refused(columns, body), errors, "{body}");
    }
    let many = format!("id\n{}", "x\n".repeat(1000));
    assert_eq!(csv(columns, &many).unwrap_err().errors().len(), crate::error::ROW_ERRORS_MAX);
}

#[test]
fn broken_text_is_named_by_its_line() {
    for (body, words) in [
        ("id,s\n1,\"a\n", "line 2, column 3: this quoted cell"),
        ("id,id\n", "line 1, column 4: the header names this column twice"),
        ("", "the body is empty"),
        ("\n\n", "the body is empty"),
    ] {
        let problem = csv("id INT, s STRING", body).unwrap_err();
        assert_eq!(problem.kind(), Kind::Malformed, "{body}");
        assert!(problem.detail().contains(words), "{body}: {problem}");
    }
}

#[test]
fn pseudo_columns_are_dropped_and_only_inserts_taken() {
    let body = "__bucket,__offset,id,__timestamp,__op\n9,x,1,,+I\n,,2,,\n";
    assert_eq!(csv("id INT", body).unwrap().num_rows(), 2);
    assert_eq!(csv("id INT", "id,__op\n1,-D\n").unwrap_err().kind(), Kind::Unsupported);
}

#[test]
fn a_table_is_inferred_from_all_cells() {
    let columns = |body: &str| {
        let mut columns = infer(Format::Csv, &Bytes::copy_from_slice(body.as_bytes()))?;
        assign_ids(&mut columns);
        Ok::<_, Problem>(columns_sql(&Schema { id: 0, columns }))
    };
    let body =
        "id,x,ok,zip,name,big,__offset\n1,1,true,007,,99999999999999999999,4\n-2,1.5,false,1,\"\",1,5\n";
    assert_eq!(
        columns(body).unwrap(),
        "id BIGINT, x DOUBLE, ok BOOLEAN, zip STRING, name STRING, big STRING"
    );
    let problem = columns("a,b\n1,\n").unwrap_err();
    assert_eq!((problem.kind(), problem.errors()[0].kind), (Kind::InvalidRows, RowErrorKind::Missing));
    assert_eq!(columns("__offset\n1\n").unwrap_err().kind(), Kind::Malformed);
    let wide: Vec<_> = (0..=1000).map(|at| format!("c{at}")).collect();
    assert_eq!(columns(&wide.join(",")).unwrap_err().kind(), Kind::Malformed);
}

proptest! {
    #[test]
    fn no_body_panics(body in "[abn,\"\\[\\]{}:0-9\r\n]{0,60}") {
        let columns = "a BIGINT, b STRUCT<a INT NOT NULL>, n ARRAY<DOUBLE>";
        drop(csv(columns, &format!("a,b,n\n{body}")));
        drop(csv("a STRING", &body));
        drop(infer(Format::Csv, &Bytes::from(body)));
    }
}
