//! The real binary: started on a store, its URL read from the banner, killed, drained, or run to its end.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use super::http::Http;
use super::process::Process;
use super::store::Store;
use super::{eventually, setting, tool};

const BANNER_MAX: Duration = Duration::from_secs(20);
const COMMAND_MAX: Duration = Duration::from_secs(120);

/// The binary under test: `FRAZIL_BIN`, else the one that this build made.
pub(crate) fn binary() -> PathBuf {
    setting("FRAZIL_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_frazil")), PathBuf::from)
}

/// The binary whose protocol ages `FRAZIL_TEST_PROTOCOL_SCALE` divides.
pub(crate) fn scaled_binary() -> PathBuf {
    tool("frazil-scaled", "FRAZIL_SCALED_BIN", "tests/tools/scaled-binary.sh")
}

/// A serving process.
#[derive(Debug)]
pub(crate) struct Frazil {
    process: Process,
    url: String,
    pub(crate) http: Http,
    pub(crate) started_in: Duration,
    _directory: Option<Arc<TempDir>>,
}

/// How a serving process is started.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    binary: PathBuf,
    verb: String,
    store_url: String,
    listen: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    directory: Option<Arc<TempDir>>,
}

/// What a command that ran to its end left.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Start {
    /// `frazil VERB --store …` on a free port.
    pub(crate) fn new(verb: &str, store: &Store) -> Self {
        Self {
            binary: binary(),
            verb: verb.to_owned(),
            store_url: store.url.clone(),
            listen: "127.0.0.1:0".to_owned(),
            arguments: Vec::new(),
            environment: store.environment.clone(),
            directory: store.directory.clone(),
        }
    }

    /// Another binary.
    pub(crate) fn binary(mut self, binary: PathBuf) -> Self {
        self.binary = binary;
        self
    }

    /// One more variable of the environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The address to listen on, such as that of a process that was killed.
    pub(crate) fn listen(mut self, address: &str) -> Self {
        address.clone_into(&mut self.listen);
        self
    }

    /// One more argument.
    pub(crate) fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg(&self.verb).args(["--store", &self.store_url]);
        if self.verb != "compactor" {
            command.args(["--listen", &self.listen]);
        }
        command.args(&self.arguments).envs(self.environment.iter().cloned());
        for variable in ["FRAZIL_STORE", "FRAZIL_LISTEN", "FRAZIL_TOKEN", "FRAZIL_CONFIG", "FRAZIL_URL"] {
            if !self.environment.iter().any(|(name, _)| name == variable) {
                command.env_remove(variable);
            }
        }
        command
    }

    /// Starts it without waiting: for a process that is expected to end, or that opens no port.
    pub(crate) fn process(&self) -> Process {
        Process::start(&mut self.command())
    }

    /// Starts it and waits for the banner and for `/ready`.
    pub(crate) async fn run(&self) -> Frazil {
        let since = Instant::now();
        let mut process = self.process();
        let url = eventually("the banner names a URL", BANNER_MAX, async || {
            assert!(process.ended().is_none(), "it ended before its banner: {}", process.words());
            url_in(&process.stdout.text()).ok_or_else(|| process.words())
        })
        .await;
        let http = Http::new(&url);
        eventually("/ready answers 200", BANNER_MAX, async || {
            assert!(process.ended().is_none(), "it ended before it was ready: {}", process.words());
            let answer = http.try_get("/ready").await?;
            if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}; {}", process.words())) }
        })
        .await;
        Frazil { process, url, http, started_in: since.elapsed(), _directory: self.directory.clone() }
    }
}

/// The first word that begins with `http://`.
fn url_in(banner: &str) -> Option<String> {
    banner
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .map(|word| word.trim_end_matches('/').to_owned())
}

impl Frazil {
    /// `frazil gateway` on a store.
    pub(crate) async fn gateway(store: &Store) -> Self {
        Start::new("gateway", store).run().await
    }

    /// `frazil dev` on a store: a gateway and a compactor in one process.
    pub(crate) async fn dev(store: &Store) -> Self {
        Start::new("dev", store).run().await
    }

    /// The base URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// `127.0.0.1:port`, to start another process in this one's place.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// What it holds of the machine's memory, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        self.process.resident_kib()
    }

    /// How much processor time it has used.
    pub(crate) fn cpu_time(&self) -> Duration {
        self.process.cpu_time()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// A signal by name.
    pub(crate) fn signal(&mut self, signal: &str) {
        self.process.signal(signal);
    }

    /// SIGTERM; the exit code and how long it took to end.
    pub(crate) async fn terminate(&mut self, within: Duration) -> (Option<i32>, Duration) {
        let since = Instant::now();
        self.process.signal("TERM");
        let code = self.process.wait(within).await;
        (code, since.elapsed())
    }

    /// Everything it wrote to its standard error.
    pub(crate) fn stderr(&self) -> String {
        self.process.stderr.text()
    }

    /// Everything it wrote to its standard output.
    pub(crate) fn stdout(&self) -> String {
        self.process.stdout.text()
    }

    /// The sum of a metric over those of its series whose labels contain `labels`.
    pub(crate) async fn metric(&self, name: &str, labels: &str) -> f64 {
        let page = self.http.get("/metrics").await;
        assert_eq!(page.status, 200, "{page:?}");
        let series = page.text.lines().filter(|line| line.starts_with(name) && line.contains(labels));
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

/// Runs `frazil ARGUMENTS` to its end.
pub(crate) async fn command(arguments: &[&str], store: &Store) -> Done {
    command_with(binary(), arguments, store, &[]).await
}

/// Runs another binary to its end, with variables of its own.
pub(crate) async fn command_with(
    binary: PathBuf,
    arguments: &[&str],
    store: &Store,
    environment: &[(&str, &str)],
) -> Done {
    let mut command = Command::new(binary);
    command.args(arguments).envs(store.environment.iter().cloned()).envs(environment.iter().copied());
    let mut process = Process::start(&mut command);
    let code = process.wait(COMMAND_MAX).await;
    Done { code, stdout: process.stdout.text(), stderr: process.stderr.text() }
}
