//! Agents that can be pointed at a table, by the configurations of `docs/guide/reach.md`.
//!
//! Recorded: the OTLP request from the JavaScript exporter (`@opentelemetry/exporter-logs-otlp-http` 0.223.1), those of Fluent Bit from 5.1.1, built
//! from its source. Vector's is written after its source (`src/sinks/http/config.rs`): it could not be built here.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::support::frazil::{Frazil, Start};
use crate::support::http::Answer;
use crate::support::store::Store;
use crate::table;

const TOKEN: (&str, &str) = ("Authorization", "Bearer secret");

const OTLP: &str = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},{"key":"service.version","value":{"stringValue":"1.0"}}],"droppedAttributesCount":0},"scopeLogs":[{"scope":{"name":"checkout","version":"2.1"},"logRecords":[{"timeUnixNano":"1767225600123000000","observedTimeUnixNano":"1795276984853000000","severityNumber":9,"severityText":"INFO","body":{"stringValue":"order placed"},"attributes":[{"key":"order.id","value":{"intValue":42}},{"key":"paid","value":{"boolValue":true}},{"key":"tags","value":{"arrayValue":{"values":[{"stringValue":"a"},{"stringValue":"b"}]}}}],"droppedAttributesCount":0},{"timeUnixNano":"1795276984854000000","observedTimeUnixNano":"1795276984854000000","severityNumber":17,"severityText":"ERROR","body":{"kvlistValue":{"values":[{"key":"reason","value":{"stringValue":"card"}},{"key":"code","value":{"intValue":7}}]}},"attributes":[],"droppedAttributesCount":0}]}]}]}"#;

