//! Who writes a flush: the leader, or this gateway itself. PURE: time comes in as a number.
//!
//! The leader is whoever wrote the last slot. That is a hint which saves requests: whatever it says, writing is always right, and a
//! wrong hint costs a message or a PUT (rule 14).

use std::collections::BTreeMap;
use std::time::Duration;

use frazil_log::commit::fold::writers::SeenWriter;
use frazil_log::format::commit::WriterInfo;
use frazil_log::id::Incarnation;

/// One that is not folded in so long, or in four times the leader's p99 of a PUT, is written here.
pub const FOLD_TIME_MIN: Duration = Duration::from_secs(1);

/// A leader's word about its own PUTs is believed up to here.
const PUT_P99_MAX: Duration = Duration::from_secs(10);

/// A leader that did not accept is asked again after this, doubled with each time.
const AVOIDED_MIN: Duration = Duration::from_secs(1);

/// The longest that a leader is not asked.
const AVOIDED_MAX: Duration = Duration::from_secs(30);

/// How many leaders that did not accept are remembered.
const AVOIDED_COUNT_MAX: usize = 64;

/// Rows up to so many bytes are handed over themselves; of more, the segments that this gateway uploaded.
///
/// A byte that crosses zones costs 0.02 USD a GB (both ends), a PUT 0.005 USD a thousand: they are even at 250,000 bytes. Within a zone
/// bytes are free, and what limits is that they all pass through the leader's memory and its one connection.
pub const ROWS_BYTES_OTHER_ZONE: u64 = 256 << 10;

/// See [`ROWS_BYTES_OTHER_ZONE`].
pub const ROWS_BYTES_SAME_ZONE: u64 = 2 << 20;

/// Whom to hand a flush over to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// One run of one process.
    pub incarnation: Incarnation,
    /// Where it is reached.
    pub address: String,
    /// Rows up to so many bytes go with the proposals.
    pub rows_bytes_max: u64,
    /// How long it has until the flush must be folded here.
    pub fold_time: Duration,
}

/// What is remembered of leaders that did not accept.
#[derive(Debug)]
pub struct Router {
    own: WriterInfo,
    avoided: BTreeMap<Incarnation, Avoided>,
}

#[derive(Clone, Copy, Debug)]
struct Avoided {
    until: Duration,
    pause: Duration,
}

impl Router {
    /// The router of a gateway that writes as `own`.
    pub fn new(own: WriterInfo) -> Self {
        Self { own, avoided: BTreeMap::new() }
    }

    /// Whom to hand over to at `now`; nobody: write here.
    pub fn leader(&self, last: Option<&SeenWriter>, now: Duration) -> Option<Leader> {
        let SeenWriter { info, .. } = last?;
        let own = info.incarnation == self.own.incarnation || info.address == self.own.address;
        let avoided = self.avoided.get(&info.incarnation).is_some_and(|avoided| now < avoided.until);
        if own || avoided || info.address.is_empty() {
            return None;
        }
        let same_zone = info.zone == self.own.zone;
        Some(Leader {
            incarnation: info.incarnation,
            address: info.address.clone(),
            rows_bytes_max: if same_zone { ROWS_BYTES_SAME_ZONE } else { ROWS_BYTES_OTHER_ZONE },
            fold_time: fold_time(Duration::from_micros(info.put_p99_us)),
        })
    }

    /// A leader took a flush, and it was folded.
    pub fn kept_its_word(&mut self, leader: Incarnation) {
        self.avoided.remove(&leader);
    }

    /// A leader did not accept, or what it accepted was not folded in time.
    pub fn avoid(&mut self, leader: Incarnation, now: Duration) {
        self.avoided.retain(|_, avoided| now < avoided.until + AVOIDED_MAX);
        let pause = match self.avoided.get(&leader) {
            // Flushes that were on their way together fail together: that is one failure.
            Some(avoided) if now < avoided.until => return,
            Some(avoided) => (avoided.pause * 2).min(AVOIDED_MAX),
            None => AVOIDED_MIN,
        };
        if self.avoided.len() < AVOIDED_COUNT_MAX || self.avoided.contains_key(&leader) {
            self.avoided.insert(leader, Avoided { until: now + pause, pause });
        }
    }
}

