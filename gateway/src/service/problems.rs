//! What the log's answers are called at the doors.

use frazil_log::id::{Name, SchemaId, TableId};
use frazil_log::state::verdict::{GroupLimit, Refusal};

use super::database::Database;
use super::groups::expected_position;
use crate::error::{Kind, Outcome, Problem};
use crate::produce::health::RETRY_AFTER;
use crate::produce::ingress::Failure;

/// Seconds that an overloaded gateway asks a client to wait.
const OVERLOADED_RETRY_AFTER_SECONDS: u32 = 1;

fn retry_after_seconds() -> u32 {
    u32::try_from(RETRY_AFTER.as_secs()).unwrap_or(1)
}

pub(super) fn no_such_database(name: &Name) -> Problem {
    Problem::new(
        Kind::NoSuchDatabase,
        format!("there is no database {name}; create it with PUT /v1/databases/{name}"),
    )
}

pub(super) fn no_such_table(database: &Name, table: &Name) -> Problem {
    Problem::new(
        Kind::NoSuchTable,
        format!(
            "there is no table {table} in database {database}; create it with PUT, or append with create=true"
        ),
    )
}

pub(super) fn no_such_group(database: &Name, group: &Name) -> Problem {
    Problem::new(
        Kind::NoSuchGroup,
        format!("there is no group {group} in database {database}; PUT a position to make it"),
    )
}

/// The name of a table, or what else there is to say of it.
fn table_name(database: &Database, id: TableId) -> String {
    let fold = database.replica().fold();
    fold.state.tables().any(id).map_or_else(|| format!("number {id}"), |table| table.name.to_string())
}

/// The schema is not the one that was expected.
pub(super) fn schema_changed(current: SchemaId) -> Problem {
    Problem::new(
        Kind::SchemaChanged,
        format!("the table's schema is {current} now: describe the table, and send the request again for that schema"),
    )
    .with("current", current)
}

/// The log refused rows of a schema that is over, and with them the producer's number (rule 3): the same again gets the same.
pub(super) fn sequence_used_up(current: SchemaId) -> Problem {
    Problem::new(
        Kind::SchemaChanged,
        format!(
            "the table's schema is {current} now, and this Producer-Seq is used up: describe the table, and send the rows under the next one"
        ),
    )
    .with("current", current)
    .with_retry_never()
}

/// What a failed submission is called.
pub(super) fn of_failure(database: &Database, table: Option<&Name>, failure: Failure) -> Problem {
    match failure {
        Failure::Refused(refusal) => of_refusal(database, table, &refusal),
        Failure::Gap { expected } => Problem::new(
            Kind::SequenceGap,
            format!("the producer's next Producer-Seq is {expected}: send that request first"),
        )
        .with("expected", expected),
        Failure::Overloaded => {
            Problem::new(Kind::Overloaded, "this gateway's buffer is full; the rows were not taken")
                .with_retry_after(OVERLOADED_RETRY_AFTER_SECONDS)
        }
        Failure::ReadOnly(why) => Problem::new(
            Kind::StoreUnavailable,
            format!("the store cannot be written now, so this gateway is read-only: {why}"),
        )
        .with_retry_after(retry_after_seconds()),
        Failure::NotProposed => Problem::new(
            Kind::StoreUnavailable,
            "the deadline came before the rows could be written; they were not taken",
        )
        .with_retry_after(retry_after_seconds()),
        Failure::Draining => {
            Problem::new(Kind::Draining, "this gateway is going down; ask another").with_retry_after(1)
        }
        Failure::Unknown => Problem::new(
            Kind::OutcomeUnknown,
            "the deadline came before the store answered; repeat the request with the same Producer-Seq to learn its outcome",
        ),
        Failure::Failed(error) => Problem::from(error).with_outcome(Outcome::NotCommitted),
    }
}

