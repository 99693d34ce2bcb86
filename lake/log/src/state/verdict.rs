//! Verdicts: the one answer that the fold gives to each proposal.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::Result;
use crate::format::entry;
use crate::format::envelope::{FEATURE_AMENDMENTS, FEATURE_GROUPS};
use crate::format::positions::{decode_known, encode_known};
use crate::format::wire::{Reader, Writer};
use crate::id::{Bucket, Name, Offset, SchemaId, Slot, TableId};

/// What became of a proposal in a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Decided, here or when an earlier copy or an earlier request of the same sequence was.
    Decided {
        /// The answer.
        verdict: Verdict,
        /// Whether an earlier request of the same producer and sequence got it first.
        duplicate: bool,
    },
    /// A duplicate so old that its verdict is forgotten: nothing was done now, and the offsets are not known any more.
    Forgotten,
    /// Not decided: the producer's sequence must first reach `expected` (rule 3).
    Gap {
        /// The sequence that the log would take.
        expected: u64,
    },
}

/// The fold's one answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Taken whole.
    Accepted(Acceptance),
    /// Not taken; nothing was changed but the producer's sequence.
    Refused(Refusal),
}

/// What a taken proposal did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Acceptance {
    /// The slot that decided.
    pub slot: Slot,
    /// The rows appended, by table and bucket, in the order of the entries.
    pub appended: Vec<Appended>,
}

/// Offsets given to rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Appended {
    /// The table.
    pub table: TableId,
    /// The bucket.
    pub bucket: Bucket,
    /// The first row's offset.
    pub start: Offset,
    /// The offset after the last row's.
    pub end: Offset,
}

/// Why a proposal was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Refusal {
    /// This copy came too late (rule 1); it says nothing of the request.
    Expired,
    /// A higher epoch of the producer is known.
    Fenced {
        /// The known one.
        epoch: u64,
    },
    /// The sequence was used for another request.
    SequenceConflict,
    /// An unknown producer may only begin (rule 4).
    UnknownProducer,
    /// The bucket's next offset is another.
    ExpectedOffset {
        /// The table.
        table: TableId,
        /// The bucket.
        bucket: Bucket,
        /// What was asked.
        expected: Offset,
        /// What is.
        actual: Offset,
    },
    /// No live table has this id.
    NoSuchTable {
        /// The id.
        table: TableId,
    },
    /// The table has fewer buckets.
    NoSuchBucket {
        /// The table.
        table: TableId,
        /// The bucket asked for.
        bucket: Bucket,
    },
    /// A live table has this name.
    TableExists {
        /// That table.
        table: TableId,
    },
    /// The id is not the next one: somebody else created a table first. It is about this copy only.
    TableIdTaken {
        /// The next one.
        next: TableId,
    },
    /// The rows were written in another schema.
    SchemaChanged {
        /// The table.
        table: TableId,
        /// Its schema now.
        current: SchemaId,
    },
    /// The database has tables.
    NotEmpty {
        /// How many.
        tables: u64,
    },
    /// The database is dropped.
    DatabaseDropped,
    /// The database is there.
    DatabaseExists,
    /// The bucket is rolled up to another offset.
    RollUpStale {
        /// Where to.
        rolled: Offset,
    },
    /// The table was altered meanwhile.
    TableVersion {
        /// The table.
        table: TableId,
        /// How many times it was altered.
        current: u64,
    },
    /// The table is not dropped, or was dropped again.
    NotDropped {
        /// The table.
        table: TableId,
    },
    /// The bucket is kept from another offset on.
    ExpiryStale {
        /// From where.
        earliest: Offset,
    },
    /// The entries contradict themselves or the header; the number says where in the fold (for bug reports).
    Invalid {
        /// Which check.
        check: u16,
    },
    /// The group stands elsewhere in a table.
    ExpectedPosition {
        /// The group.
        group: Name,
        /// The table.
        table: TableId,
        /// What is stored of the buckets that were expected, or of the table where nothing was: at most 64.
        actual: BTreeMap<Bucket, Option<Offset>>,
    },
    /// The group is not the one that was meant. It is about this copy only: the gateway looked the generation up.
    GroupGeneration {
        /// The group.
        group: Name,
        /// Its generation now; 0: there is no such group.
        actual: u64,
    },
    /// A position is beyond the bucket's next offset.
    PositionBeyondTail {
        /// The table.
        table: TableId,
        /// The bucket.
        bucket: Bucket,
        /// What was to be stored.
        offset: Offset,
        /// The bucket's next offset.
        latest: Offset,
    },
    /// The groups would hold too much.
    GroupsFull {
        /// Of what.
        limit: GroupLimit,
        /// How much they may.
        max: u64,
    },
}

