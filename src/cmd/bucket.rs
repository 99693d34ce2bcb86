//! `frazil bucket`: sets a bucket up, and prints what IAM must allow.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Subcommand;
use frazil_log::store::{StoreOptions, s3_access};
use serde_json::{Value, json};

use crate::bucket::create::{self, Planned, Wanted, apply, look, plan};
use crate::bucket::judge::{Level, judge_lifecycle, without_credentials};
use crate::bucket::observe::{place, place_of};
use crate::bucket::policy::{Role, policy};
use crate::bucket::{BucketClient, FaultKind};
use crate::config;
use crate::output::{self, harmless, print_json};
use crate::store_args::{self, Output, OutputArgs};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a bucket, or put an existing one right; run again, it changes nothing
    #[command(after_help = "Examples:\n  frazil bucket create s3://bucket/prefix --dry-run\n  \
        frazil bucket create s3://bucket --kms-key arn:aws:kms:eu-west-1:123456789012:key/… --tag team=data\n\n\
        It blocks public access, sets default encryption, and adds a lifecycle rule that gives up unfinished uploads. Nothing that \
        is there is removed: other rules and tags stay, and so does a key that somebody chose. Versioning stays as it is; leave it off.")]
    Create(CreateArgs),
    /// Print the least that IAM must allow, as JSON to paste
    #[command(after_help = "Example: frazil bucket policy s3://bucket/prefix --role gateway > policy.json")]
    Policy(PolicyArgs),
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// The store: s3://bucket or s3://bucket/prefix
    #[arg(value_name = "URL")]
    url: String,
    /// Encrypt with this key of KMS (its ARN); S3's own if it is not given
    #[arg(long, value_name = "ARN")]
    kms_key: Option<String>,
    /// After how many days an unfinished multipart upload is given up
    #[arg(long, default_value_t = 7, value_name = "DAYS", value_parser = clap::value_parser!(i32).range(1..=3650))]
    abort_uploads_after: i32,
    /// A tag of the bucket; repeat for several
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_tag)]
    tags: Vec<(String, String)>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Args)]
struct PolicyArgs {
    /// The store: s3://bucket or s3://bucket/prefix
    #[arg(value_name = "URL")]
    url: String,
    /// Who is to be allowed
    #[arg(long, value_enum, default_value = "compactor", value_name = "ROLE")]
    role: Role,
    /// The key that encrypts the bucket (its ARN)
    #[arg(long, value_name = "ARN")]
    kms_key: Option<String>,
}

