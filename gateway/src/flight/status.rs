//! Problems as gRPC says them.
//!
//! The code is the one of [`crate::error::table`], the message reads `kind: detail`, and the problem's JSON is in the status details
//! (pyarrow: `error.extra_info`) and in the trailer `frazil-problem-bin`. All of it stays below what clients accept as trailers.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

use crate::error::{Kind, Problem};

/// The trailer that holds the problem's JSON.
const PROBLEM: &str = "frazil-problem-bin";

/// The most bytes of the message: gRPC clients take 8 KiB of trailers in all.
const MESSAGE_BYTES_MAX: usize = 1 << 10;

/// The most bytes of the problem's JSON, which stands there twice, in base64.
const JSON_BYTES_MAX: usize = 2 << 10;

/// What tells a gRPC request from others.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|value| value.starts_with(b"application/grpc"))
}

/// A problem as the answer to a gRPC request that no service has seen.
pub(crate) fn refuse(problem: &Problem) -> Response {
    status(problem).into_http()
}

/// A problem as a gRPC status.
pub(crate) fn status(problem: &Problem) -> Status {
    let code = Code::from_i32(problem.kind().row().grpc as i32);
    let json = Bytes::from(problem.brief(JSON_BYTES_MAX));
    let mut metadata = MetadataMap::new();
    metadata.insert_bin(PROBLEM, MetadataValue::from_bytes(&json));
    Status::with_details_and_metadata(code, cut(problem.to_string()), json, metadata)
}

/// What the library says of a request's stream: a message over the limit, or a client that is gone.
pub(crate) fn of_stream(status: &Status, request_bytes_max: usize) -> Problem {
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => too_large(request_bytes_max),
        _ => Problem::malformed(format!("the stream cannot be read: {}", status.message())),
    }
}

/// A batch over the limit.
pub(crate) fn too_large(request_bytes_max: usize) -> Problem {
    let detail = format!(
        "a batch has more than {request_bytes_max} bytes: send smaller ones, write_table(t, max_chunksize=…) in pyarrow"
    );
    Problem::new(Kind::TooLarge, detail).with("limit", request_bytes_max)
}

fn cut(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{RowError, RowErrorKind};

    #[test]
    fn a_problem_with_a_hundred_errors_fits_the_trailers_and_is_still_json() {
        let error = |row| RowError {
            row,
            column: Some("ß".repeat(80)),
            kind: RowErrorKind::WrongType,
            pointer: format!("/{row}/x"),
            expected: "BIGINT".to_owned(),
            found: "\"x\"".repeat(20),
        };
        let problem = Problem::invalid_rows((0..200).map(error).collect(), 200);
        let status = status(&problem);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with("invalid-rows: row 0, column"), "{}", status.message());
        let json: serde_json::Value = serde_json::from_slice(status.details()).unwrap();
        assert_eq!(json["errors_total"], 200);
        assert!(!json["errors"].as_array().unwrap().is_empty());
        let response: Response = status.into_http();
        let bytes: usize =
            response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        assert!(bytes < 8 << 10, "{bytes} bytes of trailers");
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let message = cut("ä".repeat(MESSAGE_BYTES_MAX));
        assert!(message.len() <= MESSAGE_BYTES_MAX + '…'.len_utf8() && message.ends_with('…'));
    }
}
