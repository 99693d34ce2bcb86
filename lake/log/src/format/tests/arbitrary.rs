//! Random objects of every format: all that a reader must take, not only what today's writers write.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use crate::format::checkpoint::{Checkpoint, CheckpointHeader, PageRef};
use crate::format::commit::{CommitHeader, ProducerStamp, Proposal, SegmentRef, WriterInfo};
use crate::format::entry::{Entry, RolledPart};
use crate::format::envelope::FEATURES_KNOWN;
use crate::format::page::{Place, PlaceMap, StreamKey};
use crate::format::positions::{ExpectedPosition, StoredPosition};
use crate::format::segment::{ObjectId, SegmentHeader};
use crate::format::slice::{BatchLayout, Codec, ColumnChunk, ColumnStatistics, Slice, SliceHome, SliceOp};
use crate::id::{Bucket, Name, ProposalName, SegmentId, Slot, Stream, TableId, Ulid, Uuid};
use crate::schema::arbitrary::schemas;
use crate::schema::{PartitionField, PseudoIds, TableSpec};

/// Numbers of all lengths, small ones and the ends most of all.
pub(crate) fn numbers() -> impl Strategy<Value = u64> + Clone {
    prop_oneof![4 => 0..4u64, 2 => 0..70_000u64, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

fn numbers_u32() -> impl Strategy<Value = u32> + Clone {
    prop_oneof![4 => 0..4u32, 1 => any::<u32>(), 1 => Just(u32::MAX)]
}

pub(crate) fn ulids() -> impl Strategy<Value = Ulid> {
    any::<u128>().prop_map(Ulid::from)
}

pub(crate) fn uuids() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

pub(crate) fn names() -> impl Strategy<Value = Name> {
    "[a-z][a-z0-9_]{0,11}".prop_map(|name| Name::new(name).unwrap())
}

fn segment_ids() -> impl Strategy<Value = SegmentId> {
    (numbers(), ulids()).prop_map(|(base, ulid)| SegmentId { base, ulid })
}

fn streams() -> impl Strategy<Value = Stream> {
    prop_oneof![Just(Stream::Rows), Just(Stream::Changelog)]
}

fn keys() -> impl Strategy<Value = StreamKey> {
    (numbers(), numbers_u32(), streams()).prop_map(|(table, bucket, stream)| StreamKey {
        table: TableId(table),
        bucket: Bucket(bucket),
        stream,
    })
}

fn batches(columns: usize) -> impl Strategy<Value = BatchLayout> {
    let chunks = vec((0..40u64, any::<u64>()), columns);
    (1..5000u32, 1..40u32, any::<u64>(), chunks).prop_map(|(rows, metadata, metadata_checksum, chunks)| {
        let mut offset = 0;
        let chunks: Vec<ColumnChunk> = chunks
            .into_iter()
            .map(|(eighths, checksum)| {
                let chunk = ColumnChunk { offset, len: eighths * 8, checksum };
                offset += chunk.len;
                chunk
            })
            .collect();
        BatchLayout { rows, metadata_len: metadata * 8, body_len: offset, metadata_checksum, chunks }
    })
}

/// Slices of one sequence, at home in the object.
fn slices_of(key: StreamKey) -> impl Strategy<Value = Slice> {
    let columns = vec(any::<i32>(), 0..4);
    let ops = prop_oneof![
        Just(SliceOp::Append),
        Just(SliceOp::Upsert),
        Just(SliceOp::Delete),
        Just(SliceOp::PerRow)
    ];
    let codecs = prop_oneof![Just(Codec::None), Just(Codec::Lz4), Just(Codec::Zstd)];
    let times = option::of((any::<i64>(), any::<i64>()).prop_map(|(a, b)| (a.min(b), a.max(b))));
    let sources = option::of((numbers(), numbers()).prop_map(|(a, b)| a.min(b)..a.max(b)));
    let statistics = (any::<i32>(), numbers_u32(), vec(any::<u8>(), 0..17), vec(any::<u8>(), 0..17))
        .prop_map(|(field, nulls, min, max)| ColumnStatistics { field, nulls, min, max });
    columns.prop_flat_map(move |columns| {
        let batches = vec(batches(columns.len()), 1..12);
        let said = (numbers_u32(), ops.clone(), codecs.clone(), 0..100u64, times.clone(), sources.clone());
        (Just(columns), batches, said, vec(statistics.clone(), 0..3), any::<u64>()).prop_map(
            move |(columns, batches, (schema, op, codec, place, times, source), statistics, checksum)| {
                Slice {
                    table: key.table,
                    bucket: key.bucket,
                    stream: key.stream,
                    schema,
                    columns,
                    op,
                    codec,
                    home: SliceHome::Here,
                    body_offset: place * 8,
                    bytes: batches.iter().map(|batch| u64::from(batch.metadata_len) + batch.body_len).sum(),
                    rows: batches.iter().map(|batch| batch.rows).sum(),
                    times,
                    source,
                    batches,
                    statistics,
                    checksum,
                }
            },
        )
    })
}

/// Slices of any sequence, at home in the object.
pub(crate) fn slices() -> impl Strategy<Value = Slice> {
    keys().prop_flat_map(slices_of)
}

fn specs() -> impl Strategy<Value = TableSpec> {
    let partitions = (any::<i32>(), any::<i32>(), ".{0,8}", ".{0,8}").prop_map(
        |(source_id, field_id, name, transform)| PartitionField { source_id, field_id, name, transform },
    );
    let ids = || vec(any::<i32>(), 0..3);
    let rest =
        (ids(), numbers_u32(), ids(), any::<u8>(), vec(partitions, 0..2), vec((".{0,8}", ".{0,8}"), 0..3));
    (schemas(), any::<[i32; 4]>(), rest).prop_map(
        |(schema, four, (primary_key, buckets, bucket_by, bucket_function, partitions, options))| {
            let [last_column_id, bucket, offset, timestamp] = four;
            let pseudo = PseudoIds { bucket, offset, timestamp };
            TableSpec {
                schema,
                last_column_id,
                pseudo,
                primary_key,
                buckets,
                bucket_by,
                bucket_function,
                partitions,
                options,
            }
        },
    )
}

/// Entries of every kind.
pub(crate) fn entries() -> impl Strategy<Value = Entry> {
    let appended = (numbers_u32(), numbers_u32(), numbers_u32(), option::of(numbers()));
    let parts = vec((numbers(), numbers_u32()).prop_map(|(start, slice)| RolledPart { start, slice }), 0..3);
    prop_oneof![
        (uuids(), names(), ".{0,20}").prop_map(|(log_uuid, database, home)| Entry::LogCreated {
            log_uuid,
            database,
            home
        }),
        Just(Entry::DatabaseDropped),
        Just(Entry::DatabaseCreated),
        (numbers(), names(), uuids(), specs()).prop_map(|(table, name, uuid, spec)| Entry::TableCreated {
            table: TableId(table),
            name,
            uuid,
            spec
        }),
        (numbers(), any::<i64>())
            .prop_map(|(table, time)| Entry::TableDropped { table: TableId(table), time }),
        (numbers(), numbers(), specs()).prop_map(|(table, version, spec)| Entry::TableAltered {
            table: TableId(table),
            version,
            spec
        }),
        (numbers(), any::<i64>())
            .prop_map(|(table, dropped)| Entry::TableRestored { table: TableId(table), dropped }),
        (keys(), numbers(), numbers()).prop_map(|(key, from, to)| Entry::RowsExpired {
            table: key.table,
            bucket: key.bucket,
            stream: key.stream,
            from,
            to
        }),
        appended.prop_map(|(slice, first_row, rows, expected_offset)| Entry::Appended {
            slice,
            first_row,
            rows,
            expected_offset
        }),
        (keys(), numbers(), numbers(), parts).prop_map(|(key, from, to, parts)| Entry::RolledUp {
            table: key.table,
            bucket: key.bucket,
            stream: key.stream,
            from,
            to,
            parts
        }),
        (names(), numbers(), vec(positions(), 0..3)).prop_map(|(group, generation, positions)| {
            Entry::PositionsStored { group, generation, positions }
        }),
        (names(), numbers()).prop_map(|(group, generation)| Entry::GroupDeleted { group, generation }),
    ]
}

fn positions() -> impl Strategy<Value = StoredPosition> {
    let bucket = || numbers_u32().prop_map(Bucket);
    let expected = prop_oneof![
        Just(ExpectedPosition::Any),
        Just(ExpectedPosition::Nothing),
        btree_map(bucket(), option::of(numbers()), 0..4).prop_map(ExpectedPosition::Exactly),
    ];
    (numbers(), btree_map(bucket(), numbers(), 0..4), expected)
        .prop_map(|(table, offsets, expected)| StoredPosition { table: TableId(table), offsets, expected })
}

/// Proposals of any entries.
pub(crate) fn proposals() -> impl Strategy<Value = Proposal> {
    let name = (ulids(), numbers()).prop_map(|(incarnation, n)| ProposalName { incarnation, n });
    let producer =
        (".{1,12}", numbers(), numbers()).prop_map(|(id, epoch, seq)| ProducerStamp { id, epoch, seq });
    (name, numbers(), option::of(producer), any::<u128>(), vec(entries(), 0..4)).prop_map(
        |(name, base, producer, request_hash, entries)| Proposal {
            name,
            base,
            producer,
            request_hash,
            entries,
        },
    )
}

/// Headers of commits, with a body that their slices lie in.
pub(crate) fn commits() -> impl Strategy<Value = (CommitHeader, Bytes)> {
    let writer = (ulids(), ".{0,8}", ".{0,20}", ".{0,8}", numbers()).prop_map(
        |(incarnation, version, address, zone, put_p99_us)| WriterInfo {
            incarnation,
            version,
            address,
            zone,
            put_p99_us,
        },
    );
    let segments =
        vec((segment_ids(), numbers()).prop_map(|(id, body_start)| SegmentRef { id, body_start }), 0..3);
    let rows = (segments, vec((slices(), any::<u32>()), 0..4));
    let said = (numbers(), uuids(), ulids(), (numbers(), any::<u128>()), any::<i64>(), writer, ".{0,8}");
    (said, rows, vec(proposals(), 0..4)).prop_map(|(said, (segments, slices), proposals)| {
        let (slot, log_uuid, put_id, folded, time, writer, encryption_key_id) = said;
        let homes = u32::try_from(segments.len()).unwrap() + 1;
        let slices: Vec<Slice> = slices
            .into_iter()
            .map(|(slice, home)| match (home % homes).checked_sub(1) {
                None => slice,
                // In a segment, whose length is not known here, a slice may lie anywhere.
                Some(index) => {
                    let body_offset = slice.body_offset << 40;
                    Slice { home: SliceHome::Segment(index), body_offset, ..slice }
                }
            })
            .collect();
        let body = body_of(&slices);
        let header = CommitHeader {
            slot,
            log_uuid,
            put_id,
            folded,
            time,
            writer,
            encryption_key_id,
            segments,
            slices,
            proposals,
        };
        (header, body)
    })
}

/// Bytes for the slices that are at home in the object.
fn body_of(slices: &[Slice]) -> Bytes {
    let here = slices.iter().filter(|slice| slice.home == SliceHome::Here);
    let end = here.map(|slice| slice.object_range(0).end).max().unwrap_or(0);
    (0..end).map(|at| at.to_le_bytes()[0]).collect()
}

/// Headers of segments, with a body.
pub(crate) fn segments() -> impl Strategy<Value = (SegmentHeader, Bytes)> {
    let said = (uuids(), segment_ids(), ".{0,8}", vec(objects(), 0..3));
    (said, vec(slices(), 0..3)).prop_map(|((log_uuid, id, encryption_key_id, sources), slices)| {
        let body = body_of(&slices);
        (SegmentHeader { log_uuid, id, encryption_key_id, sources, slices }, body)
    })
}

fn objects() -> impl Strategy<Value = ObjectId> {
    prop_oneof![
        (numbers(), ulids()).prop_map(|(slot, put_id)| ObjectId::Commit { slot, put_id }),
        segment_ids().prop_map(ObjectId::Segment),
    ]
}

/// Places of one sequence, ascending, some with gaps between them.
fn places(key: StreamKey) -> impl Strategy<Value = Vec<Place>> {
    let place = (slices_of(key), 0..3u64, any::<u32>(), any::<u32>(), any::<i64>(), objects(), numbers());
    (0..1u64 << 60, vec(place, 1..4)).prop_map(|(start, places)| {
        let mut end = start;
        places
            .into_iter()
            .map(|(slice, gap, first_row, rows, time, object, body_start)| {
                let first_row = first_row % slice.rows;
                let rows = 1 + rows % (slice.rows - first_row);
                let start = end + gap;
                end = start + u64::from(rows);
                Place { offsets: start..end, first_row, time, object, body_start, slice: Arc::new(slice) }
            })
            .collect()
    })
}

/// What a page says of itself, and its places.
pub(crate) fn pages() -> impl Strategy<Value = ((Uuid, Range<Slot>, u128), PlaceMap)> {
    let part = keys().prop_flat_map(|key| (Just(key), places(key)));
    let said = (uuids(), (numbers(), numbers()).prop_map(|(from, to)| from..to), any::<u128>());
    (said, vec(part, 0..3).prop_map(|parts| parts.into_iter().collect()))
}

/// Checkpoints of any bytes for a state.
pub(crate) fn checkpoints() -> impl Strategy<Value = Checkpoint> {
    let page = (1..2000u64, any::<u8>(), numbers());
    let said = (uuids(), any::<u128>(), ".{0,8}", any::<u64>(), vec(any::<u8>(), 0..200));
    (said, vec(page, 1..5)).prop_map(|((log_uuid, log_hash, version, features, state), pages)| {
        let features = features & FEATURES_KNOWN;
        let mut slot = 0;
        let pages = pages.into_iter().map(|(slots, level, bytes)| {
            let from = slot;
            slot += slots;
            PageRef { from, to: slot, level, bytes }
        });
        let pages: Vec<PageRef> = pages.collect();
        let (state_bytes, state) = (state.len() as u64, Bytes::from(state));
        let header = CheckpointHeader { log_uuid, slot, log_hash, version, state_bytes, list_bytes: 0 };
        Checkpoint { header, features, state, pages }
    })
}
