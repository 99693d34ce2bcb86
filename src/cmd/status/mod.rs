//! `frazil status`: how a gateway and its store are doing, and what to look at first; [`top`] is the same over time.
//!
//! Start reading at [`look`], which asks; [`view`] turns the answers into one document, and that into words.

pub(crate) mod top;
mod view;

use std::process::ExitCode;

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::metrics::Metrics;
use crate::client::{self, Client, ObjectArgs};
use crate::output::print_object;

/// Arguments of `frazil status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  frazil status --url http://gateway-1:7777 -o json")]
pub(crate) struct Args {
    #[command(flatten)]
    common: ObjectArgs,
}

/// Asks and prints.
///
/// # Errors
/// If no gateway answers, or it does not let us in.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    client::run_on(&args.common, async |client, format| {
        let Look { state, cluster, metrics } = look(&client).await?;
        let document = view::document(client.shown_url(), state.as_deref(), &cluster, &metrics);
        print_object(format, &document, &view::for_people(&document))
    })
}

/// All that a gateway says of itself.
#[derive(Clone, Debug)]
struct Look {
    state: Option<String>,
    cluster: Value,
    metrics: Metrics,
}

/// Asks a gateway. One that drains or folds answers 503, and is shown all the same.
async fn look(client: &Client) -> anyhow::Result<Look> {
    let ready = client.send_any(&client.request(Method::GET, &["ready"])).await?;
    let state = ready.json().ok().and_then(|ready| ready["state"].as_str().map(str::to_owned));
    let cluster = client.json(&client.request(Method::GET, &["v1", "cluster"])).await;
    let cluster = match (cluster, &state) {
        (Ok(cluster), _) => cluster,
        // It is starting or stopping: what it has is shown.
        (Err(_), Some(_)) if !ready.status.is_success() => json!({}),
        (Err(failure), _) => return Err(failure.into()),
    };
    let scrape = client.send(&client.request(Method::GET, &["metrics"])).await?;
    let metrics = Metrics::parse(&String::from_utf8_lossy(&scrape.body));
    Ok(Look { state, cluster, metrics })
}
