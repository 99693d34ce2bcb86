//! The logs in a store: which databases, how far, and whether they were made here.

use frazil_log::commit::open::checkpoints;
use frazil_log::id::Name;
use frazil_log::store::Store;
use serde::Serialize;

use crate::bucket::judge::Finding;
use crate::config;
use crate::stored_log::{CHECKPOINTS_MAX, begin_at, fold_while};

/// A database's log.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    /// The database.
    pub(super) database: Name,
    /// The slot after the last one that is there.
    pub(super) next: u64,
    /// Tables that are not dropped.
    pub(super) tables: usize,
    /// Checkpoints that are kept.
    pub(super) checkpoints: usize,
    /// Where the log was made.
    pub(super) home: String,
    /// Whether that is elsewhere.
    pub(super) moved: bool,
}

/// Reads each log as a start does.
pub(super) async fn examine(store: &Store) -> (Vec<Finding>, Vec<Summary>) {
    let databases = match store.list_databases().await {
        Ok(databases) => databases,
        Err(error) => {
            let todo = "run this again; the line above says what is wrong with listing";
            return (
                vec![Finding::fail("log", format!("the databases cannot be listed: {error}"), todo)],
                Vec::new(),
            );
        }
    };
    let (mut findings, mut summaries) = (Vec::new(), Vec::new());
    if databases.is_empty() {
        findings.push(Finding::ok("log", "none yet: the first start of a gateway makes one"));
    }
    for database in databases {
        match read(store, &database).await {
            Ok(summary) => {
                findings.push(judge(&summary, store.description()));
                summaries.push(summary);
            }
            Err(error) => findings.push(Finding::fail(
                "log",
                format!("{database} cannot be read: {error:#}"),
                format!("frazil verify --store {} --database {database}", where_it_lies(store)),
            )),
        }
    }
    (findings, summaries)
}

async fn read(store: &Store, database: &Name) -> anyhow::Result<Summary> {
    let begun = begin_at(store, database, u64::MAX, &config::protocol().fold).await?;
    let mut fold = begun.fold;
    fold_while(store, database, &mut fold, |_| true).await?;
    let kept = checkpoints(store, database, CHECKPOINTS_MAX).await?;
    let home = fold.state.identity().home.clone();
    let here = store.home().unwrap_or_default();
    Ok(Summary {
        database: database.clone(),
        next: fold.state.next(),
        tables: fold.state.tables().all().filter(|table| table.dropped.is_none()).count(),
        checkpoints: kept.len(),
        moved: home != here,
        home,
    })
}

/// What to think of a log that can be read. PURE.
fn judge(summary: &Summary, here: &str) -> Finding {
    let Summary { database, next, tables, checkpoints, home, moved } = summary;
    let says = format!("{database}: {next} slots, {tables} tables, {checkpoints} checkpoints");
    if *moved {
        Finding::warn(
            "log",
            format!("{says}; made at {home:?}, which is not {here}"),
            "if it was moved, and nothing runs on the original: start the compactor with --moved. If it is a copy: leave that off, and nothing is trimmed here",
        )
    } else {
        Finding::ok("log", says)
    }
}

fn where_it_lies(store: &Store) -> String {
    store.home().unwrap_or_else(|| store.description().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::judge::Level;

    #[test]
    fn a_log_that_was_made_elsewhere_is_warned_of() {
        let mut summary = Summary {
            database: Name::new("default").unwrap(),
            next: 7,
            tables: 1,
            checkpoints: 0,
            home: "s3://b/old".to_owned(),
            moved: true,
        };
        let finding = judge(&summary, "s3://b/new");
        assert_eq!(finding.level, Level::Warn);
        assert!(finding.says.contains("s3://b/old") && finding.todo.unwrap().contains("--moved"));
        summary.moved = false;
        assert_eq!(judge(&summary, "s3://b/old").level, Level::Ok);
    }
}