async fn gateway(store: &Store) -> Frazil {
    Start::new("gateway", store).arg("--token").arg("secret").run().await
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

async fn read(frazil: &Frazil, path: &str) -> Answer {
    frazil.http.request("GET", path, &[TOKEN], None).await
}

#[tokio::test]
async fn logs_of_opentelemetry_become_rows() {
    let store = Store::file();
    let frazil = gateway(&store).await;
    let rows = format!("{}/rows", table("otel_logs"));
    let post = format!("{rows}?format=otlp&create=true");
    let headers = [
        TOKEN,
        ("content-type", "application/json"),
        ("user-agent", "OTel-OTLP-Exporter-JavaScript/0.223.1"),
    ];
    frazil
        .http
        .request("POST", &post, &headers[1..], Some(OTLP.into()))
        .await
        .problem(401, "unauthenticated");
    for _ in 0..2 {
        let answer = frazil.http.request("POST", &post, &headers, Some(OTLP.into())).await;
        assert_eq!(answer.ok(200), json!({}), "what an exporter knows as success");
    }
    let found =
        read(&frazil, &format!("{rows}?limit=2&columns=time,severity,body,attributes,resource,scope"))
            .await
            .ok(200);
    assert_eq!(
        found,
        json!([
            {"time": "2026-01-01T00:00:00.123000Z", "severity": "INFO", "body": "order placed",
             "attributes": {"order.id": "42", "paid": "true", "tags": "[\"a\",\"b\"]"},
             "resource": {"service.name": "shop", "service.version": "1.0"}, "scope": "checkout"},
            {"time": "2026-11-21T16:03:04.854000Z", "severity": "ERROR", "body": "{\"reason\":\"card\",\"code\":7}",
             "attributes": {}, "resource": {"service.name": "shop", "service.version": "1.0"}, "scope": "checkout"},
        ])
    );
    let errors = read(&frazil, &format!("{rows}?filter=severity_number%20%3E%3D%2017")).await.ok(200);
    assert_eq!(errors.as_array().map(Vec::len), Some(2));
    let protobuf = [TOKEN, ("content-type", "application/x-protobuf")];
    frazil
        .http
        .request("POST", &rows, &protobuf, Some(vec![10, 0]))
        .await
        .problem(415, "unsupported-media-type");
}

#[tokio::test]
async fn events_of_vector_become_rows() {
    let store = Store::file();
    let frazil = gateway(&store).await;
    let rows = format!("{}/rows", table("logs"));
    let lines = "{\"host\":\"a\",\"message\":\"one\",\"timestamp\":\"2026-01-01T00:00:00.1Z\"}\n{\"host\":\"a\",\"message\":\"two\",\"timestamp\":\"2026-01-01T00:00:01Z\"}\n";
    let vector = [
        TOKEN,
        ("content-type", "application/x-ndjson"),
        ("content-encoding", "gzip"),
        ("x-agent", "vector"),
    ];
    let post = format!("{rows}?create=true&format=ndjson");
    let ack = frazil.http.request("POST", &post, &vector, Some(gzip(lines))).await.ok(200);
    assert_eq!(
        (&ack["rows"], &ack["created"]),
        (&json!(2), &json!("logs (host STRING, message STRING, timestamp STRING)"))
    );
    let found = read(&frazil, &format!("{rows}?columns=message&format=csv")).await;
    assert_eq!(found.text, "message\none\ntwo\n");
    // What does not fit is final; an agent drops it and says so.
    let refused = frazil.http.request("POST", &rows, &vector, Some(gzip(r#"{"host":1}"#))).await;
    assert_eq!(refused.problem(422, "invalid-rows")["retry"], "never");
}

/// Bodies that Fluent Bit sent, `Compress gzip`, each of two events of `in_dummy`: as `json_lines`, and as `json`.
const FLUENT_BIT_LINES: &str = "1f8b08000000000000ffad8d310e83301004fb3c636b837cb641e6de912a9d8b138902b1143b34167fcff1012abad9d5aea6a1be5601c3593776449da33b45f69669eafd3884181f3078e652759414572925cdc7257f44f3229b2c606f90dfe0fafd8941cd07dbde0dca692ee0062db061df6fed4c196c9882bd5af9078f9a1079e6000000";
const FLUENT_BIT_JSON: &str = "1f8b08000000000000ffad8d310e83301004ffb2b541f6d944e6de912a510a172712056229363488bf737c808a6e76b5ab79aea89f49c0204bb7c6b986dcdd45f696c9b731742186070cdeb9541d25c5494a49c371c93fd13cca2223d81be42fb8fe6731a8f960db52a79c86025ea105166c9b3955f636f43e5eac7ced3faadaa1e7000000";

#[tokio::test]
async fn events_of_fluent_bit_become_rows() {
    let store = Store::file();
    let frazil = gateway(&store).await;
    let rows = format!("{}/rows", table("logs"));
    let headers = |content_type| {
        [
            TOKEN,
            ("content-type", content_type),
            ("content-encoding", "gzip"),
            ("user-agent", "Fluent-Bit"),
            ("connection", "keep-alive"),
        ]
    };
    let post = format!("{rows}?create=true&format=ndjson");
    let lines = headers("application/x-ndjson");
    let ack = frazil.http.request("POST", &post, &lines, Some(bytes(FLUENT_BIT_LINES))).await.ok(200);
    let columns = "time STRING, host STRING, message STRING, level BIGINT, ok BOOLEAN, took DOUBLE, tags STRUCT<k STRING>";
    assert_eq!((&ack["rows"], &ack["created"]), (&json!(2), &json!(format!("logs ({columns})"))));
    let json = headers("application/json");
    let array = frazil.http.request("POST", &rows, &json, Some(bytes(FLUENT_BIT_JSON))).await.ok(200);
    assert_eq!(array["buckets"], json!([{"bucket": 0, "start": 2, "end": 4}]));
    let found =
        read(&frazil, &format!("{rows}?from=-15m&filter=took%20%3D%200.25&columns=time,tags")).await.ok(200);
    let times: Vec<_> = found.as_array().into_iter().flatten().map(|row| row["time"].clone()).collect();
    let expected = [
        "2026-11-21T18:30:19.365488Z",
        "2026-11-21T18:30:19.404940Z",
        "2026-11-21T18:30:23.845484Z",
        "2026-11-21T18:30:23.904938Z",
    ];
    assert_eq!(times, expected);
    assert_eq!(found[3]["tags"], json!({"k": "v"}));
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).expect("two digits");
    (0..hexadecimal.len()).step_by(2).map(byte).collect()
}