/// Runs.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::Create(args) => run_create(&args),
        Verb::Policy(args) => {
            let access = s3_access(&args.url, &options())?.with_context(|| only_s3(&args.url))?;
            let document = policy(&place_of(&access), args.role, args.kms_key.as_deref());
            print_json(&document)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn options() -> StoreOptions {
    StoreOptions { environment: config::environment(), ..StoreOptions::default() }
}

fn only_s3(url: &str) -> String {
    format!("{url:?} is no bucket of S3: name one as s3://bucket or s3://bucket/prefix")
}

fn parse_tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

/// What became of a setting.
struct Outcome {
    planned: Planned,
    state: &'static str,
    fault: Option<String>,
}

fn run_create(args: &CreateArgs) -> anyhow::Result<ExitCode> {
    let access = s3_access(&args.url, &options())?.with_context(|| only_s3(&args.url))?;
    let (outcomes, eaten) = store_args::block_on(async {
        let client = match BucketClient::new(access).await {
            Ok(client) => client,
            Err(error) => {
                let finding = without_credentials(&error.to_string());
                bail!("{}; {}", finding.says, finding.todo.unwrap_or_default());
            }
        };
        let current =
            Box::pin(look(&client)).await.map_err(|fault| create::error_of(&fault, "looking at the bucket"));
        let current = current.with_context(|| format!("next: frazil doctor {}", args.url))?;
        let wanted = Wanted {
            kms_key: args.kms_key.clone(),
            abort_uploads_days: args.abort_uploads_after,
            tags: args.tags.clone(),
        };
        let here = place(&client);
        // What would eat the log was there before, and is somebody's: it is said, not removed.
        let eaten: Vec<String> = current
            .iter()
            .flat_map(|current| judge_lifecycle(&here, &current.settings.lifecycle))
            .filter(|finding| finding.level == Level::Fail)
            .map(|finding| format!("{}; {}", finding.says, finding.todo.unwrap_or_default()))
            .collect();
        let mut outcomes = Vec::new();
        let mut planned = plan(&here, current.as_ref(), &wanted);
        if current.is_none() && !args.dry_run {
            let made = carry_out(&client, planned.remove(0), false).await;
            if let Some(fault) = &made.fault {
                bail!("the bucket could not be made: {fault}");
            }
            outcomes.push(made);
            // What a new bucket brings along, and which settings the store knows, shows only now.
            let current = Box::pin(look(&client))
                .await
                .map_err(|fault| create::error_of(&fault, "looking at the new bucket"))?;
            planned = plan(&here, current.as_ref(), &wanted).split_off(1);
        }
        for planned in planned {
            outcomes.push(carry_out(&client, planned, args.dry_run).await);
        }
        Ok((outcomes, eaten))
    })?;
    print(args, &outcomes, &eaten)?;
    let failed = outcomes.iter().any(|outcome| outcome.fault.is_some());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn carry_out(client: &BucketClient, planned: Planned, dry_run: bool) -> Outcome {
    let (state, fault) = match &planned.change {
        None => ("kept", None),
        Some(_) if dry_run => ("would", None),
        Some(change) => match apply(client, change).await {
            Ok(()) => ("done", None),
            Err(fault) if fault.kind == FaultKind::Unsupported => ("lacks", None),
            Err(fault) if fault.kind == FaultKind::NotUnderstood && client.access.endpoint.is_some() => {
                ("lacks", None)
            }
            Err(fault) => ("FAILED", Some(fault.words)),
        },
    };
    Outcome { planned, state, fault }
}

fn print(args: &CreateArgs, outcomes: &[Outcome], eaten: &[String]) -> anyhow::Result<()> {
    if args.output.output == Output::Json {
        let settings: Vec<Value> = outcomes
            .iter()
            .map(|outcome| {
                json!({
                    "setting": outcome.planned.setting, "state": outcome.state.to_lowercase(),
                    "says": outcome.planned.says, "fault": outcome.fault,
                })
            })
            .collect();
        print_json(
            &json!({"store": args.url, "dry_run": args.dry_run, "settings": settings, "dangers": eaten}),
        )?;
        return Ok(());
    }
    let mut text = String::new();
    for outcome in outcomes {
        let says = match (&outcome.fault, outcome.state) {
            (Some(fault), _) => format!("{}: {fault}", outcome.planned.says),
            (None, "lacks") => format!("{}: the store has no such setting", outcome.planned.says),
            _ => outcome.planned.says.clone(),
        };
        text.push_str(&format!("{:6}  {:13}  {}\n", outcome.state, outcome.planned.setting, harmless(&says)));
    }
    for danger in eaten {
        text.push_str(&format!("DANGER  lifecycle      {}\n", harmless(danger)));
    }
    let next =
        if args.dry_run { "nothing was changed; without --dry-run it is" } else { "next: frazil doctor" };
    text.push_str(&format!("{next} {}\n", if args.dry_run { "" } else { &args.url }).replace(" \n", "\n"));
    output::print(&text)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_a_key_and_may_have_an_empty_value() {
        assert_eq!(parse_tag("team=a=b"), Ok(("team".to_owned(), "a=b".to_owned())));
        assert_eq!(parse_tag("team="), Ok(("team".to_owned(), String::new())));
        assert!(parse_tag("team").is_err() && parse_tag("=x").is_err());
    }
}
