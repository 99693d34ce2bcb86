//! Agents that can be pointed at a table, by the configurations of `docs/guide/reach.md`.
//!
//! The OTLP request was recorded from the JavaScript exporter (`@opentelemetry/exporter-logs-otlp-http` 0.223.1); those of Vector and Fluent Bit
//! are written after their documentation: they could not be installed here.

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
async fn events_of_vector_and_fluent_bit_become_rows() {
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
    // Fluent Bit's json_lines may call itself JSON; its `json` is an array.
    let fluent = [TOKEN, ("content-type", "application/json"), ("content-encoding", "gzip")];
    frazil.http.request("POST", &post, &fluent, Some(gzip(lines))).await.ok(200);
    let array = r#"[{"host":"b","message":"three"}]"#;
    frazil.http.request("POST", &rows, &fluent, Some(gzip(array))).await.ok(200);
    let found = read(&frazil, &format!("{rows}?columns=message&format=csv")).await;
    assert_eq!(found.text, "message\none\ntwo\none\ntwo\nthree\n");
    // What does not fit is final; an agent drops it and says so.
    let refused = frazil.http.request("POST", &rows, &fluent, Some(gzip(r#"[{"host":1}]"#))).await;
    assert_eq!(refused.problem(422, "invalid-rows")["retry"], "never");
}
