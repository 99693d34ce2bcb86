//! `frazil database`: a database is a namespace with its own log.

use std::process::ExitCode;

use clap::Subcommand;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{self, Client, ObjectArgs};
use crate::output::{Format, Listing, print_object};

/// Arguments of `frazil database`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  frazil database create shop")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    common: ObjectArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create a database, unless it is there
    #[command(after_help = "Example:\n  frazil database create shop")]
    Create {
        /// Its name: lower-case letters, digits and _
        name: String,
    },
    /// List the databases
    #[command(after_help = "Example:\n  frazil database list -o json")]
    List,
    /// Show one database
    #[command(after_help = "Example:\n  frazil database describe shop")]
    Describe {
        /// Its name
        name: String,
    },
    /// Drop a database that has no tables
    #[command(after_help = "Example:\n  frazil database drop shop")]
    Drop {
        /// Its name
        name: String,
    },
}

/// Runs a verb of databases.
///
/// # Errors
/// What the gateway says, or that none answers.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    client::run_on(&args.common, async |client, format| {
        match args.verb {
            Verb::Create { name } => create(&client, format, &name).await?,
            Verb::List => list(&client, format).await?,
            Verb::Describe { name } => describe(&client, format, &name).await?,
            Verb::Drop { name } => drop_database(&client, format, &name).await?,
        }
        Ok(())
    })
}

async fn create(client: &Client, format: Format, name: &str) -> anyhow::Result<()> {
    let answer = client.send(&client.request(Method::PUT, &["v1", "databases", name])).await?;
    let line = match answer.status {
        StatusCode::CREATED => format!("created database {name}"),
        _ => format!("database {name} is there already"),
    };
    print_object(format, &answer.json()?, &line)
}

async fn list(client: &Client, format: Format) -> anyhow::Result<()> {
    let document = client.json(&client.request(Method::GET, &["v1", "databases"])).await?;
    let mut listing = Listing::new(&["database", "tables", "log"]);
    for database in document["databases"].as_array().into_iter().flatten() {
        listing.push(row(database));
    }
    listing.print(format, &document)
}

async fn describe(client: &Client, format: Format, name: &str) -> anyhow::Result<()> {
    let document = client.json(&client.request(Method::GET, &["v1", "databases", name])).await?;
    let mut listing = Listing::new(&["database", "tables", "log"]);
    listing.push(row(&document));
    listing.print(format, &document)
}

async fn drop_database(client: &Client, format: Format, name: &str) -> anyhow::Result<()> {
    client.send(&client.request(Method::DELETE, &["v1", "databases", name])).await?;
    print_object(format, &json!({"dropped": name}), &format!("dropped database {name}"))
}

fn row(database: &Value) -> Vec<Value> {
    ["name", "tables", "log_uuid"].map(|member| database[member].clone()).to_vec()
}
