//! OTLP/HTTP logs in JSON (`ExportLogsServiceRequest`) → rows of the table of [`COLUMNS`].
//!
//! Invariants:
//! * one log record is one row, in the order of the request; its resource and scope stand in each row;
//! * a record's time is its own, else the time at which it was observed; what is below a microsecond is cut off;
//! * memory is bounded: by the size of a request, the number of its records, and the bytes of the rows.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use crate::consume::position::time_text;
use crate::error::{Kind, Problem};
use crate::produce::decode::{Limits, too_large};

/// The columns that log records need.
pub(in crate::produce::decode) const COLUMNS: &str = "time TIMESTAMP(6) WITH TIME ZONE, observed TIMESTAMP(6) WITH TIME ZONE, severity STRING, \
    severity_number INT, body STRING, trace_id STRING, span_id STRING, attributes MAP<STRING,STRING>, \
    resource MAP<STRING,STRING>, scope STRING, scope_version STRING";

/// The most bytes of a request: exporters send far less at once.
const BODY_BYTES_MAX: usize = 4 << 20;

/// The most entries of one list.
const ENTRIES_MAX: usize = 100_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    #[serde(deserialize_with = "bounded")]
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs {
    #[serde(default)]
    resource: Attributed,
    #[serde(default, deserialize_with = "bounded")]
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs {
    #[serde(default)]
    scope: Scope,
    #[serde(default, deserialize_with = "bounded")]
    log_records: Vec<LogRecord>,
}

#[derive(Debug, Default, Deserialize)]
struct Attributed {
    #[serde(default, deserialize_with = "bounded")]
    attributes: Vec<KeyValue>,
}

#[derive(Debug, Default, Deserialize)]
struct Scope {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogRecord {
    #[serde(default)]
    time_unix_nano: Nanos,
    #[serde(default)]
    observed_time_unix_nano: Nanos,
    #[serde(default)]
    severity_number: i32,
    #[serde(default)]
    severity_text: String,
    #[serde(default)]
    body: AnyValue,
    #[serde(default, deserialize_with = "bounded")]
    attributes: Vec<KeyValue>,
    #[serde(default)]
    trace_id: String,
    #[serde(default)]
    span_id: String,
}

#[derive(Debug, Deserialize)]
struct KeyValue {
    key: String,
    #[serde(default)]
    value: AnyValue,
}

/// 64-bit numbers stand in strings; some send them as numbers. 0 is no time.
#[derive(Debug, Default)]
struct Nanos(u64);

/// A value as text: a string as it is, anything else as JSON.
#[derive(Debug, Default)]
struct AnyValue(Option<String>);

/// The rows of a request as JSON.
pub(in crate::produce::decode) fn rows(body: &[u8], limits: &Limits) -> Result<Vec<u8>, Problem> {
    if body.len() > BODY_BYTES_MAX {
        let detail =
            format!("OTLP: at most {BODY_BYTES_MAX} bytes a request: let the exporter send smaller batches");
        return Err(Problem::new(Kind::TooLarge, detail).with("limit", BODY_BYTES_MAX));
    }
    let request: Request = serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Problem::malformed(format!("the body is no OTLP ExportLogsServiceRequest in JSON: {error}"))
            .with("line", line)
            .with("column", column)
    })?;
    let mut out = vec![b'['];
    for logs in &request.resource_logs {
        let resource = map(&logs.resource.attributes);
        for scope in &logs.scope_logs {
            for record in &scope.log_records {
                if out.len() > 1 {
                    out.push(b',');
                }
                push(&mut out, &record.row(&resource, &scope.scope));
                if out.len() > limits.decoded_bytes_max {
                    return Err(too_large(limits));
                }
            }
        }
    }
    out.push(b']');
    Ok(out)
}

fn push<T: Serialize>(out: &mut Vec<u8>, row: &T) {
    serde_json::to_writer(out, row).expect("texts and numbers are written to memory without failing");
}

fn map(attributes: &[KeyValue]) -> Value {
    let pair = |pair: &KeyValue| (pair.key.clone(), json!(pair.value.0));
    Value::Object(attributes.iter().map(pair).collect::<Map<_, _>>())
}

fn text(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

impl LogRecord {
    fn row(&self, resource: &Value, scope: &Scope) -> Value {
        let time = self.time_unix_nano.text().or_else(|| self.observed_time_unix_nano.text());
        json!({
            "time": time,
            "observed": self.observed_time_unix_nano.text(),
            "severity": text(&self.severity_text),
            "severity_number": (self.severity_number != 0).then_some(self.severity_number),
            "body": self.body.0,
            "trace_id": text(&self.trace_id),
            "span_id": text(&self.span_id),
            "attributes": map(&self.attributes),
            "resource": resource,
            "scope": text(&scope.name),
            "scope_version": text(&scope.version),
        })
    }
}

impl Nanos {
    fn text(&self) -> Option<String> {
        let micros = i64::try_from(self.0 / 1000).ok()?;
        (self.0 != 0).then(|| time_text(micros))
    }
}

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = Value::deserialize(deserializer)?;
        let number = found.as_u64().or_else(|| found.as_str()?.parse().ok());
        number.map(Self).ok_or_else(|| D::Error::custom("expected nanoseconds since 1970"))
    }
}

impl<'de> Deserialize<'de> for AnyValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = plain(Value::deserialize(deserializer)?);
        Ok(Self(match value {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        }))
    }
}

