//! `frazil table`: create, list, describe, alter, drop, restore.

mod describe;
mod like;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::client::{self, Client, ObjectArgs, TableName};
use crate::output::{Format, Listing, print_object};

/// Arguments of `frazil table`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  frazil table create clicks 'id BIGINT NOT NULL, url STRING'")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    common: ObjectArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create a table, unless one like it is there
    Create(Create),
    /// List the tables of a database
    List(List),
    /// Show a table's columns and options, and how far its buckets reach
    #[command(after_help = "Example:\n  frazil table describe clicks")]
    Describe {
        /// The table, or database.table
        name: TableName,
    },
    /// Change a table's columns or options
    Alter(Alter),
    /// Drop a table: its name is free at once
    #[command(after_help = "Example:\n  frazil table drop clicks")]
    Drop {
        /// The table, or database.table
        name: TableName,
    },
    /// Bring back a table dropped less than 24 hours ago
    #[command(after_help = "Example:\n  frazil table restore clicks")]
    Restore {
        /// The table, or database.table
        name: TableName,
        /// Which of several of the name, as `frazil table list --dropped` shows it; else the newest
        #[arg(long)]
        uuid: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    frazil table create clicks 'id BIGINT NOT NULL, url STRING, at TIMESTAMP(6) WITH TIME ZONE' --buckets 4 --bucket-by id\n  \
    frazil table create clicks --like clicks.ndjson")]
struct Create {
    /// The table, or database.table
    name: TableName,
    /// The columns as SQL: 'id BIGINT NOT NULL, url STRING'
    #[arg(required_unless_present = "like", conflicts_with = "like")]
    columns: Option<String>,
    /// How many buckets its rows are spread over (default 1)
    #[arg(long, value_name = "N")]
    buckets: Option<u32>,
    /// The columns that choose a row's bucket; without them, rows stay where they are cheapest to write
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    bucket_by: Vec<String>,
    /// A partition by an Iceberg transform, such as 'day(at)' or 'bucket(16, id)'; may be given several times
    #[arg(long, value_name = "TRANSFORM")]
    partition_by: Vec<String>,
    /// An option, such as retention=7d; may be given several times
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = pair)]
    options: Vec<(String, String)>,
    /// Take the columns from the first rows of a file (NDJSON, JSON or Arrow; - is standard input)
    #[arg(long, value_name = "FILE")]
    like: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  frazil table list shop -o json\n  frazil table list --dropped")]
struct List {
    /// The database
    #[arg(default_value = client::DATABASE_DEFAULT)]
    database: String,
    /// Only tables whose names begin with this
    #[arg(long, default_value = "")]
    prefix: String,
    /// Tables that were dropped and can be restored, instead
    #[arg(long)]
    dropped: bool,
}

/// All changes are made or none. They are made in the order of the flags below, whatever the order on the command line.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    frazil table alter clicks --add 'ref STRING' --rename at=seen --set retention=30d\n  \
    frazil table alter clicks --widen 'id BIGINT' --move 'ref after id' --if-schema 2")]
struct Alter {
    /// The table, or database.table
    name: TableName,
    /// Add a column: 'ref STRING'
    #[arg(long, value_name = "NAME TYPE", required_unless_present_any = ["rename", "widen", "drop", "moves", "set", "unset"])]
    add: Vec<String>,
    /// Rename a column: at=seen
    #[arg(long, value_name = "FROM=TO", value_parser = pair)]
    rename: Vec<(String, String)>,
    /// Give a column a wider type, INT to BIGINT, REAL to DOUBLE or more digits of a DECIMAL: 'id BIGINT'
    #[arg(long, value_name = "NAME TYPE")]
    widen: Vec<String>,
    /// Drop a column
    #[arg(long, value_name = "NAME")]
    drop: Vec<String>,
    /// Move a column: 'ref first', 'ref after id' or 'ref before id'
    #[arg(long = "move", value_name = "NAME WHERE", value_parser = place)]
    moves: Vec<Value>,
    /// Set an option: retention=30d
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Take an option back to its default: retention
    #[arg(long, value_name = "NAME")]
    unset: Vec<String>,
    /// Only if the table's schema is this one: the schema that `frazil table describe` shows
    #[arg(long, value_name = "NUMBER")]
    if_schema: Option<u32>,
}

/// Where a column is to stand, as the change that says so.
fn place(text: &str) -> Result<Value, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [column, "first"] => Ok(json!({"move": {"column": column, "first": true}})),
        [column, side @ ("after" | "before"), neighbour] => {
            Ok(json!({"move": {"column": column, *side: neighbour}}))
        }
        _ => Err("write it as 'ref first', 'ref after id' or 'ref before id'".to_owned()),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let split = text.split_once('=').filter(|(name, _)| !name.trim().is_empty());
    let (name, value) = split.ok_or_else(|| "write it as name=value".to_owned())?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Runs a verb of tables.
///
/// # Errors
/// What the gateway says, or that none answers.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    client::run_on(&args.common, async |client, format| {
        match args.verb {
            Verb::Create(create) => create_table(&client, format, create).await?,
            Verb::List(list) => list_tables(&client, format, &list).await?,
            Verb::Describe { name } => describe::run(&client, format, &name).await?,
            Verb::Alter(alter) => alter_table(&client, format, &alter).await?,
            Verb::Drop { name } => drop_table(&client, format, &name).await?,
            Verb::Restore { name, uuid } => restore_table(&client, format, &name, uuid).await?,
        }
        Ok(())
    })
}

