//! Entries: the single acts that a proposal names, numbered by family with gaps.
//!
//! ```text
//!   kind u16 · length varint · payload
//!   0x01.. the database     0101 created · 0102 dropped · 0103 created again
//!   0x02.. tables           0201 created · 0202 dropped · 0203 altered · 0204 restored
//!   0x03.. rows             0301 appended · 0302 rolled up · 0303 expired
//!   0x04.. groups           0401 positions stored · 0402 deleted
//!   0x05.. members   0x06.. claims, changelog   0x07.. lake      (not given out yet)
//! ```
//!
//! Any entry may take effect late, so each carries its precondition (rule 7). A kind that this version does not know stops the
//! folder with words; it is never skipped (rule 8).

use serde::Serialize;

use super::envelope::{FEATURE_AMENDMENTS, FEATURE_GROUPS};
use super::positions::StoredPosition;
use super::spec;
use super::wire::{Reader, Writer};
use crate::error::Result;
use crate::id::{Bucket, Name, Offset, Stream, TableId, TimeMicros, Uuid};
use crate::schema::TableSpec;

/// One act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// Slot 0 of every log: winning it is creating the database.
    LogCreated {
        /// The log's identity; a copied prefix keeps it.
        log_uuid: Uuid,
        /// The database.
        database: Name,
        /// Where the log was made: `s3://bucket/prefix`, a directory, or empty for memory.
        home: String,
    },
    /// The database is gone until it is created again. Refused while tables exist.
    DatabaseDropped,
    /// The database is back, in the same log.
    DatabaseCreated,
    /// A table comes to be.
    TableCreated {
        /// Its id: taken only if it is the next one, so that rows may follow in the same proposal.
        table: TableId,
        /// Its name: taken only if no table has it.
        name: Name,
        /// Chosen by the proposer: the fold knows no chance.
        uuid: Uuid,
        /// What it is.
        spec: TableSpec,
    },
    /// A table goes; its name is free at once, its id is not used again.
    TableDropped {
        /// The table.
        table: TableId,
        /// When the proposer asked for it.
        time: TimeMicros,
    },
    /// A table is something else from now on; rows that are there are read through its schemas.
    TableAltered {
        /// The table.
        table: TableId,
        /// Taken only if it was altered so many times.
        version: u64,
        /// What it is now: taken only if it may follow what it was ([`crate::schema::evolution`]).
        spec: TableSpec,
    },
    /// A dropped table that is still kept is back, under the name that it had.
    TableRestored {
        /// The table: taken only if its name is free.
        table: TableId,
        /// Taken only if it was dropped at this commit time: a later drop is not undone.
        dropped: TimeMicros,
    },
    /// Rows of one slice are appended to that slice's table and bucket.
    Appended {
        /// The slice, by its index in the commit header.
        slice: u32,
        /// The first of its rows that belongs to this proposal.
        first_row: u32,
        /// How many do.
        rows: u32,
        /// Taken only if the bucket's next offset is this.
        expected_offset: Option<Offset>,
    },
    /// Offsets `[from, to)` of a bucket have been written anew; offsets outside of `parts` stay where they are.
    RolledUp {
        /// The table.
        table: TableId,
        /// The bucket.
        bucket: Bucket,
        /// Rows or changelog.
        stream: Stream,
        /// Taken only if the bucket is rolled up to here.
        from: Offset,
        /// Rolled up to here afterwards.
        to: Offset,
        /// The new slices, in order, not overlapping.
        parts: Vec<RolledPart>,
    },
    /// Offsets `[from, to)` of a bucket are no longer kept.
    RowsExpired {
        /// The table.
        table: TableId,
        /// The bucket.
        bucket: Bucket,
        /// Rows or changelog.
        stream: Stream,
        /// Taken only if this is the first offset that is kept.
        from: Offset,
        /// The first offset that is kept afterwards.
        to: Offset,
    },
    /// A group stands at these positions; it comes to be if it is not there.
    PositionsStored {
        /// The group.
        group: Name,
        /// Taken only if the group has this generation; 0: only if there is no group of this name.
        generation: u64,
        /// Where it stands, each table once; buckets that are not named stay as they are.
        positions: Vec<StoredPosition>,
    },
    /// A group goes; a later one of the same name has another generation.
    GroupDeleted {
        /// The group.
        group: Name,
        /// Taken only if the group has this generation.
        generation: u64,
    },
}

