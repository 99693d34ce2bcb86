//! What the store's HTTP answers say beyond what `object_store` passes on: the status of a failed request, and `Date`.
//!
//! Why: `object_store` turns both 409 and 412 of a conditional PUT into `AlreadyExists`, but 409 means "try again" and 412
//! "read it, maybe it is ours"; its error type for statuses cannot be named outside the crate. And rules 10 and 13 want
//! the store's clock. So the HTTP connector is wrapped: a request that carries an [`Answer`] in its extensions gets the
//! status written there, and its `Date` is kept as the newest.

use std::sync::Arc;

use chrono::DateTime;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{ClientOptions, Extensions};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::id::TimeMicros;

/// The store's clock as one answer showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreDate {
    /// The answer's `Date`, in microseconds since 1970; its resolution is one second, cut off.
    pub date: TimeMicros,
    /// When the answer's head arrived here.
    pub received: Instant,
}

/// The newest `Date` seen, shared by a store and its connector.
#[derive(Clone, Debug, Default)]
pub(super) struct Dates(Arc<Mutex<Option<StoreDate>>>);

impl Dates {
    pub(super) fn latest(&self) -> Option<StoreDate> {
        *self.0.lock()
    }

    fn saw(&self, date: TimeMicros) {
        *self.0.lock() = Some(StoreDate { date, received: Instant::now() });
    }
}

/// The status of the last answer to one request; None where there was no answer, or no HTTP.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer(Arc<Mutex<Option<u16>>>);

impl Answer {
    pub(super) fn status(&self) -> Option<u16> {
        *self.0.lock()
    }

    /// The extensions that carry this cell to the connector.
    pub(super) fn extensions(&self) -> Extensions {
        let mut extensions = Extensions::new();
        extensions.insert(self.clone());
        extensions
    }
}

/// The stock connector, watched.
#[derive(Debug)]
pub(super) struct WatchedConnector {
    dates: Dates,
}

impl WatchedConnector {
    pub(super) fn new(dates: Dates) -> Self {
        Self { dates }
    }
}

impl HttpConnector for WatchedConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(WatchedClient { client, dates: self.dates.clone() }))
    }
}

#[derive(Debug)]
struct WatchedClient {
    client: HttpClient,
    dates: Dates,
}

#[async_trait::async_trait]
impl HttpService for WatchedClient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // Requests for credentials go to other hosts, and carry no cell: their clock is not the store's.
        let cell = request.extensions().get::<Answer>().cloned();
        let answer = self.client.execute(request).await;
        if let (Some(Answer(status)), Ok(answer)) = (cell, &answer) {
            *status.lock() = Some(answer.status().as_u16());
            let date = answer.headers().get("date").and_then(|date| date.to_str().ok()).and_then(parse_date);
            if let Some(date) = date {
                self.dates.saw(date);
            }
        }
        answer
    }
}

fn parse_date(text: &str) -> Option<TimeMicros> {
    DateTime::parse_from_rfc2822(text).ok().map(|date| date.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::parse_date;

    #[test]
    fn an_http_date_is_read_and_nonsense_is_not() {
        assert_eq!(parse_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000_000));
        assert_eq!(parse_date("yesterday"), None);
        assert_eq!(parse_date(""), None);
    }
}
