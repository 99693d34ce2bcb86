//! The Flight door: plain Arrow Flight on the port of HTTP, for pyarrow and any other client, without an SDK.
//!
//! Invariants:
//! * a call translates only, as HTTP does: the same names, parameters, problems and answers;
//! * the service in front is ours: the library's Flight SQL service would take every ticket for a protobuf;
//! * memory is bounded for each stream, whatever its client does.
//!
//! Start reading at [`service`]; rows in are in [`put`], rows out in [`get`], what there is in [`info`], the rest in [`actions`];
//! [`names`] reads descriptors and tickets, [`status`] says problems as gRPC does. [`client`] is the other end, for measurements.

mod actions;
pub mod client;
mod get;
mod info;
mod names;
mod put;
mod service;
pub(crate) mod status;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arrow_flight::flight_service_server::FlightServiceServer;
use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio::sync::Semaphore;

use self::put::memory::{Memory, meter};
use self::service::Service;
use crate::app::Application;
use crate::http::Options;

/// A message has its batch, limited by itself, and so much beside it: metadata, descriptor.
const MESSAGE_OVERHEAD_BYTES_MAX: usize = 1 << 20;

/// What every call has at hand.
#[derive(Debug)]
struct Flight {
    app: Arc<dyn Application>,
    options: Options,
    /// How many streams of rows are open.
    readers: Arc<AtomicUsize>,
}

/// The routes of the Flight door.
///
/// `units` is the memory, in KiB, that requests on their way in may take, here and over HTTP.
pub(crate) fn router(app: Arc<dyn Application>, options: Options, units: Arc<Semaphore>) -> Router {
    let message_bytes_max = options.request_bytes_max.saturating_add(MESSAGE_OVERHEAD_BYTES_MAX);
    let flight = Arc::new(Flight { app, options, readers: Arc::new(AtomicUsize::new(0)) });
    let service = FlightServiceServer::new(Service(flight)).max_decoding_message_size(message_bytes_max);
    let memory = Memory { units, message_bytes_max };
    Router::new()
        .route_service("/arrow.flight.protocol.FlightService/{method}", service)
        .layer(from_fn_with_state(memory, meter))
}
