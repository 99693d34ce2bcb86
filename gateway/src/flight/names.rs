//! What a request is about: descriptors and tickets → a table and parameters, under HTTP's names.
//!
//! A descriptor is a PATH `["db","table"]` or `["table"]`, or a CMD with JSON; a ticket is JSON: `{"table":"db.table", …}`.

use arrow_flight::FlightDescriptor;
use arrow_flight::flight_descriptor::DescriptorType;
use frazil_log::id::Name;
use serde_json::{Map, Value};

use crate::error::Problem;
use crate::http::request::params::{Params, name};
use crate::service::DEFAULT_DATABASE;

/// The most bytes of a descriptor's or ticket's JSON.
const JSON_BYTES_MAX: usize = 1 << 20;

/// A table, and the other members of what named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) database: Name,
    pub(super) table: Name,
    pub(super) members: Map<String, Value>,
}

impl Asked {
    /// Reads a descriptor.
    pub(super) fn of_descriptor(descriptor: &FlightDescriptor) -> Result<Self, Problem> {
        match descriptor.r#type() {
            DescriptorType::Path => match &descriptor.path[..] {
                [table] => Self::new(DEFAULT_DATABASE, table, Map::new()),
                [database, table] => Self::new(database, table, Map::new()),
                path => Err(Problem::malformed(format!(
                    "a path of {} parts: write [\"db\",\"table\"] or [\"table\"]",
                    path.len()
                ))),
            },
            DescriptorType::Cmd => Self::of_json(&descriptor.cmd),
            DescriptorType::Unknown => {
                Err(Problem::malformed("no descriptor: name the table by path, or by a command in JSON"))
            }
        }
    }

    /// Reads a ticket, or a descriptor's command.
    pub(super) fn of_json(json: &[u8]) -> Result<Self, Problem> {
        Self::of_members(members(json)?)
    }

    /// Takes `table` (and `database`) out of an object's members.
    pub(super) fn of_members(mut members: Map<String, Value>) -> Result<Self, Problem> {
        let mut text = |name: &str| match members.shift_remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(Problem::malformed(format!("{name}: expected a name, found {other}"))),
        };
        let (table, database) = (text("table")?, text("database")?);
        if members.contains_key("sql") {
            return Err(Problem::unsupported("sql is not supported here in this version: name a table"));
        }
        let table = table.ok_or_else(|| Problem::malformed("which table? Write {\"table\":\"db.table\"}"))?;
        match (table.split_once('.'), database) {
            (None, database) => Self::new(database.as_deref().unwrap_or(DEFAULT_DATABASE), &table, members),
            (Some((named, table)), database) if database.as_deref().is_none_or(|given| given == named) => {
                Self::new(named, table, members)
            }
            (Some((named, _)), database) => Err(Problem::malformed(format!(
                "table names database {named}, database is {}",
                database.unwrap_or_default()
            ))),
        }
    }

    fn new(database: &str, table: &str, members: Map<String, Value>) -> Result<Self, Problem> {
        Ok(Self { database: name(database)?, table: name(table)?, members })
    }

    /// Takes a member that only Flight has.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.members.shift_remove(name)
    }

    /// The other members, as parameters.
    pub(super) fn params(&self) -> Result<Params, Problem> {
        Params::of_members(self.members.clone())
    }

    /// The ticket that asks for the same of one bucket.
    pub(super) fn ticket(&self, bucket: u32) -> String {
        let mut members = Map::new();
        members.insert("table".to_owned(), format!("{}.{}", self.database, self.table).into());
        members.extend(self.members.clone());
        members.insert("bucket".to_owned(), bucket.into());
        Value::Object(members).to_string()
    }
}

/// An object's members.
pub(super) fn members(json: &[u8]) -> Result<Map<String, Value>, Problem> {
    if json.len() > JSON_BYTES_MAX {
        return Err(Problem::malformed(format!("more than {JSON_BYTES_MAX} bytes of JSON")));
    }
    match serde_json::from_slice(json) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Problem::malformed("expected a JSON object, as in {\"table\":\"db.table\"}")),
        Err(error) => Err(Problem::malformed(format!("expected a JSON object: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(json: &str) -> Result<String, String> {
        let asked = Asked::of_json(json.as_bytes()).map_err(|problem| problem.detail().to_owned())?;
        Ok(format!("{} {} {}", asked.database, asked.table, Value::Object(asked.members)))
    }

    #[test]
    fn a_table_is_named_in_three_ways_and_the_rest_is_kept() {
        assert_eq!(asked(r#"{"table":"clicks"}"#).unwrap(), "default clicks {}");
        assert_eq!(asked(r#"{"table":"a.clicks","from":42}"#).unwrap(), r#"a clicks {"from":42}"#);
        assert_eq!(asked(r#"{"table":"clicks","database":"a"}"#).unwrap(), "a clicks {}");
        let path = FlightDescriptor::new_path(vec!["a".to_owned(), "clicks".to_owned()]);
        assert_eq!(Asked::of_descriptor(&path).unwrap(), Asked::of_json(br#"{"table":"a.clicks"}"#).unwrap());
    }

    #[test]
    fn what_names_no_table_is_refused_with_words() {
        for json in [
            "",
            "[]",
            "{}",
            "1",
            r#"{"table":1}"#,
            r#"{"table":"A"}"#,
            r#"{"table":"a.b.c"}"#,
            r#"{"table":"a.b","database":"c"}"#,
        ] {
            assert!(!asked(json).unwrap_err().is_empty(), "{json}");
        }
        assert!(asked(r#"{"sql":"SELECT 1"}"#).unwrap_err().contains("sql"));
        for path in [vec![], vec!["a"; 3]] {
            let descriptor = FlightDescriptor::new_path(path.into_iter().map(str::to_owned).collect());
            assert!(Asked::of_descriptor(&descriptor).is_err());
        }
    }

    #[test]
    fn a_ticket_of_a_bucket_keeps_the_members() {
        let asked = Asked::of_json(br#"{"table":"clicks","columns":["a,b","c"],"from":"0:42"}"#).unwrap();
        let ticket = asked.ticket(3);
        assert_eq!(ticket, r#"{"table":"default.clicks","columns":["a,b","c"],"from":"0:42","bucket":3}"#);
        assert_eq!(Asked::of_json(ticket.as_bytes()).unwrap().table, asked.table);
    }
}
