//! Tables that change: altered, dropped, restored.

use frazil_log::format::entry::Entry;
use frazil_log::id::Name;
use frazil_log::schema::evolution::{SCHEMAS_MAX, alter};
use frazil_log::state::tables::Table;
use frazil_log::state::verdict::Refusal;

use super::Gateway;
use super::application::describe_table;
use super::database::Database;
use super::problems::{no_such_table, of_failure, schema_changed};
use crate::app;
use crate::error::{Kind, Problem};
use crate::produce::ingress::Failure;

/// How often a list of changes is made anew because somebody else altered the table meanwhile.
const ATTEMPTS: usize = 16;

impl Gateway {
    pub(super) async fn alter(
        &self,
        database: &Name,
        table: &Name,
        request: app::Alter,
    ) -> Result<app::Table, Problem> {
        let open = self.database_named(database).await?;
        open.replica().confirm_tail().await?;
        for _ in 0..ATTEMPTS {
            let known = open.table(table).ok_or_else(|| no_such_table(database, table))?;
            check_expected(&known, request.expected.as_deref())?;
            let spec = alter(&known.spec, &request.changes).map_err(illegal)?;
            if spec == known.spec {
                return Ok(describe_table(database, &known));
            }
            if spec.schema.id != known.spec.schema.id && known.schemas.len() >= SCHEMAS_MAX {
                return Err(Problem::new(
                    Kind::IllegalChange,
                    format!(
                        "table {table} has had {SCHEMAS_MAX} schemas, which is the most: make another table"
                    ),
                ));
            }
            let entry = Entry::TableAltered { table: known.id, version: known.version, spec };
            match self.act(&open, entry).await {
                Ok(_) => {
                    // As it is now: somebody may have altered or dropped it again.
                    let known = by_id(&open, &known).ok_or_else(|| no_such_table(database, table))?;
                    return Ok(describe_table(database, &known));
                }
                // Altered meanwhile: the changes are made to what it is now, unless that is not what was expected.
                Err(Failure::Refused(Refusal::TableVersion { .. })) => {}
                Err(failure) => return Err(of_failure(&open, Some(table), failure)),
            }
        }
        Err(Problem::internal("the table is being altered faster than this request can be"))
    }

    pub(super) async fn restore(&self, database: &Name, which: app::Dropped) -> Result<app::Table, Problem> {
        let open = self.database_named(database).await?;
        open.replica().confirm_tail().await?;
        let found = find_dropped(&open, &which);
        let Some((known, dropped)) = found else { return Err(not_dropped(&open, &which)) };
        let entry = Entry::TableRestored { table: known.id, dropped };
        match self.act(&open, entry).await {
            Ok(_) => {
                let known = by_id(&open, &known).ok_or_else(|| no_such_table(database, &known.name))?;
                Ok(describe_table(database, &known))
            }
            Err(Failure::Refused(Refusal::TableExists { .. })) => Err(name_is_taken(&known.name)),
            Err(Failure::Refused(Refusal::NotDropped { .. } | Refusal::NoSuchTable { .. })) => {
                Err(not_dropped(&open, &which))
            }
            Err(failure) => Err(of_failure(&open, Some(&known.name), failure)),
        }
    }
}

/// A page of the tables that can be restored, by id.
pub(super) fn dropped_tables(open: &Database, list: &app::TableList) -> Result<app::Tables, Problem> {
    let after = list.after.as_ref().map(|after| after.parse::<u64>()).transpose();
    let after =
        after.map_err(|_| Problem::malformed("after: write what `next` was, of a list of dropped tables"))?;
    let fold = open.replica().fold();
    let kept = i64::try_from(fold.state.rules().dropped_kept.as_micros()).unwrap_or(i64::MAX);
    let listed = fold.state.tables().all().filter_map(|table| {
        let at = table.dropped.filter(|_| after.is_none_or(|after| table.id.0 > after))?;
        let gone = Some(app::Gone { at, kept_until: at.saturating_add(kept) });
        let is_meant = table.name.as_str().starts_with(&list.prefix);
        is_meant.then(|| app::Table { gone, ..describe_table(open.name(), table) })
    });
    let mut tables: Vec<app::Table> = listed.take(list.limit.saturating_add(1)).collect();
    let more = tables.len() > list.limit;
    tables.truncate(list.limit);
    let next = tables.last().filter(|_| more).map(|table| table.id.to_string());
    Ok(app::Tables { tables, next })
}

fn check_expected(table: &Table, expected: Option<&[u32]>) -> Result<(), Problem> {
    let current = table.spec.schema.id;
    match expected {
        // The same condition would fail again.
        Some(expected) if !expected.contains(&current) => Err(schema_changed(current).with_retry_never()),
        _ => Ok(()),
    }
}

/// What a list of changes that cannot be made is called.
fn illegal(error: frazil_log::Error) -> Problem {
    match error.kind() {
        frazil_log::ErrorKind::Invalid => Problem::new(Kind::IllegalChange, error.to_string()),
        _ => error.into(),
    }
}

fn by_id(open: &Database, table: &Table) -> Option<Table> {
    open.replica().fold().state.tables().live(table.id).cloned()
}

/// The table that is meant, and when it was dropped.
fn find_dropped(open: &Database, which: &app::Dropped) -> Option<(Table, i64)> {
    let fold = open.replica().fold();
    let is_meant = |table: &&Table| match which {
        app::Dropped::Named(name) => table.name == *name,
        app::Dropped::Uuid(uuid) => table.uuid == *uuid,
    };
    let all = fold.state.tables().all().filter(is_meant);
    let dropped = all.filter_map(|table| Some((table.dropped?, table.id, table)));
    let newest = dropped.max_by_key(|(dropped, id, _)| (*dropped, *id));
    newest.map(|(dropped, _, table)| (table.clone(), dropped))
}

/// Why there is nothing to restore.
fn not_dropped(open: &Database, which: &app::Dropped) -> Problem {
    let fold = open.replica().fold();
    let (text, live) = match which {
        app::Dropped::Named(name) => (format!("named {name}"), fold.state.tables().named(name)),
        app::Dropped::Uuid(uuid) => {
            (format!("of UUID {uuid}"), fold.state.tables().by_name().find(|table| table.uuid == *uuid))
        }
    };
    if let Some(live) = live {
        return name_is_taken(&live.name);
    }
    let hours = fold.state.rules().dropped_kept.as_secs() / 3_600;
    Problem::new(
        Kind::NoSuchTable,
        format!(
            "database {} has no dropped table {text}: a dropped table is kept for {hours} hours",
            open.name()
        ),
    )
}

fn name_is_taken(name: &Name) -> Problem {
    Problem::new(Kind::Exists, format!("there is a table {name}: drop it first, then restore the other"))
}
