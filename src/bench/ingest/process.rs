//! A gateway of this binary as a process of its own, and what it has spent.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::client::metrics::Metrics;

/// Clock ticks a second in `/proc/PID/stat`: Linux's `USER_HZ`, which is the same on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// How long a start may take.
const START_MAX: Duration = Duration::from_secs(30);

/// A running gateway; killed when dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    url: String,
    http: reqwest::Client,
}

/// What a process has spent since it began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    pub(crate) cpu_seconds: f64,
    pub(crate) put_bytes: u64,
    pub(crate) rss_bytes_max: u64,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).map(drop).unwrap_or_default();
    }
}

impl Gateway {
    /// Starts a gateway on a store, on a free port, and reads its address off its banner.
    pub(crate) async fn start(store: &str) -> anyhow::Result<Self> {
        // A TLS provider must be named before any HTTP client is made; another client of this process may have done so already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder().build()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["gateway", "--store", store, "--listen", "127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let child = command.spawn().context("starting a gateway")?;
        let mut gateway = Self { child, url: String::new(), http };
        let output = gateway.child.stdout.take().context("the gateway's output")?;
        let banner = tokio::task::spawn_blocking(move || {
            let mut output = BufReader::new(output);
            let mut line = String::new();
            output.read_line(&mut line).map(|_| (line, output))
        });
        let read = tokio::time::timeout(START_MAX, banner).await;
        let (line, output) = read.context("the gateway says nothing")???;
        drop(tokio::task::spawn_blocking(move || std::io::copy(&mut { output }, &mut std::io::sink())));
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        match url {
            Some(url) => url.clone_into(&mut gateway.url),
            None => bail!("the gateway did not start: {line:?}"),
        }
        Ok(gateway)
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A connection pool to it.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// What it has spent so far.
    pub(crate) async fn spent(&self) -> anyhow::Result<Spent> {
        let metrics = self.http.get(format!("{}/metrics", self.url)).send().await?.text().await?;
        let metrics = Metrics::parse(&metrics);
        let put = metrics
            .of("frazil_store_bytes_total")
            .find(|(labels, _)| labels.get("op").is_some_and(|op| op == "put"));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter")]
        let put_bytes = put.map_or(0, |(_, bytes)| bytes as u64);
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let rss = rss.and_then(|rss| rss.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        Ok(Spent {
            cpu_seconds: cpu(&format!("/proc/{}/stat", self.child.id()))?,
            put_bytes,
            rss_bytes_max: rss.context("no VmHWM in /proc/PID/status")? * 1024,
        })
    }
}

/// CPU seconds of this process.
pub(crate) fn own_cpu() -> anyhow::Result<f64> {
    cpu("/proc/self/stat")
}

fn cpu(path: &str) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(path).with_context(|| format!("{path}: this needs Linux"))?;
    cpu_of(&stat).with_context(|| format!("{path} is not understood"))
}

/// User and system time stand 12th and 13th behind the name, which stands in parentheses and may hold anything.
fn cpu_of(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_whatever_the_process_is_called() {
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 8 0 100 0 0";
        assert_eq!(cpu_of(stat), Some(2.0));
        assert!(own_cpu().unwrap() >= 0.0);
        assert_eq!(cpu_of("nonsense"), None);
    }
}
