//! Groups: where consumers stand, stored in the log, with how far behind that is.
//!
//! The generation of a group is looked up here and checked by the fold (rule 7). A group that comes or goes between the two is
//! looked up again, unless the client named the generation.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use frazil_log::format::entry::Entry;
use frazil_log::format::positions::{Offsets, StoredPosition};
use frazil_log::id::{Bucket, Name, Offset, TableId, TimeMicros};
use frazil_log::state::groups::Group;
use frazil_log::state::tables::Table;
use frazil_log::state::verdict::Refusal;
use futures::StreamExt;
use futures::stream;

use super::Gateway;
use super::database::Database;
use super::problems::{no_such_group, no_such_table, of_failure};
use crate::app::{self, Ensured, GroupTable, Lag, Stand};
use crate::consume::position::Position;
use crate::consume::reader::{OutputColumn, ReadRequest, read};
use crate::consume::tail::TailRing;
use crate::error::{Kind, Problem};
use crate::produce::ingress::Failure;

/// How often the generation of a group is looked up before the competition is taken for a fault.
const GENERATION_ATTEMPTS: usize = 16;

/// First unread rows looked up at once.
const AGES: usize = 8;

impl Gateway {
    pub(super) async fn list_groups(
        &self,
        database: &Name,
        list: app::GroupList,
    ) -> Result<app::Groups, Problem> {
        let open = self.database_named(database).await?;
        open.replica().confirm_tail().await?;
        let after = list.after.map(Name::new).transpose()?;
        let fold = open.replica().fold();
        let page = fold.state.groups().page(&list.prefix, after.as_ref()).take(list.limit.saturating_add(1));
        let tables = fold.state.tables();
        let mut found: Vec<app::Group> =
            page.map(|(name, group)| describe(&open, name, group, |id| tables.live(id).cloned())).collect();
        let more = found.len() > list.limit;
        found.truncate(list.limit);
        let next = found.last().filter(|_| more).map(|group| group.name.to_string());
        Ok(app::Groups { groups: found, next })
    }

    pub(super) async fn read_group(&self, database: &Name, name: &Name) -> Result<app::Group, Problem> {
        let open = self.database_named(database).await?;
        open.replica().confirm_tail().await?;
        self.described(&open, name).await
    }

    pub(super) async fn store_positions(
        &self,
        request: app::StoreGroup,
    ) -> Result<Ensured<app::Group>, Problem> {
        let open = self.database_named(&request.database).await?;
        for _ in 0..GENERATION_ATTEMPTS {
            let mut entry = self.positions_entry(&open, &request.group, &request.positions).await?;
            if let (Entry::PositionsStored { generation, .. }, Some(named)) =
                (&mut entry, request.if_generation)
            {
                *generation = named;
            }
            let is_new = matches!(entry, Entry::PositionsStored { generation: 0, .. });
            match self.act(&open, entry).await {
                Ok(_) => {
                    let stored = self.described(&open, &request.group).await?;
                    return Ok(if is_new { Ensured::Created(stored) } else { Ensured::Same(stored) });
                }
                Err(Failure::Refused(Refusal::GroupGeneration { .. })) if request.if_generation.is_none() => {
                }
                Err(failure) => return Err(of_failure(&open, None, failure)),
            }
        }
        Err(Problem::internal(format!("group {} comes and goes faster than it can be stored", request.group)))
    }

    pub(super) async fn remove_group(
        &self,
        database: &Name,
        group: &Name,
        if_generation: Option<u64>,
    ) -> Result<(), Problem> {
        let open = self.database_named(database).await?;
        for _ in 0..GENERATION_ATTEMPTS {
            open.replica().confirm_tail().await?;
            let known = open.replica().fold().state.groups().generation(group);
            if known == 0 {
                return Err(no_such_group(database, group));
            }
            let generation = if_generation.unwrap_or(known);
            match self.act(&open, Entry::GroupDeleted { group: group.clone(), generation }).await {
                Ok(_) => return Ok(()),
                Err(Failure::Refused(Refusal::GroupGeneration { .. })) if if_generation.is_none() => {}
                Err(failure) => return Err(of_failure(&open, None, failure)),
            }
        }
        Err(Problem::internal(format!("group {group} comes and goes faster than it can be deleted")))
    }

    /// Positions by table id, as the log takes them, for the group as it is known here.
    pub(super) async fn positions_entry(
        &self,
        database: &Database,
        group: &Name,
        stands: &[Stand],
    ) -> Result<Entry, Problem> {
        let mut positions = Vec::with_capacity(stands.len());
        for stand in stands {
            if database.table(&stand.table).is_none() {
                database.replica().confirm_tail().await?;
            }
            let table =
                database.table(&stand.table).ok_or_else(|| no_such_table(database.name(), &stand.table))?;
            positions.push(StoredPosition {
                table: table.id,
                offsets: stand.position.0.clone(),
                expected: stand.expected.clone(),
            });
        }
        let generation = database.replica().fold().state.groups().generation(group);
        Ok(Entry::PositionsStored { group: group.clone(), generation, positions })
    }

