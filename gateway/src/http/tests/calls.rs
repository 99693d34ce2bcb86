//! gRPC calls through the door: their problems are those of HTTP.

use arrow_flight::Action;
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use prost::Message;
use serde_json::Value;

use super::super::Options;
use super::{Answer, Door};

/// A call of one message.
async fn call(door: &Door, method: &str, message: &impl Message) -> Answer {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let framed = [&[0], &length[..], &message].concat();
    let headers = ["content-type: application/grpc", "te: trailers", "x-request-id: mine"];
    door.send(&format!("POST /arrow.flight.protocol.{method}"), Body::from(framed), &headers).await
}

fn action(name: &str, body: &'static str) -> Action {
    Action { r#type: name.to_owned(), body: body.into() }
}

fn problem(answer: &Answer) -> Value {
    let header = answer.headers["frazil-problem-bin"].as_bytes();
    let json = STANDARD_NO_PAD.decode(header).or_else(|_| STANDARD.decode(header)).unwrap();
    serde_json::from_slice(&json).unwrap()
}

#[tokio::test]
async fn a_problem_of_a_call_names_its_request_whoever_finds_it() {
    let (open, closed) = (Door::new(), Door::with(Options { token: Some("t".into()), ..Options::default() }));
    let nowhere = action("offsets", r#"{"table":"nowhere"}"#);
    for (door, method, action, kind) in [
        (&open, "FlightService/DoAction", &nowhere, "no-such-table"),
        (&open, "FlightService/DoAction", &action("fly", "{}"), "unsupported"),
        (&open, "FlightService/DoAction", &action("offsets", "["), "malformed"),
        (&closed, "FlightService/DoAction", &nowhere, "unauthenticated"),
    ] {
        let answer = call(door, method, action).await;
        assert_eq!(answer.headers["x-request-id"], "mine");
        assert_ne!(answer.headers["grpc-status"], "0", "{method}");
        let problem = problem(&answer);
        assert_eq!(problem["type"], format!("/errors/{kind}"), "{problem}");
        assert_eq!(problem["request_id"], "mine", "{problem}");
    }
}
