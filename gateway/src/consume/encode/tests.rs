use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use bytes::Bytes;
use frazil_log::schema::TableSpec;
use frazil_log::schema::ensure::{TableRequest, build};
use proptest::prelude::*;

use super::projection::Projection;
use super::{Encoder, Format};
use crate::consume::reader::{OutputColumn, output_schema};
use crate::error::Kind;
use crate::produce::decode::tests::{random, schema};
use crate::produce::decode::{Format as Input, Limits, decode};

/// An answer's batch: columns of a table's batch, and pseudo-columns as if it lay in bucket 0 from an offset on.
pub(crate) fn assemble(
    batch: &RecordBatch,
    columns: &[OutputColumn],
    spec: &TableSpec,
    start: i64,
) -> RecordBatch {
    let rows = batch.num_rows();
    let array = |source: &OutputColumn| -> ArrayRef {
        match source {
            OutputColumn::User(at) => Arc::clone(batch.column(*at)),
            OutputColumn::Bucket => Arc::new(Int32Array::from_value(0, rows)),
            OutputColumn::Offset => Arc::new(Int64Array::from_iter_values((start..).take(rows))),
            OutputColumn::Timestamp => {
                Arc::new(TimestampMicrosecondArray::from_value(1_000_000, rows).with_timezone("UTC"))
            }
            OutputColumn::Op => Arc::new(StringArray::from_iter_values(std::iter::repeat_n("+I", rows))),
        }
    };
    let arrays = columns.iter().map(array).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(output_schema(spec, columns), arrays, &options).unwrap()
}

fn project(columns: &str, wanted: &str, body: &'static str) -> (Projection, RecordBatch) {
    let spec = build(&TableRequest { columns: Some(columns.to_owned()), ..TableRequest::default() }).unwrap();
    let projection = Projection::parse(wanted, &spec.schema).unwrap();
    let body = Bytes::from_static(body.as_bytes());
    let batch = decode(Input::Json, &body, &spec.schema, &Limits::default()).unwrap();
    let batch = assemble(&batch, projection.sources(), &spec, 40);
    (projection, batch)
}

#[test]
fn columns_have_the_arrow_form_that_the_reader_gives_them() {
    let request =
        TableRequest { columns: Some("id BIGINT, url STRING".to_owned()), ..TableRequest::default() };
    let spec = build(&request).unwrap();
    let projection = Projection::parse("__offset,*,__timestamp,__op,__bucket", &spec.schema).unwrap();
    let encoder = Encoder::new(projection.columns().to_vec());
    assert_eq!(encoder.arrow, output_schema(&spec, projection.sources()));
}

#[test]
fn rows_are_written_as_the_page_says() {
    let (projection, batch) =
        project("id BIGINT, url STRING", "*,__offset", r#"[{"id":1,"url":"a\"b"},{"id":2,"url":null}]"#);
    let encoder = Encoder::new(projection.columns().to_vec());
    let json =
        String::from_utf8(encoder.answer(Format::Json, &[batch.clone(), batch.clone()]).unwrap()).unwrap();
    let row = r#"{"id":1,"url":"a\"b","__offset":40},{"id":2,"url":null,"__offset":41}"#;
    assert_eq!(json, format!("[{row},{row}]"));
    let lines = encoder.answer(Format::Ndjson, &[batch]).unwrap();
    assert_eq!(String::from_utf8(lines).unwrap(), format!("{}\n", row.replace("},{", "}\n{")));
    assert_eq!(encoder.answer(Format::Json, &[]).unwrap(), b"[]");
    assert_eq!(encoder.answer(Format::Ndjson, &[]).unwrap(), b"");
}

#[test]
fn rows_are_written_as_csv() {
    let columns = "id BIGINT, \"a,b\" STRING, d DECIMAL(9,2), at TIMESTAMP(6) WITH TIME ZONE, s ARRAY<STRING>, b BINARY, x DOUBLE";
    let body = r#"[{"id":1,"a,b":"x\"y","d":"1.50","at":"2026-01-02T03:04:05Z","s":["p","q"],"b":"","x":"NaN"},{"a,b":""}]"#;
    let (projection, batch) = project(columns, "*,__offset", body);
    let encoder = Encoder::new(projection.columns().to_vec());
    let csv = String::from_utf8(encoder.answer(Format::Csv, &[batch]).unwrap()).unwrap();
    assert_eq!(
        csv,
        "id,\"a,b\",d,at,s,b,x,__offset\n\
         1,\"x\"\"y\",1.50,2026-01-02T03:04:05.000000Z,\"[\"\"p\"\",\"\"q\"\"]\",\"\",NaN,40\n\
         ,\"\",,,,,,41\n"
    );
    assert_eq!(encoder.answer(Format::Csv, &[]).unwrap(), b"id,\"a,b\",d,at,s,b,x,__offset\n");
}

#[test]
fn pseudo_columns_stand_where_they_were_asked_for() {
    let (projection, batch) =
        project("id INT, url STRING", "__op,url,__timestamp,__bucket", r#"{"id":1,"url":"a"}"#);
    let json = Encoder::new(projection.columns().to_vec()).answer(Format::Json, &[batch]).unwrap();
    assert_eq!(
        String::from_utf8(json).unwrap(),
        r#"[{"__op":"+I","url":"a","__timestamp":"1970-01-01T00:00:01.000000Z","__bucket":0}]"#
    );
}

#[test]
fn columns_that_are_not_there_are_named() {
    let schema = schema("id INT, \"a,b\" INT");
    let parse = |text| Projection::parse(text, &schema);
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
    let json = Encoder::new(projection.columns().to_vec()).answer(Format::Json, &[batch]).unwrap();
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
            (Format::Csv, Input::Csv),
        ] {
            let body = Bytes::from(encoder.answer(output, std::slice::from_ref(&batch)).unwrap());
            let read = decode(input, &body, &schema, &Limits::default());
            let read = read.map_err(|problem| TestCaseError::fail(format!("{problem}: {}", body.escape_ascii())))?;
            prop_assert_eq!(&read, &batch);
        }
    }

    #[test]
    fn csv_with_pseudo_columns_is_read_back(schema in random::schemas(), rows in 0usize..6, seed in any::<u64>()) {
        let any = TableRequest { columns: Some("id INT".to_owned()), ..TableRequest::default() };
        let spec = TableSpec { schema: schema.clone(), ..build(&any).unwrap() };
        let projection = Projection::parse("__offset,*,__op,__bucket,__timestamp", &schema).unwrap();
        let batch = random::batch(&schema, rows, seed);
        let answer = assemble(&batch, projection.sources(), &spec, 7);
        let body = Bytes::from(Encoder::new(projection.columns().to_vec()).answer(Format::Csv, &[answer]).unwrap());
        prop_assert_eq!(decode(Input::Csv, &body, &schema, &Limits::default()).unwrap(), batch);
    }

    #[test]
    fn json_that_is_written_is_json(schema in random::schemas(), rows in 0usize..6, seed in any::<u64>()) {
        let batch = random::batch(&schema, rows, seed);
        let body = Encoder::new(schema.columns).answer(Format::Json, &[batch]).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        prop_assert_eq!(value.as_array().unwrap().len(), rows);
    }
}
