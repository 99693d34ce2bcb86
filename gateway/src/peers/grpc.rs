//! The peers' service over gRPC, on the port of the other doors and behind the same token.
//!
//! There is no protobuf compiler in the build: two paths, each with its codec, are all that a generated server would hold.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::uri::PathAndQuery;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tonic::client::Grpc;
use tonic::codegen::Service;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::server::UnaryService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::message::{MESSAGE_BYTES_MAX, ProposeAnswer, ProposeRequest};
use super::transport::{Transport, Unreachable};

/// The path of a call.
const PROPOSE: &str = "/frazil.peer.v1.Peer/Propose";

/// How long a connection may take to come up.
const CONNECT_TIME: Duration = Duration::from_secs(2);

/// The most connections that are kept.
const CHANNELS_MAX: usize = 64;

/// What the service calls.
#[async_trait]
pub trait Member: Send + Sync + std::fmt::Debug + 'static {
    /// A gateway offers a flush.
    async fn propose(&self, request: ProposeRequest) -> ProposeAnswer;
}

/// The service's routes.
pub fn routes<S: Clone + Send + Sync + 'static>(member: Arc<dyn Member>) -> Router<S> {
    Router::new().route_service(PROPOSE, Call { member })
}

#[derive(Clone)]
struct Call {
    member: Arc<dyn Member>,
}

impl Service<axum::extract::Request> for Call {
    type Response = axum::http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: axum::extract::Request) -> Self::Future {
        let call = self.clone();
        Box::pin(async move {
            let mut server = tonic::server::Grpc::new(ProstCodec::<ProposeAnswer, ProposeRequest>::default())
                .max_decoding_message_size(MESSAGE_BYTES_MAX);
            let answer = server.unary(Propose(call.member), request).await;
            Ok(answer.map(Body::new))
        })
    }
}

struct Propose(Arc<dyn Member>);

impl UnaryService<ProposeRequest> for Propose {
    type Response = ProposeAnswer;
    type Future = BoxFuture<'static, Result<Response<ProposeAnswer>, Status>>;

    fn call(&mut self, request: Request<ProposeRequest>) -> Self::Future {
        let member = Arc::clone(&self.0);
        Box::pin(async move { Ok(Response::new(member.propose(request.into_inner()).await)) })
    }
}

/// Reaches other gateways over gRPC; one connection each, made when it is first needed.
pub struct GrpcTransport {
    token: Option<MetadataValue<Ascii>>,
    channels: Mutex<BTreeMap<String, Channel>>,
}

impl std::fmt::Debug for GrpcTransport {
    /// The token is not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcTransport").field("channels", &self.channels.lock().len()).finish_non_exhaustive()
    }
}

impl GrpcTransport {
    /// Shows `token` to the others: a fleet has one.
    ///
    /// # Errors
    /// The token has characters that no header takes.
    pub fn new(token: Option<&str>) -> Result<Self, Unreachable> {
        let token = token.map(|token| format!("Bearer {token}").parse()).transpose();
        let token = token.map_err(|_| Unreachable("the token does not fit a header".to_owned()))?;
        Ok(Self { token, channels: Mutex::new(BTreeMap::new()) })
    }

    fn channel(&self, address: &str) -> Result<Channel, Unreachable> {
        let mut channels = self.channels.lock();
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| Unreachable(format!("{address:?} is no address: {error}")))?;
        let endpoint = endpoint.connect_timeout(CONNECT_TIME).tcp_nodelay(true);
        if channels.len() >= CHANNELS_MAX {
            channels.pop_first();
        }
        let channel = endpoint.connect_lazy();
        channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }

    fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", token.clone());
        }
        request
    }
}

#[async_trait]
impl Transport for GrpcTransport {
    async fn propose(&self, address: &str, request: ProposeRequest) -> Result<ProposeAnswer, Unreachable> {
        let unreachable = |error: Status| Unreachable(format!("{address}: {}", error.message()));
        let mut client = Grpc::new(self.channel(address)?).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let ready = client.ready().await;
        ready.map_err(|error| Unreachable(format!("{address}: {error}")))?;
        let codec = ProstCodec::<ProposeRequest, ProposeAnswer>::default();
        let path = PathAndQuery::from_static(PROPOSE);
        let answer = client.unary(self.request(request), path, codec).await.map_err(unreachable)?;
        Ok(answer.into_inner())
    }
}
