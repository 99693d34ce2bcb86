//! kill -9, again and again, under four writers: nothing that was acked is lost or doubled. `just crash file 20`, `just crash s3 20`.

mod corrupt;
mod exactly_once;
mod fleet;
mod partition;

use std::time::Duration;

use tokio::time::sleep;

use crate::support::checker::Checker;
use crate::support::frazil::{Frazil, Start};
use crate::support::setting;
use crate::support::store::Store;

const COUNT_SHORT: u64 = 3;

#[tokio::test]
async fn crash_file_loses_and_doubles_nothing() {
    let verdict = crash("file", &Store::file()).await;
    println!("{verdict}");
}

#[tokio::test]
async fn crash_s3_loses_and_doubles_nothing() {
    let verdict = crash("s3", &Store::minio().await).await;
    println!("{verdict}");
}

/// Kills and starts again as often as `FRAZIL_CRASH_COUNT` says; the checker's last line.
async fn crash(name: &str, store: &Store) -> String {
    let count = setting("FRAZIL_CRASH_COUNT")
        .map_or(COUNT_SHORT, |count| count.parse().expect("FRAZIL_CRASH_COUNT is a number"));
    let mut frazil = Frazil::dev(store).await;
    let (url, address) = (frazil.url().to_owned(), frazil.address().to_owned());
    let again = Start::new("dev", store).listen(&address);
    let mut checker = Checker::start(&[&url], 4 + 3 * count, &[]);
    for n in 1..=count {
        // Between 0.3 and 1.6 s, so that the kill meets a start, a full load and everything between.
        sleep(Duration::from_millis(300 + n * 377 % 1300)).await;
        assert!(checker.runs(), "the checker ended before kill {n}: {}", checker.words());
        frazil.kill();
        frazil = again.run().await;
        println!("{name}: kill -9 {n} of {count}, ready again in {:?}", frazil.started_in);
    }
    let rows = checker.verdict(Duration::from_secs(300)).await;
    format!("acked {rows} lost 0 doubled 0 gaps 0")
}