/// A bound of [`crate::protocol::GroupLimits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupLimit {
    /// Groups of the database.
    Groups = 1,
    /// Tables of the group.
    Tables = 2,
    /// Offsets of all groups.
    Offsets = 3,
}

impl Refusal {
    /// Whether it is about this copy of the request only: the same request may come again under a new name, and its
    /// sequence is not used up (rule 3).
    pub fn is_of_copy(&self) -> bool {
        matches!(
            self,
            Self::Expired
                | Self::TableIdTaken { .. }
                | Self::TableExists { .. }
                | Self::GroupGeneration { .. }
        )
    }

    fn features(&self) -> u64 {
        match self {
            Self::ExpectedPosition { .. }
            | Self::GroupGeneration { .. }
            | Self::PositionBeyondTail { .. }
            | Self::GroupsFull { .. } => FEATURE_GROUPS,
            Self::TableVersion { .. } | Self::NotDropped { .. } | Self::ExpiryStale { .. } => {
                FEATURE_AMENDMENTS
            }
            _ => 0,
        }
    }
}

impl Fate {
    /// The feature bits that a reader of it must know.
    pub(super) fn features(&self) -> u64 {
        match self {
            Self::Decided { verdict, .. } => verdict.features(),
            Self::Forgotten | Self::Gap { .. } => 0,
        }
    }

    pub(crate) fn encode(&self, w: &mut Writer) {
        match self {
            Self::Decided { verdict, duplicate } => {
                w.u8(1);
                w.flag(*duplicate);
                verdict.encode(w);
            }
            Self::Forgotten => w.u8(2),
            Self::Gap { expected } => {
                w.u8(3);
                w.varint(*expected);
            }
        }
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self> {
        let (here, tag) = r.tag()?;
        Ok(match tag {
            1 => {
                let duplicate = r.flag()?;
                Self::Decided { verdict: Verdict::decode(r)?, duplicate }
            }
            2 => Self::Forgotten,
            3 => Self::Gap { expected: r.varint()? },
            other => return Err(here.unknown("fate", other)),
        })
    }
}

impl Verdict {
    pub(super) fn features(&self) -> u64 {
        match self {
            Self::Accepted(_) => 0,
            Self::Refused(refusal) => refusal.features(),
        }
    }

