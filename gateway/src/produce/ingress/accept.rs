//! Taking flushes that other gateways hand over: they are written here, with the own ones, under the one budget.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use frazil_log::commit::committer::Parcel;
use frazil_log::error::ErrorKind;

use super::{Ingress, Queued, Ready};
use crate::peers::message::{ProposeAnswer, Taken};

impl Ingress {
    /// Takes a parcel, or says why not. Taken means that it waits for a slot; nothing is promised.
    pub fn accept(&self, parcel: &Bytes) -> ProposeAnswer {
        let answer = self.try_accept(parcel);
        self.inner.metrics.handed_in(answer.taken());
        answer
    }

    fn try_accept(&self, parcel: &Bytes) -> ProposeAnswer {
        let inner = &self.inner;
        if self.is_draining() {
            return ProposeAnswer::new(Taken::Draining, "draining: this gateway is going down");
        }
        if let Some(why) = inner.health.read_only() {
            return ProposeAnswer::new(Taken::ReadOnly, why);
        }
        let log_uuid = inner.replica.fold().state.identity().uuid;
        let parcel_bytes = parcel.len();
        let flush = match Parcel::open(parcel, log_uuid) {
            Ok(parcel) => parcel.flush,
            Err(error) => {
                tracing::warn!(%error, "a gateway handed over what cannot be taken");
                let other_log = error.kind() == ErrorKind::Invalid;
                let taken = if other_log { Taken::NoSuchDatabase } else { Taken::Invalid };
                return ProposeAnswer::new(taken, error.to_string());
            }
        };
        let Some(memory) = inner.options.buffer.try_take(parcel_bytes) else {
            return ProposeAnswer::new(Taken::Overloaded, "this gateway's buffer is full");
        };
        let ready = Ready { flush, _memory: Some(memory) };
        let in_flight = inner.in_flight.load(Ordering::SeqCst);
        let upcoming = {
            let mut accumulator = inner.accumulator.lock();
            accumulator.push(Queued::Ready(ready), parcel_bytes as u64);
            accumulator.upcoming(self.clock(), in_flight, inner.committer.flights_free())
        };
        inner.wake.notify_one();
        ProposeAnswer::accepted(upcoming)
    }
}