async fn create_table(client: &Client, format: Format, create: Create) -> anyhow::Result<()> {
    let columns = match (create.columns, create.like) {
        (Some(columns), _) => columns,
        (None, Some(file)) => like::columns(&file).await?,
        (None, None) => anyhow::bail!("give the columns, or --like FILE"),
    };
    let mut body = Map::from_iter([("columns".to_owned(), json!(columns))]);
    if let Some(buckets) = create.buckets {
        body.insert("buckets".to_owned(), json!(buckets));
    }
    if !create.bucket_by.is_empty() {
        body.insert("bucket_by".to_owned(), json!(create.bucket_by));
    }
    if !create.partition_by.is_empty() {
        body.insert("partitioned_by".to_owned(), json!(create.partition_by));
    }
    if !create.options.is_empty() {
        let options: Map<String, Value> =
            create.options.into_iter().map(|(name, value)| (name, option_value(value))).collect();
        body.insert("options".to_owned(), Value::Object(options));
    }
    let request = client.request(Method::PUT, &create.name.path(&[])).json(&Value::Object(body));
    let answer = client.send(&request).await?;
    let document = answer.json()?;
    let columns = document["columns"].as_str().unwrap_or(&columns);
    let line = match answer.status {
        StatusCode::CREATED => format!("created {} ({columns})", create.name),
        _ => format!("{} ({columns}) is there already, and the same", create.name),
    };
    print_object(format, &document, &line)
}

/// Options are text, but for those that are true or false.
fn option_value(value: String) -> Value {
    match value.as_str() {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => Value::String(value),
    }
}

async fn list_tables(client: &Client, format: Format, list: &List) -> anyhow::Result<()> {
    let mut tables = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut request = client.request(Method::GET, &["v1", "databases", &list.database, "tables"]);
        if !list.prefix.is_empty() {
            request = request.query("prefix", &list.prefix);
        }
        if let Some(after) = &after {
            request = request.query("after", after);
        }
        if list.dropped {
            request = request.query("dropped", "true");
        }
        let page = client.json(&request).await?;
        tables.extend(page["tables"].as_array().into_iter().flatten().cloned());
        let next = page["next"].as_str().map(str::to_owned);
        // A gateway that does not move on must not be asked forever.
        if next.is_none() || next == after {
            break;
        }
        after = next;
    }
    if list.dropped {
        let members = ["name", "columns", "dropped", "kept_until", "uuid"];
        let mut listing = Listing::new(&["table", "columns", "dropped", "kept until", "uuid"]);
        for table in &tables {
            listing.push(members.map(|member| table[member].clone()).to_vec());
        }
        return listing.print(format, &json!({"tables": tables}));
    }
    let mut listing = Listing::new(&["table", "columns", "buckets", "bucket_by"]);
    for table in &tables {
        let bucket_by = table["bucket_by"].as_array().into_iter().flatten();
        let bucket_by: Vec<&str> = bucket_by.filter_map(Value::as_str).collect();
        let bucket_by = if bucket_by.is_empty() { Value::Null } else { json!(bucket_by.join(", ")) };
        let [name, columns, buckets] = ["name", "columns", "buckets"].map(|member| table[member].clone());
        listing.push(vec![name, columns, buckets, bucket_by]);
    }
    listing.print(format, &json!({"tables": tables}))
}

async fn alter_table(client: &Client, format: Format, alter: &Alter) -> anyhow::Result<()> {
    let mut changes = Vec::new();
    let split = |column: &str| {
        let (name, ty) = column.trim().split_once(char::is_whitespace).unwrap_or((column, ""));
        (name.to_owned(), ty.trim().to_owned())
    };
    changes.extend(alter.add.iter().map(|column| {
        let (name, ty) = split(column);
        json!({"add": {"name": name, "type": ty}})
    }));
    changes.extend(alter.rename.iter().map(|(from, to)| json!({"rename": {"from": from, "to": to}})));
    changes.extend(alter.widen.iter().map(|column| {
        let (name, ty) = split(column);
        json!({"widen": {"column": name, "type": ty}})
    }));
    changes.extend(alter.drop.iter().map(|name| json!({"drop": name})));
    changes.extend(alter.moves.iter().cloned());
    changes.extend(alter.set.iter().map(|(name, value)| json!({"set": {name: option_value(value.clone())}})));
    changes.extend(alter.unset.iter().map(|name| json!({"unset": name})));
    let mut request = client.request(Method::PATCH, &alter.name.path(&[])).json(&json!({"alter": changes}));
    if let Some(schema) = alter.if_schema {
        request = request.header("If-Match", &format!("\"{schema}\""));
    }
    let document = client.json(&request).await?;
    let columns = document["columns"].as_str().unwrap_or_default();
    print_object(format, &document, &format!("altered {} ({columns})", alter.name))
}

async fn drop_table(client: &Client, format: Format, name: &TableName) -> anyhow::Result<()> {
    client.send(&client.request(Method::DELETE, &name.path(&[]))).await?;
    print_object(format, &json!({"dropped": name.to_string()}), &format!("dropped {name}: the name is free"))
}

async fn restore_table(
    client: &Client,
    format: Format,
    name: &TableName,
    uuid: Option<String>,
) -> anyhow::Result<()> {
    let mut request = client.request(Method::POST, &name.path(&["restore"]));
    if let Some(uuid) = uuid {
        request = request.query("uuid", uuid);
    }
    let document = client.json(&request).await?;
    print_object(format, &document, &format!("restored {name}"))
}
