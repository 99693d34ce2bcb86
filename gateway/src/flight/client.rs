//! A small Flight client: for measurements and tests, so that they need no Flight library of their own.
//!
//! It puts batches and reads acknowledgements, gets batches with positions, and acts; JSON goes in and comes out as text.

use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, FlightDescriptor, Ticket};
use futures::{Stream, StreamExt, TryStreamExt};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::app::Producer;

/// Messages up to this long are read.
const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// Batches are sent whole up to this long.
const SENT_BYTES_MAX: usize = 1 << 30;

/// Why a call failed: a gRPC status, or no connection.
pub type Result<T> = std::result::Result<T, Status>;

/// What comes of a put: acknowledgements.
pub type Acks = Pin<Box<dyn Stream<Item = Result<String>> + Send>>;

/// What comes of a get: rows, and the metadata beside them.
pub type Rows = Pin<Box<dyn Stream<Item = Result<(RecordBatch, String)>> + Send>>;

/// A connection.
#[derive(Clone, Debug)]
pub struct Client {
    inner: FlightServiceClient<Channel>,
    authorization: Option<MetadataValue<Ascii>>,
}

impl Client {
    /// Connects to `http://host:port`.
    pub async fn connect(url: &str, token: Option<&str>) -> Result<Self> {
        let failed = |error: tonic::transport::Error| Status::unavailable(error.to_string());
        let channel =
            Endpoint::from_shared(url.to_owned()).map_err(failed)?.connect().await.map_err(failed)?;
        let authorization = token.map(|token| MetadataValue::try_from(format!("Bearer {token}")));
        let authorization = authorization.transpose().map_err(|_| Status::invalid_argument("the token"))?;
        let inner = FlightServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { inner, authorization })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(value) = &self.authorization {
            request.metadata_mut().insert("authorization", value.clone());
        }
        request
    }

    /// Sends batches, each a request of its own, and answers with the acknowledgements.
    ///
    /// `command` is the descriptor's JSON: `{"table":"db.t"}`.
    pub async fn put(
        &mut self,
        command: &str,
        producer: Option<&Producer>,
        schema: Arc<Schema>,
        batches: impl Stream<Item = RecordBatch> + Send + 'static,
    ) -> Result<Acks> {
        let messages = FlightDataEncoderBuilder::new()
            .with_schema(schema)
            .with_max_flight_data_size(SENT_BYTES_MAX)
            .with_options(IpcWriteOptions::default())
            .with_flight_descriptor(Some(FlightDescriptor::new_cmd(command.to_owned())))
            .build(batches.map(Ok::<_, FlightError>));
        // What cannot be encoded ends the stream: its acknowledgement then lacks those rows.
        let messages = messages.take_while(|message| std::future::ready(message.is_ok()));
        let mut request = self.request(messages.filter_map(|message| std::future::ready(message.ok())));
        if let Some(Producer { id, epoch, seq }) = producer {
            let number = |n: &u64| MetadataValue::from(*n);
            let id =
                MetadataValue::try_from(id.as_str()).map_err(|_| Status::invalid_argument("Producer-Id"))?;
            request.metadata_mut().insert("producer-id", id);
            request.metadata_mut().insert("producer-epoch", number(epoch));
            request.metadata_mut().insert("producer-seq", number(seq));
        }
        let acks = self.inner.do_put(request).await?.into_inner();
        Ok(Box::pin(acks.map_ok(|ack| String::from_utf8_lossy(&ack.app_metadata).into_owned())))
    }

    /// Reads rows by a ticket's JSON.
    pub async fn get(&mut self, ticket: &str) -> Result<Rows> {
        let request = self.request(Ticket::new(ticket.to_owned()));
        let messages = self.inner.do_get(request).await?.into_inner();
        let messages =
            FlightDataDecoder::new(messages.map_err(|status| FlightError::Tonic(Box::new(status))));
        let rows = messages.map_err(Status::from).try_filter_map(|data| async move {
            let metadata = data.app_metadata();
            let metadata = String::from_utf8_lossy(&metadata).into_owned();
            Ok(match data.payload {
                DecodedPayload::RecordBatch(batch) => Some((batch, metadata)),
                DecodedPayload::Schema(_) | DecodedPayload::None => None,
            })
        });
        Ok(Box::pin(rows))
    }

    /// Does an action.
    pub async fn act(&mut self, action: &str, body: &str) -> Result<String> {
        let request = self.request(Action::new(action.to_owned(), body.to_owned()));
        let mut answers = self.inner.do_action(request).await?.into_inner();
        let answer = answers.message().await?.ok_or_else(|| Status::internal("an action without answer"))?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }
}