    pub(crate) fn encode(&self, w: &mut Writer) {
        match self {
            Self::Accepted(acceptance) => {
                w.u8(1);
                w.varint(acceptance.slot);
                w.count(acceptance.appended.len());
                for appended in &acceptance.appended {
                    w.varint(appended.table.0);
                    w.varint(u64::from(appended.bucket.0));
                    w.varint(appended.start);
                    w.varint(appended.end - appended.start);
                }
            }
            Self::Refused(refusal) => {
                w.u8(2);
                refusal.encode(w);
            }
        }
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self> {
        let (here, tag) = r.tag()?;
        Ok(match tag {
            1 => Self::Accepted(Acceptance {
                slot: r.varint()?,
                appended: r.sequence(4, |r| {
                    let (table, bucket) = (TableId(r.varint()?), Bucket(r.number()?));
                    let (start, rows) = (r.varint()?, r.varint()?);
                    let end = start.checked_add(rows).ok_or_else(|| r.corrupt("offsets below 2^64", rows))?;
                    Ok(Appended { table, bucket, start, end })
                })?,
            }),
            2 => Self::Refused(Refusal::decode(r)?),
            other => return Err(here.unknown("verdict", other)),
        })
    }
}

impl Refusal {
    fn encode(&self, w: &mut Writer) {
        let (tag, numbers): (u8, Vec<u64>) = match self {
            Self::Expired => (1, vec![]),
            Self::Fenced { epoch } => (2, vec![*epoch]),
            Self::SequenceConflict => (3, vec![]),
            Self::UnknownProducer => (4, vec![]),
            Self::ExpectedOffset { table, bucket, expected, actual } => {
                (5, vec![table.0, u64::from(bucket.0), *expected, *actual])
            }
            Self::NoSuchTable { table } => (6, vec![table.0]),
            Self::NoSuchBucket { table, bucket } => (7, vec![table.0, u64::from(bucket.0)]),
            Self::TableExists { table } => (8, vec![table.0]),
            Self::TableIdTaken { next } => (9, vec![next.0]),
            Self::SchemaChanged { table, current } => (10, vec![table.0, u64::from(*current)]),
            Self::NotEmpty { tables } => (11, vec![*tables]),
            Self::DatabaseDropped => (12, vec![]),
            Self::DatabaseExists => (13, vec![]),
            Self::RollUpStale { rolled } => (14, vec![*rolled]),
            Self::Invalid { check } => (15, vec![u64::from(*check)]),
            Self::TableVersion { table, current } => (16, vec![table.0, *current]),
            Self::NotDropped { table } => (17, vec![table.0]),
            Self::ExpiryStale { earliest } => (18, vec![*earliest]),
            Self::ExpectedPosition { group, table, actual } => {
                w.u8(20);
                w.text(group.as_str());
                w.varint(table.0);
                return encode_known(actual, w);
            }
            Self::GroupGeneration { group, actual } => {
                w.u8(21);
                w.text(group.as_str());
                return w.varint(*actual);
            }
            Self::PositionBeyondTail { table, bucket, offset, latest } => {
                (22, vec![table.0, u64::from(bucket.0), *offset, *latest])
            }
            Self::GroupsFull { limit, max } => (23, vec![*limit as u64, *max]),
        };
        w.u8(tag);
        numbers.into_iter().for_each(|number| w.varint(number));
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self> {
        let (here, tag) = r.tag()?;
        Ok(match tag {
            1 => Self::Expired,
            2 => Self::Fenced { epoch: r.varint()? },
            3 => Self::SequenceConflict,
            4 => Self::UnknownProducer,
            5 => Self::ExpectedOffset {
                table: TableId(r.varint()?),
                bucket: Bucket(r.number()?),
                expected: r.varint()?,
                actual: r.varint()?,
            },
            6 => Self::NoSuchTable { table: TableId(r.varint()?) },
            7 => Self::NoSuchBucket { table: TableId(r.varint()?), bucket: Bucket(r.number()?) },
            8 => Self::TableExists { table: TableId(r.varint()?) },
            9 => Self::TableIdTaken { next: TableId(r.varint()?) },
            10 => Self::SchemaChanged { table: TableId(r.varint()?), current: r.number()? },
            11 => Self::NotEmpty { tables: r.varint()? },
            12 => Self::DatabaseDropped,
            13 => Self::DatabaseExists,
            14 => Self::RollUpStale { rolled: r.varint()? },
            15 => Self::Invalid { check: r.number()? },
            16 => Self::TableVersion { table: TableId(r.varint()?), current: r.varint()? },
            17 => Self::NotDropped { table: TableId(r.varint()?) },
            18 => Self::ExpiryStale { earliest: r.varint()? },
            20 => Self::ExpectedPosition {
                group: entry::name(r)?,
                table: TableId(r.varint()?),
                actual: decode_known(r)?,
            },
            21 => Self::GroupGeneration { group: entry::name(r)?, actual: r.varint()? },
            22 => Self::PositionBeyondTail {
                table: TableId(r.varint()?),
                bucket: Bucket(r.number()?),
                offset: r.varint()?,
                latest: r.varint()?,
            },
            23 => Self::GroupsFull { limit: GroupLimit::decode(r)?, max: r.varint()? },
            other => return Err(here.unknown("refusal", other)),
        })
    }
}

impl GroupLimit {
    fn decode(r: &mut Reader<'_>) -> Result<Self> {
        let here = r.clone();
        Ok(match r.varint()? {
            1 => Self::Groups,
            2 => Self::Tables,
            3 => Self::Offsets,
            other => return Err(here.unknown("a limit of groups", other)),
        })
    }
}
