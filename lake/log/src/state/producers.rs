//! Idempotent producers: one sequence of requests each, per database (rules 3 and 4).
//!
//! Invariants: the fold takes only `next`; the last verdicts are kept, refusals too; an unknown producer may only begin; who
//! was idle for long is forgotten by log time, never by a local clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::verdict::{Fate, Refusal, Verdict};
use crate::error::Result;
use crate::format::commit::{ProducerStamp, decode_producer_id};
use crate::format::wire::{Reader, Writer};
use crate::id::TimeMicros;
use crate::planted::Bug;
use crate::protocol::FoldRules;

/// All known producers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    by_id: BTreeMap<String, Producer>,
    by_time: BTreeSet<(TimeMicros, String)>,
}

/// One producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Its epoch.
    pub epoch: u64,
    /// The sequence that the fold takes next.
    pub next: u64,
    /// The commit time of its last request.
    pub last_time: TimeMicros,
    recent: VecDeque<Remembered>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Remembered {
    seq: u64,
    request_hash: u128,
    verdict: Verdict,
}

/// What the door says to a request of a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is the next one.
    Take,
    /// It has a fate already, or can have none yet.
    Answer(Fate),
}

impl Producer {
    /// The sequences whose verdicts are remembered, each with its request hash and verdict, ascending.
    pub fn recent(&self) -> impl Iterator<Item = (u64, u128, &Verdict)> {
        self.recent.iter().map(|remembered| (remembered.seq, remembered.request_hash, &remembered.verdict))
    }
}

impl Producers {
    /// A producer by its id.
    pub fn get(&self, id: &str) -> Option<&Producer> {
        self.by_id.get(id)
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Each producer with its id, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Producer)> {
        self.by_id.iter().map(|(id, producer)| (id.as_str(), producer))
    }

    /// Judges a request by its stamp alone. Pure: the ingress asks the same question at the door.
    pub fn admit(&self, stamp: &ProducerStamp, request_hash: u128, rules: &FoldRules) -> Admission {
        let refuse = |refusal| {
            Admission::Answer(Fate::Decided { verdict: Verdict::Refused(refusal), duplicate: false })
        };
        let gap_checked = !rules.planted.has(Bug::NoGapCheck);
        let Some(producer) = self.by_id.get(&stamp.id) else {
            if stamp.seq == 0 || !gap_checked {
                return Admission::Take;
            }
            return refuse(Refusal::UnknownProducer);
        };
        if stamp.epoch < producer.epoch {
            return refuse(Refusal::Fenced { epoch: producer.epoch });
        }
        let next = if stamp.epoch > producer.epoch { 0 } else { producer.next };
        if stamp.seq >= next {
            if stamp.seq == next || !gap_checked {
                return Admission::Take;
            }
            return Admission::Answer(Fate::Gap { expected: next });
        }
        match producer.recent.iter().find(|remembered| remembered.seq == stamp.seq) {
            None => Admission::Answer(Fate::Forgotten),
            Some(remembered) if remembered.request_hash != request_hash => refuse(Refusal::SequenceConflict),
            Some(remembered) => {
                Admission::Answer(Fate::Decided { verdict: remembered.verdict.clone(), duplicate: true })
            }
        }
    }

    /// Notes the verdict of a request that was [taken](Admission::Take).
    pub(super) fn note(
        &mut self,
        stamp: &ProducerStamp,
        request_hash: u128,
        verdict: &Verdict,
        time: TimeMicros,
        rules: &FoldRules,
    ) {
        let keeps = matches!(verdict, Verdict::Refused(refusal) if refusal.is_of_copy()
            || rules.planted.has(Bug::RefusalKeepsSequence));
        if keeps {
            return;
        }
        let fresh = Producer { epoch: stamp.epoch, next: 0, last_time: time, recent: VecDeque::new() };
        let producer = self.by_id.entry(stamp.id.clone()).or_insert_with(|| fresh.clone());
        self.by_time.remove(&(producer.last_time, stamp.id.clone()));
        if stamp.epoch > producer.epoch {
            *producer = fresh;
        }
        producer.next = stamp.seq.saturating_add(1);
        producer.last_time = time;
        producer.recent.push_back(Remembered { seq: stamp.seq, request_hash, verdict: verdict.clone() });
        while producer.recent.len() > rules.producer_verdicts_max {
            producer.recent.pop_front();
        }
        self.by_time.insert((time, stamp.id.clone()));
    }

    /// The feature bits that a reader of the remembered verdicts must know.
    pub(super) fn features(&self) -> u64 {
        let verdicts = self.by_id.values().flat_map(|producer| &producer.recent);
        verdicts.fold(0, |bits, remembered| bits | remembered.verdict.features())
    }

    pub(super) fn forget_idle(&mut self, now: TimeMicros, rules: &FoldRules) {
        let idle = i64::try_from(rules.producer_idle_max.as_micros()).unwrap_or(i64::MAX);
        while let Some((time, id)) = self.by_time.first().cloned()
            && time.saturating_add(idle) < now
        {
            self.by_time.pop_first();
            self.by_id.remove(&id);
        }
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        w.count(self.by_id.len());
        for (id, producer) in &self.by_id {
            w.text(id);
            w.varint(producer.epoch);
            w.varint(producer.next);
            w.zigzag(producer.last_time);
            w.count(producer.recent.len());
            for remembered in &producer.recent {
                w.varint(remembered.seq);
                w.u128(remembered.request_hash);
                remembered.verdict.encode(w);
            }
        }
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self> {
        let mut producers = Self::default();
        for _ in 0..r.count(5)? {
            let here = r.clone();
            let id = decode_producer_id(r)?;
            if producers.by_id.last_key_value().is_some_and(|(last, _)| *last >= id) {
                return Err(here.corrupt("producers ascending, each once", format!("{id:?}")));
            }
            let (epoch, next, last_time) = (r.varint()?, r.varint()?, r.zigzag()?);
            let recent: Vec<Remembered> = r.sequence(18, |r| {
                Ok(Remembered { seq: r.varint()?, request_hash: r.u128()?, verdict: Verdict::decode(r)? })
            })?;
            let ascend = recent.is_sorted_by(|a, b| a.seq < b.seq);
            if !ascend || recent.last().is_some_and(|last| last.seq >= next) {
                return Err(here.corrupt(&format!("verdicts of sequences below {next}, ascending"), "others"));
            }
            producers.by_time.insert((last_time, id.clone()));
            producers.by_id.insert(id, Producer { epoch, next, last_time, recent: recent.into() });
        }
        Ok(producers)
    }
}
