//! Arrow Flight, with the client that people use: pyarrow.
//!
//! The scripts beside this file run against the real binary; `hostile.py` speaks of what must be refused, bounded or repeated.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::frazil::{Frazil, Start};
use crate::support::process::Process;
use crate::support::store::Store;
use crate::support::{repository, tool};

/// How long a script may take.
const SCRIPT_MAX: Duration = Duration::from_secs(120);

#[tokio::test]
async fn the_script_of_the_docs_puts_gets_follows_and_resumes() {
    let page = std::fs::read_to_string(repository("docs/guide/flight.md")).expect("the page is there");
    let script = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    let script = script.expect("the page has a script");
    assert!(script.lines().count() <= 25, "a script of about twenty lines");
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let path = scratch.path().join("twenty_lines.py");
    std::fs::write(&path, script).expect("the script can be written");
    let store = Store::file();
    let frazil = Frazil::gateway(&store).await;
    let said = run(&path, &[&grpc(&frazil)]).await;
    let durable: Vec<&str> = said.lines().filter(|line| line.starts_with("durable:")).collect();
    assert_eq!(durable.len(), 10, "{said}");
    assert_eq!(durable[9], "durable: [{'bucket': 0, 'start': 10000, 'end': 20000}]");
    assert!(said.contains("20000 rows of one column"), "{said}");
    assert!(said.contains("resumed at 0:20000 0"), "{said}");
}

#[tokio::test]
async fn what_a_hostile_or_careless_client_sends_is_refused_bounded_or_repeated() {
    let store = Store::file();
    let frazil = Frazil::gateway(&store).await;
    let said = run(&repository("tests/blackbox/flight/hostile.py"), &[&grpc(&frazil)]).await;
    assert!(said.ends_with("all as promised"), "{said}");
    assert_eq!(frazil.http.get("/health").await.status, 200);
}

#[tokio::test]
async fn without_the_token_nothing_is_answered() {
    let store = Store::file();
    let frazil = Start::new("gateway", &store).env("FRAZIL_TOKEN", "secret").run().await;
    let said = run(&repository("tests/blackbox/flight/with_token.py"), &[&grpc(&frazil)]).await;
    assert!(said.ends_with("all as promised"), "{said}");
}

fn grpc(frazil: &Frazil) -> String {
    format!("grpc://{}", frazil.address())
}

/// Runs a script to its end, which must be good; what it printed.
async fn run(script: &Path, arguments: &[&str]) -> String {
    let python = tool("python/bin/python", "FRAZIL_PYTHON", "tests/tools/python.sh");
    let mut command = Command::new(python);
    command.arg(script).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1").env_remove("FRAZIL_TOKEN");
    let mut process = Process::start(&mut command);
    let code = process.wait(SCRIPT_MAX).await;
    assert_eq!(code, Some(0), "{}", process.words());
    process.stdout.text()
}
