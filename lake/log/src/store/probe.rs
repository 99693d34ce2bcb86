//! The start-up probe: refuses a store that would lose rows, names the permission that is missing, compares clocks.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use object_store::path::Path;
use tokio::time::Instant;

use super::failure::Action;
use super::{CreateOutcome, PutPayload, Store, paths};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::id::{TimeMicros, Ulid};

/// How long a probe may take unless told otherwise.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// How many PUTs of one key are sent at once.
const RACERS: u32 = 8;

const REMEDY: &str = "Frazil needs a PUT with If-None-Match: * that fails with 412 once the key is there, and would lose \
                      rows without it: use a store, or a version of this one, that honours it";

/// What a probe that found nothing wrong measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeReport {
    /// How far the own clock is from the store's; None if the store shows no time of writing.
    pub skew: Option<Skew>,
    /// The time of one PUT of a few bytes.
    pub put: Duration,
    /// The time of one GET of a few bytes.
    pub get: Duration,
    /// The time of one LIST of two keys.
    pub list: Duration,
}

/// How far the own clock is ahead of the store's (or behind, if negative).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    /// In milliseconds; 0 if no difference can be told.
    pub ms: i64,
}

/// What a skew allows (rule 13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockVerdict {
    /// Less than 5 s.
    Good,
    /// From 5 s on: goes on, with a warning.
    Warn,
    /// From 60 s on: does not write.
    StopWriting,
}

impl Skew {
    /// What it allows.
    pub fn verdict(self) -> ClockVerdict {
        match self.ms.unsigned_abs() {
            0..5_000 => ClockVerdict::Good,
            5_000..60_000 => ClockVerdict::Warn,
            _ => ClockVerdict::StopWriting,
        }
    }
}

/// Compares clocks: `store` is what the store says of a moment, cut to the second (Last-Modified, `Date`); `own` is what
/// the own wall clock said before and after it. The skew is the least that explains both.
pub fn skew(store: TimeMicros, own: RangeInclusive<TimeMicros>) -> Skew {
    const CUT_MICROS: TimeMicros = 999_999;
    let ahead = own.start().saturating_sub(store.saturating_add(CUT_MICROS)).max(0);
    let behind = store.saturating_sub(*own.end()).max(0);
    Skew { ms: (ahead - behind) / 1_000 }
}

impl Store {
    /// Shows that the store has what Frazil stands on: create-if-absent, one after the other and raced; reads and lists
    /// that see what was written; 404 for what is absent; deletes. Writes two keys named after `ulid` and removes them.
    ///
    /// `wall` is the own wall clock, in microseconds since 1970. All of it takes at most `timeout`.
    ///
    /// # Errors
    /// `Unsupported` says what the store did wrong; `Denied` names the permission that is missing (the bucket, if that
    /// is); `Invalid` is a wrong region; `Unavailable` is a store that did not answer.
    pub async fn probe(
        &self,
        ulid: Ulid,
        wall: &(dyn Fn() -> TimeMicros + Send + Sync),
        timeout: Duration,
    ) -> Result<ProbeReport> {
        let name = |n: u128| paths::probe(Ulid::from(u128::from(ulid).wrapping_add(n)));
        let probe = Probe { store: self, first: name(0), raced: name(1), absent: name(2), wall };
        // A fifth is kept for the removal, which is tried whatever was found.
        let (for_removal, for_steps) = (timeout / 5, timeout - timeout / 5);
        let found = tokio::time::timeout(for_steps, probe.run()).await.unwrap_or_else(|_elapsed| {
            let message = format!("the store did not get through the probe within {for_steps:?}");
            Err(Error::new(ErrorKind::Unavailable, message))
        });
        let keys = [probe.first.clone(), probe.raced.clone()];
        let removed =
            tokio::time::timeout(for_removal, self.delete_many(&keys)).await.unwrap_or_else(|_elapsed| {
                Err(Error::new(ErrorKind::Unavailable, "the store did not remove the probe's keys in time"))
            });
        let report = found.and_then(|report| removed.map(|()| report));
        report.context(|| format!("probe of {}", self.description()))
    }
}

struct Probe<'a> {
    store: &'a Store,
    first: Path,
    raced: Path,
    absent: Path,
    wall: &'a (dyn Fn() -> TimeMicros + Send + Sync),
}

