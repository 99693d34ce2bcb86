//! A real MinIO of one's own: on a free port, in a temporary directory that survives its restarts.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::http::Http;
use super::process::Process;
use super::{eventually, free_port, tool};

const USER: &str = "frazil-tests";
const PASSWORD: &str = "frazil-tests-secret";
const SCRIPT: &str = "tests/tools/minio.sh";
const START_MAX: Duration = Duration::from_secs(30);

/// The bucket that each server has.
pub(crate) const BUCKET: &str = "frazil";

/// The server; killed when dropped.
#[derive(Debug)]
pub(crate) struct Minio {
    directory: TempDir,
    port: u16,
    process: Option<Process>,
}

impl Minio {
    /// Starts a server and makes the bucket.
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mut minio = Self { directory, port: 0, process: None };
        for _ in 0..5 {
            minio.port = free_port();
            if minio.run().await {
                minio.make_bucket().await;
                return minio;
            }
        }
        panic!("MinIO found no free port in five attempts");
    }

    /// The endpoint, `http://127.0.0.1:port`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The address, `127.0.0.1:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What a client of this server needs in its environment; `endpoint` may be a proxy's.
    pub(crate) fn environment(&self, endpoint: &str) -> Vec<(String, String)> {
        self.environment_of(endpoint, USER, PASSWORD)
    }

    /// The same for another user.
    pub(crate) fn environment_of(&self, endpoint: &str, user: &str, password: &str) -> Vec<(String, String)> {
        let pairs = [
            ("AWS_ACCESS_KEY_ID", user),
            ("AWS_SECRET_ACCESS_KEY", password),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", endpoint),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// kill -9; the data stays.
    pub(crate) fn stop(&mut self) {
        self.process = None;
    }

    /// Starts again on the same port and data.
    pub(crate) async fn restart(&mut self) {
        self.stop();
        assert!(self.run().await, "MinIO did not start again on port {}", self.port);
    }

    /// SIGSTOP: connections are accepted by the kernel and never answered.
    pub(crate) fn freeze(&mut self) {
        self.process.as_mut().expect("the server runs").signal("STOP");
    }

    /// SIGCONT.
    pub(crate) fn thaw(&mut self) {
        self.process.as_mut().expect("the server runs").signal("CONT");
    }

    /// Whether the server of this process got ready; false if its port was taken.
    async fn run(&mut self) -> bool {
        let mut command = Command::new(tool("minio", "FRAZIL_MINIO", SCRIPT));
        command.arg("server").arg(self.directory.path()).args(["--address", &self.address(), "--quiet"]);
        command.env("MINIO_ROOT_USER", USER).env("MINIO_ROOT_PASSWORD", PASSWORD);
        command.env("MINIO_BROWSER", "off").env("MINIO_UPDATE", "off").env("HOME", self.directory.path());
        let mut process = Process::start(&mut command);
        let http = Http::new(&self.endpoint());
        let ready = eventually("MinIO is ready", START_MAX, async || {
            if process.ended().is_some() {
                return Ok(false);
            }
            match http.try_get("/minio/health/ready").await {
                Ok(answer) if answer.status == 200 => Ok(true),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        // A stranger may answer on the port: the server that counts is the one that runs here.
        let ready = ready && process.ended().is_none();
        self.process = ready.then_some(process);
        ready
    }

    /// The keys of all objects of the bucket that begin with `prefix`.
    pub(crate) async fn keys(&self, prefix: &str) -> Vec<String> {
        let listing = self.mc(&["find", &format!("tests/{BUCKET}/{prefix}")]).await;
        let bucket = format!("tests/{BUCKET}/");
        listing.lines().filter_map(|line| line.strip_prefix(&bucket)).map(str::to_owned).collect()
    }

    async fn make_bucket(&self) {
        self.mc(&["mb", &format!("tests/{BUCKET}")]).await;
    }

    /// Runs MinIO's client; what it printed.
    pub(crate) async fn mc(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(tool("mc", "FRAZIL_MC", SCRIPT));
        let host = format!("http://{USER}:{PASSWORD}@{}", self.address());
        command.env("MC_HOST_tests", host).env("HOME", self.directory.path()).arg("--quiet").args(arguments);
        let mut process = Process::start(&mut command);
        let code = process.wait(START_MAX).await;
        assert_eq!(code, Some(0), "{}", process.words());
        process.stdout.text()
    }
}
