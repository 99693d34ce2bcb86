//! The HTTP door: URLs, parameters and bodies → calls of [`Application`], and its answers → bytes.
//!
//! Invariants:
//! * a handler translates only; what is not known (parameter, member, format, verb) is refused by name;
//! * whatever goes wrong is answered as a [`crate::error::Problem`], with the request's id;
//! * each route is in `/openapi.json`, and nothing else is.
//!
//! Start reading at [`router`]; what lies behind the door is [`Application`]; one file per resource: `databases`,
//! `tables`, `rows`, `offsets`, `groups`, `write`; what all of them do with a request is in `request`, the routes about the process itself in `process`.

mod alter;
mod answer;
mod databases;
mod evolved;
pub(crate) mod groups;
pub(crate) mod offsets;
mod process;
pub(crate) mod request;
mod rows;
pub(crate) mod tables;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use frazil_log::env::Env;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::process::aside::aside;
use self::process::{fallback, health, members, openapi};
use self::request::body::Bodies;
use self::request::guard;
use crate::app::Application;
use crate::consume::kept::KeptPages;
use crate::flight;
use crate::memory::Share;
use crate::peers::grpc::{self, Member};
use crate::produce::decode::Limits;

/// The version that the doors tell.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How the HTTP door behaves.
#[derive(Clone)]
pub struct Options {
    /// The token that requests must show; none: they need not.
    pub token: Option<String>,
    /// The most bytes of a request's body.
    pub request_bytes_max: usize,
    /// What all bodies that are in memory take.
    pub bodies: Share,
    /// Where followers' pages wait for their clients.
    pub follows: KeptPages,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long a produce may take if the client does not say.
    pub request_deadline: Duration,
    /// What decoding a body may take.
    pub decode: Limits,
    /// Who answers other gateways on the same port; none: nobody does.
    pub member: Option<Arc<dyn Member>>,
}

/// What every handler has at hand.
#[derive(Debug)]
struct Doors {
    app: Arc<dyn Application>,
    env: Env,
    options: Options,
    bodies: Bodies,
    /// The OpenAPI document as JSON.
    openapi: String,
    /// The paths that the document has.
    paths: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            token: None,
            request_bytes_max: 16 << 20,
            bodies: Share::new(64 << 20),
            follows: KeptPages::new(16 << 20),
            body_timeout: Duration::from_secs(25),
            request_deadline: Duration::from_secs(25),
            decode: Limits::default(),
            member: None,
        }
    }
}

impl std::fmt::Debug for Options {
    /// The token is not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("request_bytes_max", &self.request_bytes_max)
            .field("bodies", &self.bodies)
            .field("follows", &self.follows)
            .field("body_timeout", &self.body_timeout)
            .field("request_deadline", &self.request_deadline)
            .field("decode", &self.decode)
            .finish()
    }
}

/// The doors of a store on one port: HTTP, and Flight beside it.
pub fn router(app: Arc<dyn Application>, env: &Env, options: Options) -> Router {
    let (router, mut document) = routes().split_for_parts();
    openapi::add_problems(&mut document);
    let paths = document.paths.paths.keys().cloned().collect();
    let openapi = document.to_json().expect("the document is made of strings and numbers");
    let bodies = Bodies::new(&options);
    let peers = options.member.clone().map(grpc::routes).unwrap_or_default();
    let calls = flight::router(Arc::clone(&app), options.clone(), bodies.memory()).merge(peers);
    let doors = Arc::new(Doors { app, env: env.clone(), options, bodies, openapi, paths });
    fallback::add(router)
        .with_state(Arc::clone(&doors))
        .merge(calls)
        .layer(CatchPanicLayer::custom(guard::panicked))
        .layer(from_fn_with_state(Arc::clone(&doors), guard::token))
        .layer(from_fn_with_state(doors, guard::request_id))
}

fn routes() -> OpenApiRouter<Arc<Doors>> {
    process_routes(OpenApiRouter::new())
        .routes(routes!(databases::list))
        .routes(routes!(databases::describe, databases::ensure, databases::drop))
        .routes(routes!(tables::list))
        .routes(routes!(tables::describe, tables::ensure, alter::alter, tables::drop))
        .routes(routes!(alter::restore))
        .routes(routes!(rows::produce, rows::consume))
        .routes(routes!(rows::changes))
        .routes(routes!(offsets::offsets))
        .routes(routes!(write::write))
        .routes(routes!(groups::list))
        .routes(routes!(groups::describe, groups::store, groups::delete))
}

/// The routes about the process itself.
fn process_routes(router: OpenApiRouter<Arc<Doors>>) -> OpenApiRouter<Arc<Doors>> {
    router
        .routes(routes!(health::banner))
        .routes(routes!(health::health))
        .routes(routes!(health::ready))
        .routes(routes!(health::version))
        .routes(routes!(health::metrics))
        .routes(routes!(health::cluster))
        .routes(routes!(members::drain))
        .routes(routes!(openapi::openapi))
}
