//! Gateways among each other: flushes handed over to the leader, and its slots pushed to the others.
//!
//! Invariants:
//! * correctness never depends on a message: what a leader accepts is a promise to try, and verdicts come from the own fold alone
//!   (rule 1); a lost, late or doubled message costs time or a request;
//! * one hop: what was handed over is written by whoever has it, never handed on (rule 14);
//! * bytes from a peer are decoded by the log's own decoders, are bounded, and never panic the process.
//!
//! Start reading at [`transport`]; [`message`] is what is said, [`grpc`] how. [`push`] is the leader's side of the tail, `listen` the
//! other one, [`interest`] says whether anybody wants it.

pub mod grpc;
pub mod interest;
pub(crate) mod listen;
pub mod message;
pub mod push;
pub mod transport;
