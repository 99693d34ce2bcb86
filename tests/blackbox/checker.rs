//! The checker itself: it must find each fault planted in a fake gateway, else its verdicts are worth nothing.

use std::process::Command;
use std::time::Duration;

use crate::support::process::Process;
use crate::support::repository;

#[tokio::test]
async fn the_checker_finds_each_planted_fault_and_passes_a_correct_gateway() {
    let mut command = Command::new("python3");
    command.arg(repository("tests/checker/check_test.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    let mut process = Process::start(&mut command);
    let code = process.wait(Duration::from_secs(300)).await;
    assert_eq!(code, Some(0), "{}", process.words());
}
