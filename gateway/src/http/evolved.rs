//! Requests that meet a table that was altered: looked at again before they are refused, and told of names that changed.

use frazil_log::id::Name;

use super::Doors;
use crate::app::Table;
use crate::error::{Problem, RowErrorKind};

/// Whether a request that does not fit the table as it was known should be tried again: the table is another by now. Else the
/// problem, which names what columns are called today.
pub(super) async fn changed_since(
    doors: &Doors,
    db: &Name,
    known: &Table,
    problem: Problem,
) -> Result<(), Problem> {
    let now = doors.app.table_confirmed(db, &known.name).await?;
    if (now.id, now.spec.schema.id) != (known.id, known.spec.schema.id) {
        return Ok(());
    }
    Err(with_new_names(problem, &now))
}

/// Row errors about columns that have another name now say which.
fn with_new_names(problem: Problem, table: &Table) -> Problem {
    let renamed = |name: &str| renamed_to(table, name);
    let any = problem.errors().iter().any(|error| error.column.as_deref().and_then(renamed).is_some());
    if !any {
        return problem;
    }
    let mut errors = problem.errors().to_vec();
    for error in errors.iter_mut().filter(|error| error.kind == RowErrorKind::UnknownColumn) {
        if let Some(column) = &error.column
            && let Some(to) = renamed(column)
        {
            error.expected = format!("the name of today (column {column:?} was renamed to {to:?})");
        }
    }
    Problem::invalid_rows(errors, problem.errors_total())
}

/// What a column of an older schema is called now; nothing if no column was called that, or it is gone.
pub(super) fn renamed_to<'t>(table: &'t Table, name: &str) -> Option<&'t str> {
    let columns = &table.spec.schema.columns;
    if columns.iter().any(|column| column.name == name) {
        return None;
    }
    table.schemas.iter().rev().find_map(|schema| {
        let before = schema.columns.iter().find(|column| column.name == name)?;
        let now = columns.iter().find(|column| column.id == before.id)?;
        Some(now.name.as_str())
    })
}
