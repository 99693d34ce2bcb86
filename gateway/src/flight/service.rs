//! Arrow Flight's calls.

use std::pin::Pin;
use std::sync::Arc;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest,
    HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::{Stream, stream};
use tonic::{Request, Response, Status, Streaming};

use super::get::Query;
use super::names::Asked;
use super::status::status;
use super::{Flight, actions, get, info, put};
use crate::error::Problem;

/// The service.
pub(super) struct Service(pub(super) Arc<Flight>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

type Answer<T> = Result<Response<T>, Status>;

fn unsupported(what: &str) -> Status {
    status(&Problem::unsupported(what))
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

    async fn handshake(&self, _: Request<Streaming<HandshakeRequest>>) -> Answer<Self::HandshakeStream> {
        Err(unsupported(
            "Handshake: there are no sessions; send authorization: Bearer <token> with each call",
        ))
    }

    async fn list_flights(&self, request: Request<Criteria>) -> Answer<Self::ListFlightsStream> {
        let flights = info::list(&self.0, &request.into_inner().expression);
        Ok(Response::new(Box::pin(flights.map_err(|problem| status(&problem))?)))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        let info = info::info(&self.0, request.into_inner()).await;
        info.map(Response::new).map_err(|problem| status(&problem))
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<PollInfo> {
        Err(unsupported("PollFlightInfo: GetFlightInfo answers at once"))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Answer<SchemaResult> {
        let schema = info::schema(&self.0, &request.into_inner()).await;
        schema.map(Response::new).map_err(|problem| status(&problem))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Answer<Self::DoGetStream> {
        let found = async {
            let asked = Asked::of_json(&request.into_inner().ticket)?;
            let table = self.0.app.table(&asked.database, &asked.table).await?;
            get::get(&self.0, Query::of(asked, &table)?).await
        };
        Ok(Response::new(Box::pin(found.await.map_err(|problem| status(&problem))?)))
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Answer<Self::DoPutStream> {
        let (metadata, mut extensions, stream) = request.into_parts();
        let held = extensions.remove::<Arc<put::memory::Held>>();
        let answers = put::put(&self.0, &metadata, held, stream);
        Ok(Response::new(Box::pin(answers.map_err(|problem| status(&problem))?)))
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Answer<Self::DoExchangeStream> {
        Err(unsupported("DoExchange: lookups come with primary-key tables"))
    }

    async fn do_action(&self, request: Request<Action>) -> Answer<Self::DoActionStream> {
        let answer =
            actions::act(&self.0, &request.into_inner()).await.map_err(|problem| status(&problem))?;
        let answer = arrow_flight::Result { body: answer.to_string().into() };
        Ok(Response::new(Box::pin(stream::iter([Ok(answer)]))))
    }

    async fn list_actions(&self, _: Request<Empty>) -> Answer<Self::ListActionsStream> {
        Ok(Response::new(Box::pin(stream::iter(actions::list().map(Ok)))))
    }
}
