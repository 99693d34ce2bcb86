//! The body of a produce request → one record batch in the table's Arrow form.
//!
//! Invariants:
//! * all of a body or nothing: a value that does not fit refuses the whole, and the answer names the first 100;
//! * nothing is rounded, cut or guessed: a value is taken exactly or refused;
//! * what [`crate::consume::encode`] writes is accepted and gives the same rows (the pseudo-columns are dropped);
//! * memory is bounded by [`Limits`], whatever the body claims.
//!
//! Start reading at [`decode()`]; JSON is scanned in `scan`, typed in `read` and collected in `node`; Arrow streams are in
//! `arrow_stream`, CSV is in `csv`. The table of a first request is inferred in [`infer`].

pub(crate) mod arrow_stream;
mod check;
mod csv;
pub(crate) mod errors;
pub mod infer;
mod json;
pub(crate) mod members;
mod node;
mod read;
mod scan;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod text;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use frazil_log::schema::Schema;

use crate::error::{Kind, Problem};

/// The format of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An array of rows, or one row.
    Json,
    /// A row a line.
    Ndjson,
    /// An Arrow IPC stream.
    ArrowStream,
    /// A header line, then a row a record.
    Csv,
    /// OTLP logs as JSON. No media type tells them from other JSON: `format=otlp` does.
    Otlp,
}

/// What decoding may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of the decoded batch.
    pub decoded_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { decoded_bytes_max: 128 << 20 }
    }
}

impl Format {
    /// The format that the parameter `format` names.
    ///
    /// # Errors
    /// `unsupported` for others.
    pub fn named(name: &str) -> Result<Self, Problem> {
        match name {
            "json" => Ok(Self::Json),
            "ndjson" => Ok(Self::Ndjson),
            "csv" => Ok(Self::Csv),
            "arrow" => Ok(Self::ArrowStream),
            "otlp" => Ok(Self::Otlp),
            other => Err(Problem::unsupported(format!(
                "format={other:?} is not known: json, ndjson, csv, arrow or otlp"
            ))),
        }
    }

    /// The format that a `Content-Type` names. A missing one, and what `curl -d` sends, is sniffed from the body.
    ///
    /// # Errors
    /// `unsupported` for formats of api.md that are not there yet, `unsupported-media-type` for others.
    pub fn of(content_type: Option<&str>, body: &[u8]) -> Result<Self, Problem> {
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "" | "application/x-www-form-urlencoded" | "application/octet-stream" => Self::sniff(body),
            "application/json" | "text/json" => Ok(Self::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Self::Ndjson),
            "application/vnd.apache.arrow.stream" => Ok(Self::ArrowStream),
            "text/csv" => Ok(Self::Csv),
            other => Err(Problem::new(
                Kind::UnsupportedMediaType,
                format!("Content-Type {other:?} is not known: send JSON, NDJSON, CSV or an Arrow stream"),
            )),
        }
    }

    fn sniff(body: &[u8]) -> Result<Self, Problem> {
        let begin = body.trim_ascii_start();
        match begin.first() {
            _ if body.starts_with(&[0xFF; 4]) => Ok(Self::ArrowStream),
            _ if body.starts_with(b"ARROW1") => Err(Problem::new(
                Kind::UnsupportedMediaType,
                "the body is an Arrow file: send an Arrow stream (in pyarrow: ipc.new_stream)",
            )),
            None => Err(Problem::malformed("the body is empty: send an array of rows")),
            Some(b'[') => Ok(Self::Json),
            Some(b'{') if json::is_one_value(body) => Ok(Self::Json),
            Some(b'{') => Ok(Self::Ndjson),
            Some(_) => Err(Problem::new(
                Kind::UnsupportedMediaType,
                "the body is neither JSON, NDJSON nor an Arrow stream, and no Content-Type says what it is (CSV must be named: text/csv)",
            )),
        }
    }
}

/// Decodes a body into a batch of the schema's Arrow form.
///
/// # Errors
/// `malformed` where the bytes are not of the format, `invalid-rows` where values do not fit the table, `too-large`
/// over the limit, `unsupported` for an `__op` that a log table does not take.
pub fn decode(
    format: Format,
    body: &Bytes,
    schema: &Schema,
    limits: &Limits,
) -> Result<RecordBatch, Problem> {
    match format {
        Format::Json => json::decode_json(body, schema, limits),
        Format::Ndjson => json::decode_ndjson(body, schema, limits),
        Format::ArrowStream => arrow_stream::decode(body, schema, limits),
        Format::Csv => csv::decode(body, schema, limits),
        Format::Otlp => json::decode_json(&json::otlp::rows(body, limits)?, schema, limits),
    }
}

fn too_large(limits: &Limits) -> Problem {
    let mebibytes = limits.decoded_bytes_max >> 20;
    Problem::new(Kind::TooLarge, format!("the rows take more than {mebibytes} MiB when decoded"))
        .with("limit", limits.decoded_bytes_max)
}