/// A slice that a roll-up wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RolledPart {
    /// The offset of its first row.
    pub start: Offset,
    /// The slice, by its index in the commit header; it lies in a segment.
    pub slice: u32,
}

const LOG_CREATED: u16 = 0x0101;
const DATABASE_DROPPED: u16 = 0x0102;
const DATABASE_CREATED: u16 = 0x0103;
const TABLE_CREATED: u16 = 0x0201;
const TABLE_DROPPED: u16 = 0x0202;
const TABLE_ALTERED: u16 = 0x0203;
const TABLE_RESTORED: u16 = 0x0204;
const APPENDED: u16 = 0x0301;
const ROLLED_UP: u16 = 0x0302;
const ROWS_EXPIRED: u16 = 0x0303;
const POSITIONS_STORED: u16 = 0x0401;
const GROUP_DELETED: u16 = 0x0402;

/// The least bytes of an encoded entry.
pub(crate) const ENTRY_BYTES_MIN: usize = 3;

impl Entry {
    fn kind(&self) -> u16 {
        match self {
            Self::LogCreated { .. } => LOG_CREATED,
            Self::DatabaseDropped => DATABASE_DROPPED,
            Self::DatabaseCreated => DATABASE_CREATED,
            Self::TableCreated { .. } => TABLE_CREATED,
            Self::TableDropped { .. } => TABLE_DROPPED,
            Self::TableAltered { .. } => TABLE_ALTERED,
            Self::TableRestored { .. } => TABLE_RESTORED,
            Self::Appended { .. } => APPENDED,
            Self::RolledUp { .. } => ROLLED_UP,
            Self::RowsExpired { .. } => ROWS_EXPIRED,
            Self::PositionsStored { .. } => POSITIONS_STORED,
            Self::GroupDeleted { .. } => GROUP_DELETED,
        }
    }

    /// The feature bits that a reader of the entry must know.
    pub(crate) fn features(&self) -> u64 {
        match self {
            Self::TableAltered { .. } | Self::TableRestored { .. } | Self::RowsExpired { .. } => {
                FEATURE_AMENDMENTS
            }
            Self::PositionsStored { .. } | Self::GroupDeleted { .. } => FEATURE_GROUPS,
            _ => 0,
        }
    }

    /// The slices that it names, so that its proposal can be put behind others into one commit.
    pub(crate) fn slices_mut(&mut self) -> Vec<&mut u32> {
        match self {
            Self::Appended { slice, .. } => vec![slice],
            Self::RolledUp { parts, .. } => parts.iter_mut().map(|part| &mut part.slice).collect(),
            Self::LogCreated { .. }
            | Self::DatabaseDropped
            | Self::DatabaseCreated
            | Self::TableCreated { .. }
            | Self::TableDropped { .. }
            | Self::TableAltered { .. }
            | Self::TableRestored { .. }
            | Self::RowsExpired { .. }
            | Self::PositionsStored { .. }
            | Self::GroupDeleted { .. } => Vec::new(),
        }
    }