/// `{"stringValue":"a"}` → `"a"`, and so on inwards.
fn plain(value: Value) -> Value {
    let Value::Object(mut members) = value else { return value };
    for name in ["stringValue", "boolValue", "intValue", "doubleValue", "bytesValue"] {
        if let Some(value) = members.remove(name) {
            return value;
        }
    }
    let list = |value: Option<Value>| match value {
        Some(Value::Object(mut members)) => match members.remove("values") {
            Some(Value::Array(values)) => values,
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    if members.contains_key("arrayValue") {
        return Value::Array(list(members.remove("arrayValue")).into_iter().map(plain).collect());
    }
    if members.contains_key("kvlistValue") {
        let pairs = list(members.remove("kvlistValue")).into_iter().filter_map(|mut pair| {
            let value = plain(pair.get_mut("value").map(Value::take).unwrap_or_default());
            Some((pair.get("key")?.as_str()?.to_owned(), value))
        });
        return Value::Object(pairs.collect());
    }
    Value::Null
}

/// A list of at most [`ENTRIES_MAX`].
fn bounded<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct Bounded<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Bounded<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {ENTRIES_MAX}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = list.next_element()? {
                if entries.len() == ENTRIES_MAX {
                    return Err(A::Error::custom(format!("more than {ENTRIES_MAX} entries in a list")));
                }
                entries.push(entry);
            }
            Ok(entries)
        }
    }
    deserializer.deserialize_seq(Bounded(PhantomData))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use crate::consume::encode;
    use crate::error::{Kind, Problem};
    use crate::produce::decode::infer::infer;
    use crate::produce::decode::tests::schema;
    use crate::produce::decode::{Format, Limits, decode};

    fn lines(body: &str) -> Result<String, Problem> {
        let schema = schema(super::COLUMNS);
        let batch =
            decode(Format::Otlp, &Bytes::copy_from_slice(body.as_bytes()), &schema, &Limits::default())?;
        let lines = encode::Encoder::new(schema.columns).answer(encode::Format::Ndjson, &[batch]).unwrap();
        Ok(String::from_utf8(lines).unwrap())
    }

    #[test]
    fn a_log_record_is_a_row_with_its_resource_and_scope() {
        let body = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
            "schemaUrl":"x","scopeLogs":[{"scope":{"name":"http","version":"1.2"},"logRecords":[
            {"timeUnixNano":"1767225600123456789","observedTimeUnixNano":1767225601000000000,"severityNumber":9,
             "severityText":"INFO","body":{"stringValue":"hello"},"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174",
             "attributes":[{"key":"n","value":{"intValue":"7"}},{"key":"l","value":{"arrayValue":{"values":[{"boolValue":true},{"doubleValue":1.5}]}}}]},
            {"body":{"kvlistValue":{"values":[{"key":"a","value":{"stringValue":"b"}}]}},"observedTimeUnixNano":"1767225601000000000"}]}]}]}"#;
        assert_eq!(
            lines(body).unwrap(),
            "{\"time\":\"2026-01-01T00:00:00.123456Z\",\"observed\":\"2026-01-01T00:00:01.000000Z\",\"severity\":\"INFO\",\"severity_number\":9,\
             \"body\":\"hello\",\"trace_id\":\"5b8efff798038103d269b633813fc60c\",\"span_id\":\"eee19b7ec3c1b174\",\
             \"attributes\":{\"n\":\"7\",\"l\":\"[true,1.5]\"},\"resource\":{\"service.name\":\"shop\"},\"scope\":\"http\",\"scope_version\":\"1.2\"}\n\
             {\"time\":\"2026-01-01T00:00:01.000000Z\",\"observed\":\"2026-01-01T00:00:01.000000Z\",\"severity\":null,\"severity_number\":null,\
             \"body\":\"{\\\"a\\\":\\\"b\\\"}\",\"trace_id\":null,\"span_id\":null,\"attributes\":{},\"resource\":{\"service.name\":\"shop\"},\
             \"scope\":\"http\",\"scope_version\":\"1.2\"}\n"
        );
        assert_eq!(lines(r#"{"resourceLogs":[]}"#).unwrap(), "");
        assert_eq!(infer(Format::Otlp, &Bytes::new()).unwrap().len(), 11);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"resourceLogs":7}"#,
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"x"}]}]}]}"#,
        ] {
            assert_eq!(lines(body).unwrap_err().kind(), Kind::Malformed, "{body}");
        }
    }

    #[test]
    fn a_small_request_cannot_fill_the_memory() {
        let records = vec!["{}"; 99_000].join(",");
        let resource = format!(r#"{{"key":"a","value":{{"stringValue":"{}"}}}}"#, "x".repeat(100_000));
        let body = format!(
            r#"{{"resourceLogs":[{{"resource":{{"attributes":[{resource}]}},"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#
        );
        assert_eq!(lines(&body).unwrap_err().kind(), Kind::TooLarge);
        let many = format!(r#"{{"resourceLogs":[{}]}}"#, vec!["{}"; 200_000].join(","));
        assert_eq!(lines(&many).unwrap_err().kind(), Kind::Malformed);
        assert_eq!(lines(&" ".repeat(5 << 20)).unwrap_err().kind(), Kind::TooLarge);
    }

    proptest! {
        #[test]
        fn no_body_panics(body in "[\\[\\]{}:,\"a-zA-Z0-9]{0,60}") {
            drop(lines(&body));
            drop(lines(&format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{body}}}]}}]}}]}}"#)));
        }
    }
}
