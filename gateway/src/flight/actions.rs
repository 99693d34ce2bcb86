//! DoAction: what is neither put nor got, JSON in and out, as over HTTP.

use arrow_flight::{Action, ActionType};
use frazil_log::id::SchemaId;
use frazil_log::schema::evolution::AlterRequest;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Flight;
use super::names::{Asked, members};
use crate::app::{Alter, Ensured};
use crate::error::{Kind, Problem};
use crate::http::request::json::unreadable;
use crate::http::request::params::name;
use crate::http::tables::{table_json, table_spec};
use crate::http::{groups, offsets};
use crate::service::DEFAULT_DATABASE;

/// The actions that there are, and what each takes.
pub(super) const ACTIONS: [(&str, &str); 5] = [
    (
        "table.create",
        r#"{"table":"db.t","columns":"id BIGINT, url STRING", …}: creates a table unless one like it is there"#,
    ),
    (
        "table.alter",
        r#"{"table":"db.t","alter":[{"add":{"name":"ref","type":"STRING"}}, …]}: changes a table, only from "schema_id" if it is given"#,
    ),
    ("table.drop", r#"{"table":"db.t"}: drops a table"#),
    (
        "offsets",
        r#"{"table":"db.t","at":"-15m"}: earliest and latest offset of each bucket, the tail confirmed; with "at", the position there"#,
    ),
    (
        "groups.put",
        r#"{"group":"etl","positions":{"clicks":"0:43"},"expected":{"clicks":"0:40"}}: stores positions if those are stored, only into "if_generation" if it is given"#,
    ),
];

/// The list of actions.
pub(super) fn list() -> impl Iterator<Item = ActionType> {
    let action = |(name, description): (&str, &str)| ActionType {
        r#type: name.to_owned(),
        description: description.to_owned(),
    };
    ACTIONS.into_iter().map(action)
}

/// Does an action; the answer is one JSON object.
pub(super) async fn act(flight: &Flight, action: &Action) -> Result<Value, Problem> {
    let asked = || Asked::of_members(members(&action.body)?);
    match action.r#type.as_str() {
        "table.create" => create(flight, asked()?).await,
        "table.alter" => alter(flight, asked()?).await,
        "table.drop" => {
            let asked = asked()?;
            asked.params()?.finish()?;
            flight.app.drop_table(&asked.database, &asked.table).await?;
            Ok(json!({"dropped": true}))
        }
        "offsets" => {
            let asked = asked()?;
            offsets::tell(&*flight.app, &asked.database, &asked.table, asked.params()?).await
        }
        "groups.put" => store_group(flight, members(&action.body)?).await,
        other => {
            let known: Vec<&str> = ACTIONS.iter().map(|(name, _)| *name).collect();
            let known = known.join(", ");
            Err(Problem::unsupported(format!("action {other:?} is not known here; there are {known}")))
        }
    }
}

async fn store_group(flight: &Flight, mut members: Map<String, Value>) -> Result<Value, Problem> {
    let mut named = |member: &str| match members.shift_remove(member) {
        None => Ok(None),
        Some(Value::String(text)) => name(&text).map(Some),
        Some(other) => Err(Problem::malformed(format!("{member}: expected a name, found {other}"))),
    };
    let database = named("database")?.map_or_else(|| name(DEFAULT_DATABASE), Ok)?;
    let group = named("group")?;
    let group = group.ok_or_else(|| Problem::malformed("which group? Write {\"group\":\"etl\", …}"))?;
    let if_generation = match members.shift_remove("if_generation") {
        None => None,
        Some(generation) => {
            let generation = generation.as_u64();
            Some(generation.ok_or_else(|| Problem::malformed("if_generation: expected a whole number"))?)
        }
    };
    let body = groups::Body::deserialize(&Value::Object(members)).map_err(|error| unreadable(&error))?;
    let (created, group) = groups::put(&*flight.app, (database, group), if_generation, body).await?;
    Ok(with_created(created, groups::group_json(&group)))
}

async fn alter(flight: &Flight, mut asked: Asked) -> Result<Value, Problem> {
    let expected = match asked.take("schema_id") {
        None => None,
        Some(id) => {
            let id = id.as_u64().and_then(|id| SchemaId::try_from(id).ok());
            Some(vec![id.ok_or_else(|| Problem::malformed("schema_id: expected a whole number"))?])
        }
    };
    let AlterRequest { alter } =
        AlterRequest::deserialize(&Value::Object(asked.members)).map_err(|error| unreadable(&error))?;
    let altered =
        flight.app.alter_table(&asked.database, &asked.table, Alter { changes: alter, expected }).await?;
    Ok(table_json(&altered))
}

async fn create(flight: &Flight, asked: Asked) -> Result<Value, Problem> {
    let spec = table_spec(&Value::Object(asked.members))?;
    let (table, created) = match flight.app.ensure_table(&asked.database, &asked.table, spec).await? {
        Ensured::Created(table) => (table, true),
        Ensured::Same(table) => (table, false),
        Ensured::Different(difference) => {
            return Err(Problem::new(
                Kind::Exists,
                format!("table {} is there and differs: {difference}", asked.table),
            ));
        }
    };
    Ok(with_created(created, table_json(&table)))
}

/// What HTTP says by its status.
fn with_created(created: bool, described: Value) -> Value {
    let mut answer = Map::from_iter([("created".to_owned(), created.into())]);
    if let Value::Object(described) = described {
        answer.extend(described);
    }
    Value::Object(answer)
}
