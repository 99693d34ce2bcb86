//! DoAction: what is neither put nor got, JSON in and out, as over HTTP.

use arrow_flight::{Action, ActionType};
use serde_json::{Map, Value, json};

use super::Flight;
use super::get::no_params;
use super::names::{Asked, members};
use crate::app::Ensured;
use crate::error::{Kind, Problem};
use crate::http::tables::{table_json, table_spec};

/// The actions that there are, and what each takes.
pub(super) const ACTIONS: [(&str, &str); 3] = [
    (
        "table.create",
        r#"{"table":"db.t","columns":"id BIGINT, url STRING", …}: creates a table unless one like it is there"#,
    ),
    ("table.drop", r#"{"table":"db.t"}: drops a table"#),
    ("offsets", r#"{"table":"db.t"}: earliest and latest offset of each bucket, the tail confirmed"#),
];

/// Actions that are not there yet.
const PLANNED: [&str; 2] = ["table.alter", "groups.put"];

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
    if PLANNED.contains(&action.r#type.as_str()) {
        return Err(Problem::unsupported(format!(
            "action {} is not supported in this version",
            action.r#type
        )));
    }
    let asked = || Asked::of_members(members(&action.body)?);
    match action.r#type.as_str() {
        "table.create" => create(flight, asked()?).await,
        "table.drop" => {
            let asked = asked()?;
            no_params(asked.params()?)?;
            flight.app.drop_table(&asked.database, &asked.table).await?;
            Ok(json!({"dropped": true}))
        }
        "offsets" => {
            let asked = asked()?;
            no_params(asked.params()?)?;
            let buckets = flight.app.offsets(&asked.database, &asked.table).await?;
            Ok(json!({"buckets": buckets}))
        }
        other => {
            let known: Vec<&str> = ACTIONS.iter().map(|(name, _)| *name).collect();
            let known = known.join(", ");
            Err(Problem::unsupported(format!("action {other:?} is not known here; there are {known}")))
        }
    }
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
    let mut answer = Map::new();
    answer.insert("created".to_owned(), created.into());
    if let Value::Object(described) = table_json(&table) {
        answer.extend(described);
    }
    Ok(Value::Object(answer))
}
