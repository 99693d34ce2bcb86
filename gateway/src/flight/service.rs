//! Arrow Flight's calls. Each problem gets its request's id here, and becomes what gRPC calls it.

use std::pin::Pin;
use std::sync::Arc;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest,
    HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::{Stream, StreamExt, stream};
use tonic::{Request, Response, Status, Streaming};

use super::get::Query;
use super::names::Asked;
use super::status::status;
use super::{Flight, actions, get, info, put};
use crate::error::Problem;
use crate::http::request::guard::RequestId;

/// The service.
pub(super) struct Service(pub(super) Arc<Flight>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

type Answer<T> = Result<Response<T>, Status>;

/// Whom an answer is for.
struct Caller(Option<RequestId>);

impl Caller {
    fn of<T>(request: &Request<T>) -> Self {
        Self(request.extensions().get::<RequestId>().cloned())
    }

    fn status(&self, problem: Problem) -> Status {
        status(&match &self.0 {
            Some(id) => id.name(problem),
            None => problem,
        })
    }

    fn answer<T>(&self, answer: Result<T, Problem>) -> Answer<T> {
        answer.map(Response::new).map_err(|problem| self.status(problem))
    }

    fn stream<T: 'static>(
        self,
        answers: Result<impl Stream<Item = Result<T, Problem>> + Send + 'static, Problem>,
    ) -> Answer<Answers<T>> {
        let answers = answers.map_err(|problem| self.status(problem))?;
        let told = answers.map(move |answer| answer.map_err(|problem| self.status(problem)));
        Ok(Response::new(Box::pin(told)))
    }

    fn unsupported<T>(&self, what: &str) -> Answer<T> {
        self.answer(Err(Problem::unsupported(what)))
    }
}

#[tonic::async_trait]
impl FlightService for Service {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type DoExchangeStream = Answers<FlightData>;
    type DoActionStream = Answers<arrow_flight::Result>;
    type ListActionsStream = Answers<ActionType>;

    /// There is nothing to agree on: who came here has shown the token, if there is one, and shows it with each call.
    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Answer<Self::HandshakeStream> {
        let answers = request.into_inner().take(1).map(|asked| asked.map(|_| HandshakeResponse::default()));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn list_flights(&self, request: Request<Criteria>) -> Answer<Self::ListFlightsStream> {
        Caller::of(&request).stream(info::list(&self.0, &request.into_inner().expression))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        Caller::of(&request).answer(info::info(&self.0, request.into_inner()).await)
    }

    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Answer<PollInfo> {
        Caller::of(&request).unsupported("PollFlightInfo: GetFlightInfo answers at once")
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Answer<SchemaResult> {
        Caller::of(&request).answer(info::schema(&self.0, &request.into_inner()).await)
    }

    async fn do_get(&self, request: Request<Ticket>) -> Answer<Self::DoGetStream> {
        let caller = Caller::of(&request);
        let found = async {
            let asked = Asked::of_json(&request.into_inner().ticket)?;
            let table = self.0.app.table(&asked.database, &asked.table).await?;
            get::get(&self.0, Query::of(asked, &table)?).await
        };
        caller.stream(found.await)
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Answer<Self::DoPutStream> {
        let caller = Caller::of(&request);
        let (metadata, mut extensions, stream) = request.into_parts();
        let held = extensions.remove::<Arc<put::memory::Held>>();
        caller.stream(put::put(&self.0, &metadata, held, stream))
    }

    async fn do_exchange(&self, request: Request<Streaming<FlightData>>) -> Answer<Self::DoExchangeStream> {
        Caller::of(&request).unsupported("DoExchange: lookups come with primary-key tables")
    }

    async fn do_action(&self, request: Request<Action>) -> Answer<Self::DoActionStream> {
        let caller = Caller::of(&request);
        let answer = actions::act(&self.0, &request.into_inner()).await;
        let body = |answer: serde_json::Value| arrow_flight::Result { body: answer.to_string().into() };
        caller.stream(answer.map(|answer| stream::iter([Ok(body(answer))])))
    }

    async fn list_actions(&self, _: Request<Empty>) -> Answer<Self::ListActionsStream> {
        Ok(Response::new(Box::pin(stream::iter(actions::list().map(Ok)))))
    }
}
