//! Three gateways and a janitor on one bucket, any of them killed at any time: `just crash-fleet 50`.
//!
//! Writers go through all gateways at once (see `tests/checker`); a victim is drawn, killed with -9, and started again after a pause that
//! is drawn too, so that at times several are dead together. `FRAZIL_CRASH_FLIGHT` and `_ATOMIC` are the numbers of writers by Flight and of
//! writes to two tables at once, `FRAZIL_CRASH_SEED` repeats the draws. With a binary of the feature `scaled-protocol` in `FRAZIL_BIN`,
//! and its variables set, checkpoints and trim happen under the kills too.

use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep, sleep_until};

use crate::support::checker::Checker;
use crate::support::frazil::{Frazil, Start, command};
use crate::support::process::Process;
use crate::support::store::Store;
use crate::support::{free_address, setting};

const COUNT_SHORT: u64 = 4;
pub(super) const GATEWAYS: usize = 3;

/// How long the checker may take once its writers have ended.
pub(super) const VERDICT_MAX: Duration = Duration::from_secs(300);

/// Between two kills, and until a victim is started again, in milliseconds.
const BETWEEN_MS: std::ops::Range<u64> = 200..1_800;
const DEAD_MS: std::ops::Range<u64> = 0..1_500;

/// A process that is alive, or will be.
pub(super) struct Member {
    pub(super) name: String,
    start: Start,
    process: Option<Process>,
    again: Instant,
}

impl Member {
    pub(super) fn new(name: String, start: Start) -> Self {
        let process = Some(start.process());
        Self { name, start, process, again: Instant::now() }
    }

    /// Kills it; how it had ended if it was dead of itself, which no process may be.
    fn kill(&mut self) -> Option<ExitStatus> {
        let mut process = self.process.take()?;
        let ended = process.ended();
        process.kill();
        ended
    }

    /// How it ended, which it may not.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.as_mut()?.ended()
    }

    fn start_if_due(&mut self) {
        if self.process.is_none() && Instant::now() >= self.again {
            self.process = Some(self.start.process());
        }
    }
}

/// All of them; a test that fails says what each wrote since it was started last.
pub(super) struct Fleet(pub(super) Vec<Member>);

impl Drop for Fleet {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for member in &mut self.0 {
            let ended = member.process.as_mut().and_then(Process::ended);
            let words = member.process.as_ref().map(Process::words).unwrap_or_default();
            println!("{}, ended: {ended:?}: {words}", member.name);
        }
    }
}