    /// Writes the entry.
    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.u16(self.kind());
        writer.record(|w| self.encode_payload(w));
    }

    fn encode_payload(&self, w: &mut Writer) {
        match self {
            Self::LogCreated { log_uuid, database, home } => {
                w.uuid(*log_uuid);
                w.text(database.as_str());
                w.text(home);
            }
            Self::DatabaseDropped | Self::DatabaseCreated => {}
            Self::TableCreated { table, name, uuid, spec } => {
                w.varint(table.0);
                w.text(name.as_str());
                w.uuid(*uuid);
                spec::encode(spec, w);
            }
            Self::TableDropped { table, time } => {
                w.varint(table.0);
                w.zigzag(*time);
            }
            Self::TableAltered { table, version, spec } => {
                w.varint(table.0);
                w.varint(*version);
                spec::encode(spec, w);
            }
            Self::TableRestored { table, dropped } => {
                w.varint(table.0);
                w.zigzag(*dropped);
            }
            Self::Appended { slice, first_row, rows, expected_offset } => {
                w.varint(u64::from(*slice));
                w.varint(u64::from(*first_row));
                w.varint(u64::from(*rows));
                w.flag(expected_offset.is_some());
                expected_offset.iter().for_each(|offset| w.varint(*offset));
            }
            Self::RolledUp { table, bucket, stream, from, to, parts } => {
                w.varint(table.0);
                w.varint(u64::from(bucket.0));
                w.u8(*stream as u8);
                w.varint(*from);
                w.varint(*to);
                w.count(parts.len());
                for part in parts {
                    w.varint(part.start);
                    w.varint(u64::from(part.slice));
                }
            }
            Self::RowsExpired { table, bucket, stream, from, to } => {
                w.varint(table.0);
                w.varint(u64::from(bucket.0));
                w.u8(*stream as u8);
                w.varint(*from);
                w.varint(*to);
            }
            Self::PositionsStored { group, generation, positions } => {
                w.text(group.as_str());
                w.varint(*generation);
                w.count(positions.len());
                positions.iter().for_each(|position| position.encode(w));
            }
            Self::GroupDeleted { group, generation } => {
                w.text(group.as_str());
                w.varint(*generation);
            }
        }
    }

    /// Reads an entry.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let here = reader.clone();
        let kind = reader.u16()?;
        let mut r = reader.record()?;
        let entry = match kind {
            LOG_CREATED => Self::LogCreated { log_uuid: r.uuid()?, database: name(&mut r)?, home: r.text()? },
            DATABASE_DROPPED => Self::DatabaseDropped,
            DATABASE_CREATED => Self::DatabaseCreated,
            TABLE_CREATED => Self::TableCreated {
                table: TableId(r.varint()?),
                name: name(&mut r)?,
                uuid: r.uuid()?,
                spec: spec::decode(&mut r)?,
            },
            TABLE_DROPPED => Self::TableDropped { table: TableId(r.varint()?), time: r.zigzag()? },
            TABLE_ALTERED => Self::TableAltered {
                table: TableId(r.varint()?),
                version: r.varint()?,
                spec: spec::decode(&mut r)?,
            },
            TABLE_RESTORED => Self::TableRestored { table: TableId(r.varint()?), dropped: r.zigzag()? },
            APPENDED => Self::Appended {
                slice: r.number()?,
                first_row: r.number()?,
                rows: r.number()?,
                expected_offset: if r.flag()? { Some(r.varint()?) } else { None },
            },
            ROLLED_UP => Self::RolledUp {
                table: TableId(r.varint()?),
                bucket: Bucket(r.number()?),
                stream: super::slice::decode_stream(&mut r)?,
                from: r.varint()?,
                to: r.varint()?,
                parts: r.sequence(2, |r| Ok(RolledPart { start: r.varint()?, slice: r.number()? }))?,
            },
            ROWS_EXPIRED => Self::RowsExpired {
                table: TableId(r.varint()?),
                bucket: Bucket(r.number()?),
                stream: super::slice::decode_stream(&mut r)?,
                from: r.varint()?,
                to: r.varint()?,
            },
            POSITIONS_STORED => Self::PositionsStored {
                group: name(&mut r)?,
                generation: r.varint()?,
                positions: r.sequence(3, StoredPosition::decode)?,
            },
            GROUP_DELETED => Self::GroupDeleted { group: name(&mut r)?, generation: r.varint()? },
            other => return Err(here.unknown("an entry of kind", format!("{other:#06x}"))),
        };
        r.finish()?;
        Ok(entry)
    }
}

/// Reads a checked name.
pub(crate) fn name(reader: &mut Reader<'_>) -> Result<Name> {
    let here = reader.clone();
    Name::new(reader.text()?).map_err(|error| here.corrupt("a name", error))
}