/// What a refusal by the log is called.
pub(super) fn of_refusal(database: &Database, table: Option<&Name>, refusal: &Refusal) -> Problem {
    let name = database.name();
    match refusal {
        Refusal::ExpectedOffset { table, bucket, expected, actual } => Problem::new(
            Kind::ExpectedOffset,
            format!(
                "table {}, bucket {bucket}: expected_offset is {expected}, but the next row gets offset {actual}",
                table_name(database, *table)
            ),
        )
        .with("table", table_name(database, *table))
        .with("bucket", bucket.0)
        .with("expected", *expected)
        .with("actual", *actual),
        Refusal::Fenced { epoch } => Problem::new(
            Kind::ProducerFenced,
            format!("a newer run of this producer has epoch {epoch}: stop, or begin a higher epoch at Producer-Seq 0"),
        )
        .with("epoch", *epoch),
        Refusal::SequenceConflict => Problem::new(
            Kind::SequenceConflict,
            "this Producer-Seq was used for a request with other rows: a retry must send the same bytes",
        ),
        Refusal::UnknownProducer => {
            Problem::new(Kind::SequenceGap, "this producer is not known here: a new one begins at Producer-Seq 0")
                .with("expected", 0)
        }
        Refusal::SchemaChanged { current, .. } => schema_changed(*current),
        Refusal::NoSuchBucket { bucket, .. } => {
            Problem::new(Kind::NoSuchBucket, format!("the table has no bucket {bucket}"))
        }
        Refusal::NotEmpty { tables } => Problem::new(
            Kind::NotEmpty,
            format!("database {name} has {tables} tables: drop them first"),
        ),
        Refusal::DatabaseDropped => no_such_database(name),
        Refusal::DatabaseExists => Problem::new(Kind::Exists, format!("database {name} exists")),
        Refusal::TableExists { .. } | Refusal::TableIdTaken { .. } => {
            Problem::new(Kind::Exists, "a table of this name was created meanwhile")
        }
        Refusal::NoSuchTable { table: id } => match table {
            Some(table) => no_such_table(name, table),
            None => Problem::new(
                Kind::NoSuchTable,
                format!("table {} was dropped meanwhile", table_name(database, *id)),
            ),
        },
        Refusal::ExpectedPosition { .. }
        | Refusal::GroupGeneration { .. }
        | Refusal::PositionBeyondTail { .. }
        | Refusal::GroupsFull { .. } => of_group_refusal(database, refusal),
        Refusal::TableVersion { .. } => {
            Problem::new(Kind::SchemaChanged, "the table was altered meanwhile: describe it and send the changes again")
        }
        Refusal::NotDropped { .. } => Problem::new(Kind::Exists, "the table is not dropped"),
        Refusal::Expired
        | Refusal::RollUpStale { .. }
        | Refusal::ExpiryStale { .. }
        | Refusal::Invalid { .. } => {
            Problem::internal(format!("the log refused an entry that this gateway made: {refusal:?}"))
        }
    }
}

/// What a refusal about a group is called.
fn of_group_refusal(database: &Database, refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::ExpectedPosition { group, table, actual } => {
            expected_position(group, &table_name(database, *table), actual)
        }
        Refusal::GroupGeneration { group, actual: 0 } => no_such_group(database.name(), group),
        Refusal::GroupGeneration { group, actual } => Problem::new(
            Kind::ExpectedPosition,
            format!("group {group} was deleted and made again: it has generation {actual}"),
        )
        .with("group", group.as_str())
        .with("generation", *actual),
        Refusal::PositionBeyondTail { table, bucket, offset, latest } => Problem::new(
            Kind::BeyondTail,
            format!(
                "table {}, bucket {bucket}: position {offset}, but the next row gets offset {latest}",
                table_name(database, *table)
            ),
        )
        .with("table", table_name(database, *table))
        .with("bucket", bucket.0)
        .with("latest", *latest)
        .with_outcome(Outcome::NotCommitted),
        Refusal::GroupsFull { limit, max } => Problem::new(
            Kind::TooLarge,
            match limit {
                GroupLimit::Groups => format!("a database has at most {max} groups: delete one first"),
                GroupLimit::Tables => format!("a group stands in at most {max} tables: use another group"),
                GroupLimit::Offsets => {
                    format!("the groups of a database store at most {max} offsets: delete a group first")
                }
            },
        )
        .with("limit", *max),
        other => Problem::internal(format!("not about a group: {other:?}")),
    }
}
