use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use frazil_log::id::Bucket;
use frazil_log::schema::PseudoIds;
use proptest::prelude::*;

use super::projection::{Projection, Rows};
use super::{Encoder, Format};
use crate::error::Kind;
use crate::produce::decode::tests::{random, schema};
use crate::produce::decode::{Format as Input, Limits, decode};

const PSEUDO: PseudoIds = PseudoIds {
    bucket: 100,
    offset: 101,
    timestamp: 102,
};

fn project(columns: &str, wanted: &str, body: &'static str) -> (Projection, RecordBatch) {
    let schema = schema(columns);
    let projection = Projection::parse(wanted, &schema, &PSEUDO).unwrap();
    let batch = decode(
        Input::Json,
        &Bytes::from_static(body.as_bytes()),
        &schema,
        &Limits::default(),
    )
    .unwrap();
    let places: Vec<_> = projection
        .field_ids()
        .iter()
        .map(|id| schema.columns.iter().position(|column| column.id == *id).unwrap())
        .collect();
    let batch = batch.project(&places).unwrap();
    let rows = Rows {
        bucket: Bucket(3),
        start: 40,
        timestamp: 1_000_000,
        batch,
    };
    let batch = projection.assemble(&rows).unwrap();
    (projection, batch)
}

#[test]
fn rows_are_written_as_the_page_says() {
    let (projection, batch) = project(
        "id BIGINT, url STRING",
        "*,__offset",
        r#"[{"id":1,"url":"a\"b"},{"id":2,"url":null}]"#,
    );
    let encoder = Encoder::new(projection.columns().to_vec());
    let json = String::from_utf8(
        encoder
            .answer(Format::Json, &[batch.clone(), batch.clone()])
            .unwrap(),
    )
    .unwrap();
    let row = r#"{"id":1,"url":"a\"b","__offset":40},{"id":2,"url":null,"__offset":41}"#;
    assert_eq!(json, format!("[{row},{row}]"));
    let lines = encoder.answer(Format::Ndjson, &[batch]).unwrap();
    assert_eq!(
        String::from_utf8(lines).unwrap(),
        format!("{}\n", row.replace("},{", "}\n{"))
    );
    assert_eq!(encoder.answer(Format::Json, &[]).unwrap(), b"[]");
    assert_eq!(encoder.answer(Format::Ndjson, &[]).unwrap(), b"");
}

#[test]
fn pseudo_columns_stand_where_they_were_asked_for() {
    let (projection, batch) = project(
        "id INT, url STRING",
        "__op,url,__timestamp,__bucket",
        r#"{"id":1,"url":"a"}"#,
    );
    let json = Encoder::new(projection.columns().to_vec())
        .answer(Format::Json, &[batch])
        .unwrap();
    assert_eq!(
        String::from_utf8(json).unwrap(),
        r#"[{"__op":"+I","url":"a","__timestamp":"1970-01-01T00:00:01.000000Z","__bucket":3}]"#
    );
}

#[test]
fn columns_that_are_not_there_are_named() {
    let schema = schema("id INT, \"a,b\" INT");
    let parse = |text| Projection::parse(text, &schema, &PSEUDO);
    assert_eq!(parse("\"a,b\",id").unwrap().columns().len(), 2);
    for (text, kind) in [
        ("x", Kind::Unsupported),
        ("ID", Kind::Unsupported),
        ("", Kind::Unsupported),
        ("id,id", Kind::Malformed),
        ("*,id", Kind::Malformed),
    ] {
        assert_eq!(parse(text).unwrap_err().kind(), kind, "{text}");
    }
    assert!(parse("ID").unwrap_err().detail().contains("case matters: \"id\""));
}

#[test]
fn an_answer_without_user_columns_keeps_its_rows() {
    let (projection, batch) = project("id INT", "__offset", r#"[{"id":1},{"id":2}]"#);
    let json = Encoder::new(projection.columns().to_vec())
        .answer(Format::Json, &[batch])
        .unwrap();
    assert_eq!(json, br#"[{"__offset":40},{"__offset":41}]"#);
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(schema in random::schemas(), rows in 0usize..6, seed in any::<u64>()) {
        let batch = random::batch(&schema, rows, seed);
        let encoder = Encoder::new(schema.columns.clone());
        for (output, input) in [
            (Format::Json, Input::Json),
            (Format::Ndjson, Input::Ndjson),
            (Format::ArrowStream, Input::ArrowStream),
        ] {
            let body = Bytes::from(encoder.answer(output, std::slice::from_ref(&batch)).unwrap());
            let read = decode(input, &body, &schema, &Limits::default());
            let read = read.map_err(|problem| TestCaseError::fail(format!("{problem}: {}", body.escape_ascii())))?;
            prop_assert_eq!(&read, &batch);
        }
    }

    #[test]
    fn json_that_is_written_is_json(schema in random::schemas(), rows in 0usize..6, seed in any::<u64>()) {
        let batch = random::batch(&schema, rows, seed);
        let body = Encoder::new(schema.columns).answer(Format::Json, &[batch]).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        prop_assert_eq!(value.as_array().unwrap().len(), rows);
    }
}
