//! The peers' service over gRPC, on the port of the other doors and behind the same token.
//!
//! There is no protobuf compiler in the build: three paths, each with its codec, are all that a generated server would hold.

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
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tonic::client::Grpc;
use tonic::codegen::Service;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::server::{ServerStreamingService, UnaryService};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::message::{Empty, MESSAGE_BYTES_MAX, ProposeAnswer, ProposeRequest, TailMessage, TailRequest};
use super::transport::{Pushes, Transport, Unreachable};

const PROPOSE: &str = "/frazil.peer.v1.Peer/Propose";
const TAIL: &str = "/frazil.peer.v1.Peer/Tail";
const DRAIN: &str = "/frazil.peer.v1.Peer/Drain";

/// How long a connection may take to come up.
const CONNECT_TIME: Duration = Duration::from_secs(2);

/// A connection on which somebody listens is looked after this often, and given up if nothing answers.
const ALIVE_PAUSE: Duration = Duration::from_secs(5);

/// The most connections that are kept.
const CHANNELS_MAX: usize = 64;

/// What the service calls.
#[async_trait]
pub trait Member: Send + Sync + std::fmt::Debug + 'static {
    /// A gateway offers a flush.
    async fn propose(&self, request: ProposeRequest) -> ProposeAnswer;

    /// A gateway wants to hear of new slots; nothing if the database is not open here.
    fn tail(&self, request: TailRequest) -> Option<BoxStream<'static, TailMessage>>;

    /// An operator wants it to drain.
    fn drain_now(&self);
}

/// The service's routes.
pub fn routes(member: Arc<dyn Member>) -> Router {
    let call = |method| Call { member: Arc::clone(&member), method };
    Router::new()
        .route_service(PROPOSE, call(Method::Propose))
        .route_service(TAIL, call(Method::Tail))
        .route_service(DRAIN, call(Method::Drain))
}

#[derive(Clone, Copy)]
enum Method {
    Propose,
    Tail,
    Drain,
}

#[derive(Clone)]
struct Call {
    member: Arc<dyn Member>,
    method: Method,
}

impl Service<axum::extract::Request> for Call {
    type Response = axum::http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: axum::extract::Request) -> Self::Future {
        let Call { member, method } = self.clone();
        async move {
            let answer = match method {
                Method::Propose => {
                    server::<ProposeAnswer, ProposeRequest>().unary(Propose(member), request).await
                }
                Method::Tail => {
                    server::<TailMessage, TailRequest>().server_streaming(Tail(member), request).await
                }
                Method::Drain => server::<Empty, Empty>().unary(Drain(member), request).await,
            };
            Ok(answer.map(Body::new))
        }
        .boxed()
    }
}

fn server<Answer, Asked>() -> tonic::server::Grpc<ProstCodec<Answer, Asked>>
where
    Answer: prost::Message + 'static,
    Asked: prost::Message + Default + 'static,
{
    tonic::server::Grpc::new(ProstCodec::default()).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

struct Propose(Arc<dyn Member>);

impl UnaryService<ProposeRequest> for Propose {
    type Response = ProposeAnswer;
    type Future = BoxFuture<'static, Result<Response<ProposeAnswer>, Status>>;

    fn call(&mut self, request: Request<ProposeRequest>) -> Self::Future {
        let member = Arc::clone(&self.0);
        async move { Ok(Response::new(member.propose(request.into_inner()).await)) }.boxed()
    }
}

struct Tail(Arc<dyn Member>);

impl ServerStreamingService<TailRequest> for Tail {
    type Response = TailMessage;
    type ResponseStream = BoxStream<'static, Result<TailMessage, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<TailRequest>) -> Self::Future {
        let pushes = self.0.tail(request.into_inner());
        let pushes = pushes.ok_or_else(|| Status::not_found("this gateway does not have that database open"));
        async move { Ok(Response::new(pushes?.map(Ok).boxed())) }.boxed()
    }
}

struct Drain(Arc<dyn Member>);

impl UnaryService<Empty> for Drain {
    type Response = Empty;
    type Future = BoxFuture<'static, Result<Response<Empty>, Status>>;

    fn call(&mut self, _: Request<Empty>) -> Self::Future {
        self.0.drain_now();
        async move { Ok(Response::new(Empty {})) }.boxed()
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
        // Asked only while a call is open: an idle connection is silent.
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIME)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(ALIVE_PAUSE)
            .keep_alive_timeout(ALIVE_PAUSE);
        if channels.len() >= CHANNELS_MAX {
            channels.pop_first();
        }
        let channel = endpoint.connect_lazy();
        channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }

    async fn client(&self, address: &str) -> Result<Grpc<Channel>, Unreachable> {
        let mut client = Grpc::new(self.channel(address)?).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let ready = client.ready().await;
        ready.map_err(|error| Unreachable(format!("{address}: {error}")))?;
        Ok(client)
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
        let mut client = self.client(address).await?;
        let codec = ProstCodec::<ProposeRequest, ProposeAnswer>::default();
        let answer = client.unary(self.request(request), PathAndQuery::from_static(PROPOSE), codec).await;
        answer.map(Response::into_inner).map_err(|status| unreachable(address, &status))
    }

    async fn tail(&self, address: &str, request: TailRequest) -> Result<Pushes, Unreachable> {
        let mut client = self.client(address).await?;
        let codec = ProstCodec::<TailRequest, TailMessage>::default();
        let answer =
            client.server_streaming(self.request(request), PathAndQuery::from_static(TAIL), codec).await;
        let pushes = answer.map_err(|status| unreachable(address, &status))?.into_inner();
        let address = address.to_owned();
        Ok(pushes.map(move |pushed| pushed.map_err(|status| unreachable(&address, &status))).boxed())
    }

    async fn drain(&self, address: &str) -> Result<(), Unreachable> {
        let mut client = self.client(address).await?;
        let codec = ProstCodec::<Empty, Empty>::default();
        let answer = client.unary(self.request(Empty {}), PathAndQuery::from_static(DRAIN), codec).await;
        answer.map(drop).map_err(|status| unreachable(address, &status))
    }
}

fn unreachable(address: &str, status: &Status) -> Unreachable {
    Unreachable(format!("{address}: {}", status.message()))
}
