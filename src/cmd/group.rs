//! `frazil group`: where consumers stand, stored on the gateway's side.
//!
//! Nothing is stored by reading: `consume --group` begins at the stored position, and `group set` moves it once the rows are
//! done with. A program that writes what it made of the rows stores the position in the same request (`…/write`).

use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Subcommand;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::client::{self, Client, DATABASE_DEFAULT, ObjectArgs, Position, Request, TableName};
use crate::output::{Format, Listing, print_object};

/// Groups listed by one request.
const PAGE: u64 = 1_000;

/// Arguments of `frazil group`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    frazil group get etl\n  \
    frazil consume clicks --group etl -o ndjson > batch && frazil group set etl clicks 0:43 --expected 0:40")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    common: ObjectArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the groups of a database
    #[command(after_help = "Example:\n  frazil group list --prefix etl")]
    List {
        /// The database
        #[arg(long, value_name = "NAME", default_value = DATABASE_DEFAULT)]
        database: String,
        /// Only groups whose name begins with this
        #[arg(long, value_name = "TEXT", default_value = "")]
        prefix: String,
    },
    /// Show where a group stands, and how far behind that is
    #[command(after_help = "Example:\n  frazil group get etl -o json")]
    Get {
        /// The group, or database.group
        group: TableName,
    },
    /// Store where a group stands in a table
    #[command(after_help = "Examples:\n  \
        frazil group set etl clicks 0:43\n  \
        frazil group set etl clicks 0:43 --expected 0:40    # only if it stands there now\n  \
        frazil group set etl clicks 0:43 --expected none    # only if nothing is stored yet")]
    Set {
        /// The group, or database.group
        group: TableName,
        /// The table
        table: String,
        /// Where it stands: bucket:offset pairs, 0:43,1:17; buckets that are not named stay as they are
        position: String,
        /// What must be stored before: a position, or none
        #[arg(long, value_name = "POSITION")]
        expected: Option<String>,
    },
    /// Move a group to the beginning or the end of a table, or delete it
    #[command(after_help = "Examples:\n  \
        frazil group reset etl clicks --to earliest\n  \
        frazil group reset etl clicks --to 0:40\n  \
        frazil group reset etl --delete")]
    Reset {
        /// The group, or database.group
        group: TableName,
        /// The table
        #[arg(required_unless_present = "delete")]
        table: Option<String>,
        /// earliest, latest or a position (0:43,1:17)
        #[arg(long, value_name = "POSITION", required_unless_present = "delete", conflicts_with = "delete")]
        to: Option<String>,
        /// Delete the group with all that it stores
        #[arg(long, conflicts_with = "table")]
        delete: bool,
    },
}

/// Runs a verb of groups.
///
/// # Errors
/// What the gateway says, or that none answers.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    client::run_on(&args.common, async |client, format| {
        match args.verb {
            Verb::List { database, prefix } => list(&client, format, &database, &prefix).await?,
            Verb::Get { group } => get(&client, format, &group).await?,
            Verb::Set { group, table, position, expected } => {
                let expected = expected.map(|text| if text == "none" { Value::Null } else { text.into() });
                set(&client, format, &group, &table, &position, expected).await?;
            }
            Verb::Reset { group, table, to, delete: _ } => match (table, to) {
                (Some(table), Some(to)) => reset(&client, format, &group, &table, &to).await?,
                _ => delete(&client, format, &group).await?,
            },
        }
        Ok(())
    })
}

async fn list(client: &Client, format: Format, database: &str, prefix: &str) -> anyhow::Result<()> {
    let (mut groups, mut after) = (Vec::new(), None);
    loop {
        let mut request = client.request(Method::GET, &["v1", "databases", database, "groups"]);
        request = request.query("limit", PAGE.to_string()).query("prefix", prefix);
        if let Some(after) = &after {
            request = request.query("after", after);
        }
        let mut page = client.json(&request).await?;
        groups.extend(page["groups"].as_array_mut().map(std::mem::take).unwrap_or_default());
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    let mut listing = listing();
    groups.iter().for_each(|group| push(&mut listing, group));
    listing.print(format, &json!({"groups": groups}))
}

async fn get(client: &Client, format: Format, group: &TableName) -> anyhow::Result<()> {
    let document = client.json(&named(client, Method::GET, group)).await?;
    let mut listing = listing();
    push(&mut listing, &document);
    listing.print(format, &document)
}

async fn set(
    client: &Client,
    format: Format,
    group: &TableName,
    table: &str,
    position: &str,
    expected: Option<Value>,
) -> anyhow::Result<()> {
    let of_table = |value: Value| Value::Object(Map::from_iter([(table.to_owned(), value)]));
    let mut body = json!({"positions": of_table(position.into())});
    if let Some(expected) = expected {
        body["expected"] = of_table(expected);
    }
    let answer = client.send(&named(client, Method::PUT, group).json(&body)).await?;
    let made = if answer.status == StatusCode::CREATED { "made, and " } else { "" };
    let line = format!("group {} {made}stands at {position} in table {table}", group.table);
    print_object(format, &answer.json()?, &line)
}

async fn reset(
    client: &Client,
    format: Format,
    group: &TableName,
    table: &str,
    to: &str,
) -> anyhow::Result<()> {
    let member = match to {
        "earliest" | "latest" => to,
        position => return set(client, format, group, table, position, None).await,
    };
    let of = ["v1", "databases", &group.database, "tables", table, "offsets"];
    let offsets = client.json(&client.request(Method::GET, &of)).await?;
    let buckets = offsets["buckets"].as_array().context("the answer has no buckets: is this a gateway?")?;
    let offset =
        |bucket: &Value| Some((u32::try_from(bucket["bucket"].as_u64()?).ok()?, bucket[member].as_u64()?));
    let position: Option<_> = buckets.iter().map(offset).collect();
    let position = Position(position.context("the answer has a bucket without offsets")?);
    ensure!(!position.0.is_empty(), "table {table} has no buckets");
    set(client, format, group, table, &position.to_string(), None).await
}

async fn delete(client: &Client, format: Format, group: &TableName) -> anyhow::Result<()> {
    client.send(&named(client, Method::DELETE, group)).await?;
    print_object(format, &json!({"deleted": group.table}), &format!("deleted group {}", group.table))
}

fn named(client: &Client, method: Method, group: &TableName) -> Request {
    client.request(method, &["v1", "databases", &group.database, "groups", &group.table])
}

fn listing() -> Listing {
    Listing::new(&["group", "table", "position", "lag_rows", "lag_seconds", "stored"])
}

/// A row a table; a group that stands nowhere has one.
fn push(listing: &mut Listing, group: &Value) {
    let tables = group["positions"].as_object().into_iter().flatten();
    let mut rows: Vec<Vec<Value>> = tables
        .map(|(table, position)| {
            let lag = &group["lag"][table];
            vec![
                group["group"].clone(),
                table.as_str().into(),
                position.clone(),
                lag["rows"].clone(),
                lag["seconds"].clone(),
                group["stored"].clone(),
            ]
        })
        .collect();
    if rows.is_empty() {
        let nothing = Value::Null;
        rows.push(vec![
            group["group"].clone(),
            nothing.clone(),
            nothing.clone(),
            nothing.clone(),
            nothing,
            group["stored"].clone(),
        ]);
    }
    rows.into_iter().for_each(|row| listing.push(row));
}