/// What a number in the environment says.
fn number(name: &str, otherwise: u64) -> u64 {
    setting(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// The numbers of a run: how many faults, and what they are drawn from.
pub(super) fn count_and_seed() -> (u64, u64) {
    let seed = number("FRAZIL_CRASH_SEED", rand::rng().random_range(0..1_000_000));
    (number("FRAZIL_CRASH_COUNT", COUNT_SHORT), seed)
}

/// Writers of all kinds through all gateways, for `seconds`.
pub(super) fn start_checker(urls: &[String], journal: &Path, seconds: u64) -> Checker {
    let counts = [
        ("--writers", number("FRAZIL_CRASH_WRITERS", 4)),
        ("--flight", number("FRAZIL_CRASH_FLIGHT", 1)),
        ("--atomic", number("FRAZIL_CRASH_ATOMIC", 1)),
    ];
    let counts = counts.map(|(name, count)| (name, count.to_string()));
    let mut arguments = vec!["--journal", path(journal), "--buckets", "3"];
    for (name, count) in &counts {
        if count != "0" {
            arguments.extend([name, count.as_str()]);
        }
    }
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    Checker::start(&urls, seconds, &arguments)
}

#[tokio::test]
async fn a_fleet_under_kill_9_loses_and_doubles_nothing() {
    let (count, seed) = count_and_seed();
    let store = Store::minio().await;
    // A first gateway makes the database, so that the compactor finds it at once.
    drop(Frazil::gateway(&store).await);
    let addresses: Vec<String> = (0..GATEWAYS).map(|_| free_address()).collect();
    let urls: Vec<String> = addresses.iter().map(|address| format!("http://{address}")).collect();
    let gateways = addresses.iter().enumerate().map(|(n, address)| {
        Member::new(format!("gateway {n}"), Start::new("gateway", &store).listen(address))
    });
    let mut fleet = Fleet(gateways.collect());
    fleet.0.push(Member::new("compactor".to_owned(), Start::new("compactor", &store)));

    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let journal = scratch.path().join("acks.jsonl");
    let mut checker = start_checker(&urls, &journal, 4 + count * 12 / 10);
    let kills = kill_at_random(&mut fleet.0, &mut checker, count, seed).await;
    println!("fleet: seed {seed}, kills {}", kills.join(", "));
    let acked = checker.verdict(VERDICT_MAX).await;
    check_afterwards(&store, &journal, acked).await;
    println!("fleet: {count} × kill -9, acked {acked} lost 0 doubled 0 gaps 0; verified");
}

/// Kills `count` times, starts again, and leaves all alive; how often each was killed.
async fn kill_at_random(fleet: &mut [Member], checker: &mut Checker, count: u64, seed: u64) -> Vec<String> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut killed = vec![0; fleet.len()];
    sleep(Duration::from_secs(1)).await;
    for n in 1..=count {
        let next = Instant::now() + Duration::from_millis(random.random_range(BETWEEN_MS));
        while Instant::now() < next {
            fleet.iter_mut().for_each(Member::start_if_due);
            sleep_until(next.min(Instant::now() + Duration::from_millis(20))).await;
        }
        assert!(checker.runs(), "the checker ended before kill {n}: {}", checker.words());
        let alive: Vec<usize> = (0..fleet.len()).filter(|at| fleet[*at].process.is_some()).collect();
        let drawn = random.random_range(0..fleet.len());
        let dead_for = Duration::from_millis(random.random_range(DEAD_MS));
        // All may be dead: then the one that was drawn comes back only to be killed.
        let victim = alive.get(drawn % alive.len().max(1)).copied().unwrap_or(drawn);
        let member = &mut fleet[victim];
        if member.process.is_none() {
            member.process = Some(member.start.process());
        }
        let words = member.process.as_ref().map(Process::words).unwrap_or_default();
        let ended = member.kill();
        assert!(ended.is_none(), "{} had ended by itself ({ended:?}, seed {seed}): {words}", member.name);
        killed[victim] += 1;
        member.again = Instant::now() + dead_for;
    }
    while fleet.iter().any(|member| member.process.is_none()) {
        fleet.iter_mut().for_each(Member::start_if_due);
        sleep(Duration::from_millis(20)).await;
    }
    fleet.iter().zip(killed).map(|(member, times)| format!("{} {times} ×", member.name)).collect()
}

/// A gateway that saw none of it shows the same rows, and every object is what was written.
pub(super) async fn check_afterwards(store: &Store, journal: &Path, acked: u64) {
    let later = Frazil::gateway(store).await;
    let seen = Checker::verify(&[later.url()], journal).verdict(Duration::from_secs(180)).await;
    assert_eq!(seen, acked, "a gateway started later shows the same rows");
    let verified = command(&["verify", "--deep", "--store", &store.url], store).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

fn path(journal: &Path) -> &str {
    journal.to_str().expect("the path is UTF-8")
}

/// Started processes are children of this one: a test that fails leaves none behind.
#[tokio::test]
async fn a_member_that_ended_by_itself_is_told_from_one_that_was_killed() {
    let member = |words: &[&str]| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        let start = Start::new("gateway", &Store::file());
        Member {
            name: words[0].to_owned(),
            start,
            process: Some(Process::start(&mut command)),
            again: Instant::now(),
        }
    };
    let (mut short, mut long) = (member(&["true"]), member(&["sleep", "60"]));
    sleep(Duration::from_millis(500)).await;
    assert!(short.kill().is_some_and(|status| status.success()));
    assert!(long.kill().is_none());
}