impl Probe<'_> {
    async fn run(&self) -> Result<ProbeReport> {
        let (skew, put, get) = self.sequentially().await?;
        self.raced().await?;
        self.absent().await?;
        let list = self.listed().await?;
        Ok(ProbeReport { skew, put, get, list })
    }

    /// The same key twice, one after the other.
    async fn sequentially(&self) -> Result<(Option<Skew>, Duration, Duration)> {
        let (before, start) = ((self.wall)(), Instant::now());
        match self.put(&self.first, b"first").await? {
            Put::Won => {}
            Put::Lost => {
                return Err(wrong("a PUT If-None-Match: * of a new key was refused as if the key existed"));
            }
            Put::Unclear(error) => return Err(error),
        }
        let (put, after) = (start.elapsed(), (self.wall)());

        let second = self.put(&self.first, b"second").await?;
        let start = Instant::now();
        let (bytes, written) = self.get(&self.first).await?;
        let get = start.elapsed();
        let bytes_now = if bytes == "first" { "kept" } else { "replaced" };
        match second {
            Put::Lost if bytes == "first" => {}
            Put::Lost => {
                return Err(wrong(
                    "the second PUT If-None-Match: * of the same key was refused and yet replaced the bytes",
                ));
            }
            Put::Won => {
                let what = format!(
                    "the second PUT If-None-Match: * of the same key answered 200 and {bytes_now} the bytes"
                );
                return Err(wrong(&what));
            }
            Put::Unclear(error) => return Err(error),
        }
        // An answer without Last-Modified reads as 1970.
        let skew = (written > 0).then(|| skew(written, before..=after));
        Ok((skew, put, get))
    }

    /// One key by several at once: exactly one may win, and its bytes stay.
    async fn raced(&self) -> Result<()> {
        let names: Vec<_> = (0..RACERS).map(|n| format!("racer {n}")).collect();
        let puts = join_all(names.iter().map(|name| self.put(&self.raced, name.as_bytes()))).await;
        let (mut winners, mut unclear) = (Vec::new(), Vec::new());
        for (name, put) in names.iter().zip(puts) {
            match put? {
                Put::Won => winners.push(name),
                Put::Lost => {}
                Put::Unclear(error) => unclear.push((name, error)),
            }
        }
        if winners.len() > 1 {
            let count = winners.len();
            let what = format!("of {RACERS} PUTs If-None-Match: * of one key at once, {count} answered 200");
            return Err(wrong(&what));
        }
        if winners.is_empty() && unclear.is_empty() {
            return Err(wrong(&format!(
                "of {RACERS} PUTs If-None-Match: * of one new key at once, none answered 200"
            )));
        }
        let (bytes, _) = match self.get(&self.raced).await {
            Err(error) => return Err(unclear.pop().map_or(error, |(_, error)| error)),
            Ok(found) => found,
        };
        // A PUT without an answer may be the winner, but only if nobody was told that he is.
        let known = winners
            .first()
            .map_or_else(|| unclear.iter().any(|(name, _)| bytes == **name), |name| bytes == **name);
        if known {
            Ok(())
        } else {
            Err(wrong("after a race of PUTs If-None-Match: * the key holds bytes of a loser"))
        }
    }

    async fn absent(&self) -> Result<()> {
        match self.store.get_prefix(&self.absent, 1).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(wrong("a GET of a key that was never written found something")),
            Err(error) if error.kind() == ErrorKind::Denied => Err(error.context(format!(
                "a GET of an absent key must answer 404, for which S3 wants {} besides {}",
                Action::List.permission(),
                Action::Get.permission()
            ))),
            Err(error) => Err(error),
        }
    }

    async fn listed(&self) -> Result<Duration> {
        let start = Instant::now();
        let mut listed = self.store.list(&paths::probe_prefix(), None, usize::MAX).await?;
        listed.retain(|object| object.path == self.first || object.path == self.raced);
        if listed.len() == 2 {
            Ok(start.elapsed())
        } else {
            Err(wrong("a LIST did not show keys just written"))
        }
    }

    async fn put(&self, path: &Path, bytes: &[u8]) -> Result<Put> {
        let payload = PutPayload::from_bytes(Bytes::copy_from_slice(bytes));
        match self.store.create_if_absent(path, payload).await {
            CreateOutcome::Committed => Ok(Put::Won),
            CreateOutcome::Lost => Ok(Put::Lost),
            CreateOutcome::Unknown(error) => Ok(Put::Unclear(error)),
            CreateOutcome::Denied(error) if error.kind() == ErrorKind::Unsupported => {
                Err(wrong(&format!("a PUT If-None-Match: * is not supported ({})", error.message()))
                    .with_source(error))
            }
            CreateOutcome::Denied(error) => Err(error),
        }
    }

    async fn get(&self, path: &Path) -> Result<(Bytes, TimeMicros)> {
        match self.store.get(path).await? {
            Some(object) => Ok((object.bytes, object.last_modified)),
            None => Err(wrong("a GET did not find a key that was just written")),
        }
    }
}

enum Put {
    Won,
    Lost,
    Unclear(Error),
}

fn wrong(what: &str) -> Error {
    Error::unsupported(format!("{what}; {REMEDY}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::{ClockVerdict, Skew, skew};

    const SECOND: i64 = 1_000_000;

    proptest! {
        #[test]
        fn equal_clocks_never_seem_skewed_although_the_store_cuts_to_seconds(
            at in 0..i64::from(u32::MAX) * SECOND, before in 0..3 * SECOND, after in 0..3 * SECOND
        ) {
            let cut = at - at % SECOND;
            prop_assert_eq!(skew(cut, at - before..=at + after), Skew { ms: 0 });
        }

        #[test]
        fn a_skew_is_told_to_within_a_second_and_the_requests_time(
            at in 1_000 * SECOND..i64::from(u32::MAX) * SECOND, ms in -100_000..100_000i64, took in 0..SECOND
        ) {
            let cut = at - at % SECOND;
            let own = at + ms * 1_000;
            let told = skew(cut, own..=own + took).ms;
            prop_assert!((told - ms).abs() <= 2_000);
            prop_assert!(told.abs() <= ms.abs());
        }
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        assert!(skew(i64::MIN, i64::MAX..=i64::MAX).ms > 0);
        assert!(skew(i64::MAX, i64::MIN..=i64::MIN).ms < 0);
    }

    #[test]
    fn five_seconds_warn_and_sixty_stop() {
        for (ms, verdict) in [
            (0, ClockVerdict::Good),
            (4_999, ClockVerdict::Good),
            (-5_000, ClockVerdict::Warn),
            (59_999, ClockVerdict::Warn),
            (60_000, ClockVerdict::StopWriting),
            (i64::MIN, ClockVerdict::StopWriting),
        ] {
            assert_eq!(Skew { ms }.verdict(), verdict, "{ms} ms");
        }
    }
}
