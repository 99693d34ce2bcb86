//! `frazil table create --like FILE`: the columns that the first rows of a file show.

use std::path::Path;

use anyhow::Context;
use frazil_gateway::produce::decode::Format;
use frazil_gateway::produce::decode::infer::infer;
use frazil_log::schema::sql::columns_sql;
use frazil_log::schema::{Schema, assign_ids};

use crate::cmd::produce::Format as InputFormat;
use crate::cmd::produce::input::{Limits, peek};

/// How much of the file is looked at.
const LOOK: Limits = Limits { rows_max: 10_000, bytes_max: 4 << 20 };

/// The columns as SQL, inferred as `create=true` would.
///
/// # Errors
/// If the file cannot be read, or its rows show no columns or contradict each other.
pub(super) async fn columns(file: &Path) -> anyhow::Result<String> {
    let shown = file.display();
    let batch =
        peek(file, LOOK).await?.with_context(|| format!("{shown} has no rows to take columns from"))?;
    let format = match batch.format {
        InputFormat::Ndjson => Format::Ndjson,
        InputFormat::Json => Format::Json,
        InputFormat::Arrow => Format::ArrowStream,
        InputFormat::Csv => Format::Csv,
    };
    let columns = infer(format, &batch.body);
    let mut columns = columns.map_err(|problem| anyhow::anyhow!("{shown}: {}", problem.detail()))?;
    assign_ids(&mut columns);
    Ok(columns_sql(&Schema { id: 0, columns }))
}