/// How long what was accepted may take until it is folded here.
pub fn fold_time(put_p99: Duration) -> Duration {
    (put_p99.min(PUT_P99_MAX) * 4).max(FOLD_TIME_MIN)
}

#[cfg(test)]
mod tests {
    use frazil_log::id::Ulid;
    use proptest::prelude::*;

    use super::*;

    fn writer(n: u128, address: &str, zone: &str) -> WriterInfo {
        WriterInfo {
            incarnation: Ulid::from(n),
            version: String::new(),
            address: address.to_owned(),
            zone: zone.to_owned(),
            put_p99_us: 300_000,
        }
    }

    fn seen(info: WriterInfo) -> SeenWriter {
        SeenWriter { info, slot: 7 }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn nobody_hands_over_to_itself_or_to_nobody() {
        let router = Router::new(writer(1, "a:1", ""));
        assert_eq!(router.leader(None, ms(0)), None);
        assert_eq!(router.leader(Some(&seen(writer(1, "elsewhere:1", ""))), ms(0)), None);
        // The run before, at the same address.
        assert_eq!(router.leader(Some(&seen(writer(2, "a:1", ""))), ms(0)), None);
        assert_eq!(router.leader(Some(&seen(writer(2, "", ""))), ms(0)), None);
        let leader = router.leader(Some(&seen(writer(2, "b:1", ""))), ms(0)).unwrap();
        assert_eq!((leader.address.as_str(), leader.fold_time), ("b:1", ms(1_200)));
    }

    #[test]
    fn rows_that_cost_more_to_send_than_to_store_are_stored() {
        let router = Router::new(writer(1, "a:1", "x"));
        let rows = |zone| router.leader(Some(&seen(writer(2, "b:1", zone))), ms(0)).unwrap().rows_bytes_max;
        assert!(rows("x") > rows("y"));
        let (put_usd, byte_usd) = (0.005 / 1e3, 0.02 / 1e9);
        assert!((rows("y") as f64 * byte_usd / put_usd - 1.0).abs() < 0.1);
    }

    #[test]
    fn a_word_about_its_p99_is_believed_within_reason() {
        assert_eq!(fold_time(ms(20)), FOLD_TIME_MIN);
        assert_eq!(fold_time(ms(500)), ms(2_000));
        assert_eq!(fold_time(Duration::from_micros(u64::MAX)), Duration::from_secs(40));
    }

    proptest! {
        #[test]
        fn a_dead_leader_is_asked_ever_less_and_never_forgotten_for_good(failures in prop::collection::vec(0u64..40_000, 1..60)) {
            let mut router = Router::new(writer(1, "a:1", ""));
            let leader = seen(writer(2, "b:1", ""));
            let (mut now, mut asked, mut last) = (0, 0u32, None);
            for gap in failures {
                now += gap;
                if let Some(found) = router.leader(Some(&leader), ms(now)) {
                    asked += 1;
                    if let Some(last) = last {
                        prop_assert!(now - last >= 1_000);
                    }
                    last = Some(now);
                    router.avoid(found.incarnation, ms(now));
                    router.avoid(found.incarnation, ms(now));
                }
            }
            prop_assert!(asked >= 1);
            prop_assert!(router.leader(Some(&leader), ms(now) + AVOIDED_MAX).is_some());
            router.kept_its_word(leader.info.incarnation);
            prop_assert!(router.leader(Some(&leader), ms(now)).is_some());
        }

        #[test]
        fn what_is_remembered_is_bounded(others in prop::collection::vec(any::<u128>(), 0..200)) {
            let mut router = Router::new(writer(1, "a:1", ""));
            for other in others {
                router.avoid(Ulid::from(other), ms(0));
            }
            prop_assert!(router.avoided.len() <= AVOIDED_COUNT_MAX);
        }
    }
}