    async fn described(&self, open: &Database, name: &Name) -> Result<app::Group, Problem> {
        let (mut group, tables) = {
            let fold = open.replica().fold();
            let known = fold.state.groups().get(name).ok_or_else(|| no_such_group(open.name(), name))?;
            let live = |id| fold.state.tables().live(id).cloned();
            let tables: Vec<Table> = known.positions.keys().filter_map(|id| live(*id)).collect();
            (describe(open, name, known, live), tables)
        };
        let now = self.inner.parts.env.now().wall.max(open.replica().fold().state.time());
        for table in tables {
            let Some(stands) = group.tables.get_mut(&table.name) else { continue };
            let oldest = oldest_unread(open, &self.inner.parts.tail, &table, &stands.position).await?;
            stands.lag.micros = Some(oldest.map_or(0, |oldest| now.saturating_sub(oldest).max(0)));
        }
        Ok(group)
    }
}

/// Where a group stands in a table, as folded here.
pub(super) fn stored_offsets(database: &Database, group: &Name, table: TableId) -> Offsets {
    let fold = database.replica().fold();
    let group = fold.state.groups().get(group);
    group.and_then(|group| group.positions.get(&table)).cloned().unwrap_or_default()
}

/// A group in words that a client knows: of tables that are live, by their names.
fn describe(
    database: &Database,
    name: &Name,
    group: &Group,
    live: impl Fn(TableId) -> Option<Table>,
) -> app::Group {
    let tables = group.positions.iter().filter_map(|(id, offsets)| {
        let table = live(*id)?;
        let lag = Lag { rows: unread(&table, offsets).iter().map(|(_, rows)| rows).sum(), micros: None };
        Some((table.name, GroupTable { position: Position(offsets.clone()), lag }))
    });
    app::Group {
        database: database.name().clone(),
        name: name.clone(),
        generation: group.generation,
        stored: group.stored,
        tables: tables.collect(),
    }
}

/// The buckets with rows that were not read, and how many; all rows of a bucket that is not stored.
fn unread(table: &Table, offsets: &Offsets) -> Vec<((Bucket, Offset), u64)> {
    let bucket = |bucket| {
        let tail = table.rows_tail(bucket);
        let from = offsets.get(&bucket).copied().unwrap_or(0).max(tail.earliest);
        ((bucket, from), tail.next.saturating_sub(from))
    };
    (0..table.spec.buckets).map(Bucket).map(bucket).filter(|(_, rows)| *rows > 0).collect()
}

/// The commit time of the oldest row that was not read.
async fn oldest_unread(
    database: &Database,
    tail: &TailRing,
    table: &Table,
    position: &Position,
) -> Result<Option<TimeMicros>, Problem> {
    let firsts = unread(table, &position.0).into_iter().map(|((bucket, from), _)| async move {
        let request = ReadRequest {
            from: BTreeMap::from([(bucket, from)]),
            columns: vec![OutputColumn::Timestamp],
            filter: None,
            rows_max: 1,
            bytes_max: 1,
        };
        let page = read(database.replica(), tail, table, &request).await?;
        let first = page.batches.first().map(|batch| batch.column(0));
        let times = first.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        Ok::<_, Problem>(times.and_then(|times| times.iter().next().flatten()))
    });
    let mut times = stream::iter(firsts).buffer_unordered(AGES);
    let mut oldest: Option<TimeMicros> = None;
    while let Some(time) = times.next().await {
        oldest = oldest.into_iter().chain(time?).min();
    }
    Ok(oldest)
}

/// What a stored position that is elsewhere is called.
pub(super) fn expected_position(
    group: &Name,
    table: &str,
    actual: &BTreeMap<Bucket, Option<Offset>>,
) -> Problem {
    let pairs = actual.iter().map(|(bucket, offset)| match offset {
        Some(offset) => format!("{bucket}:{offset}"),
        None => format!("{bucket}:-"),
    });
    let nothing = actual.values().all(Option::is_none);
    let actual = (!nothing).then(|| pairs.collect::<Vec<_>>().join(","));
    let stands = actual.as_deref().map_or_else(|| "nothing is stored".to_owned(), |at| format!("it is {at}"));
    Problem::new(
        Kind::ExpectedPosition,
        format!("group {group}, table {table}: the stored position is not the expected one, {stands}"),
    )
    .with("group", group.as_str())
    .with("table", table)
    .with("actual", actual)
}
