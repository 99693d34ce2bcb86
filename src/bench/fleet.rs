//! Fleets of 1, 3 and 10 gateways on one bucket at the same offered load: what they cost, and what happens when the leader is killed.
//!
//! Gateways are processes of this very binary; clients speak HTTP to them in turn, and go to the next one when an answer says `retry`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use frazil_log::store::Path;
use parking_lot::Mutex;
use reqwest::Client;
use serde::Serialize;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::latency::{Latencies, Summary};
use crate::store_args;

/// The table, made by the first row.
const ROWS: &str = "/v1/databases/default/tables/fleet/rows";

/// How long a request is tried, here and there.
const PATIENCE: Duration = Duration::from_secs(20);

/// The pause before the next gateway is tried.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// How long a process may take to begin, and to come to rest.
const START_MAX: Duration = Duration::from_secs(30);
const WARM_UP: Duration = Duration::from_secs(2);

/// Milliseconds of a tick of `/proc/PID/stat`.
const MS_A_TICK: u64 = 10;

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Where the stores of the fleets lay.
    pub(crate) store: String,
    /// Requests a second, over all gateways.
    pub(crate) rate: f64,
    /// One a fleet.
    pub(crate) runs: Vec<Run>,
}

/// One fleet.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    /// How many gateways.
    pub(crate) gateways: usize,
    /// Acknowledgements.
    pub(crate) ack: Summary,
    /// PUTs a second of all of them: slots, checkpoints and lost ones.
    pub(crate) puts_per_second: f64,
    /// Processor seconds a second of all of them.
    pub(crate) cpus: f64,
    /// Flushes that the leader took and wrote.
    pub(crate) handed_over: f64,
    /// Flushes that were offered to the leader, and written by who had offered them.
    pub(crate) handed_over_in_vain: f64,
    /// The longest pause between two acknowledgements after the leader was killed; none where nobody is left.
    pub(crate) leader_killed_pause_ms: Option<f64>,
    /// Requests that no gateway took, the leader's death included.
    pub(crate) failed: u64,
}

/// Measures fleets of these sizes below `store`, which must be a URL that processes can share.
pub(crate) async fn measure(
    store: &str,
    sizes: &[usize],
    run: Duration,
    rate: f64,
) -> anyhow::Result<Report> {
    let mut runs = Vec::new();
    for (index, size) in sizes.iter().enumerate() {
        let store = format!("{}/fleet-{}-{index}-{size}", store.trim_end_matches('/'), std::process::id());
        let measured = tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
            measured = measure_one(&store, *size, run, rate) => measured,
        };
        let removed = remove(&store).await.with_context(|| format!("removing what lies below {store}"));
        runs.push(measured?);
        removed?;
    }
    Ok(Report { store: store.to_owned(), rate, runs })
}

/// Everything that a fleet wrote; of a local store also the directories.
async fn remove(url: &str) -> anyhow::Result<()> {
    if let Some(directory) = store_args::directory(url) {
        return Ok(std::fs::remove_dir_all(directory)?);
    }
    Ok(super::remove_below(&store_args::open_or_create(url)?, &Path::default()).await?)
}

async fn measure_one(store: &str, size: usize, run: Duration, rate: f64) -> anyhow::Result<Run> {
    let mut fleet = Fleet::start(store, size).await?;
    let first = format!("{ROWS}?create=true");
    fleet.clients().send(0, &first, "[{\"id\":0}]").await.context("the first row")?;
    fleet.clients().load(WARM_UP, rate).await?;
    let (counts, cpu, began) = (fleet.counts().await?, fleet.cpu_seconds()?, Instant::now());
    let heard = fleet.clients().load(run, rate).await?;
    let seconds = began.elapsed().as_secs_f64();
    let (counts, cpu) = (fleet.counts().await? - counts, fleet.cpu_seconds()? - cpu);
    let ack = heard.summary()?;
    let (mut failed, mut pause) = (ack.failed, None);
    if size > 1 {
        let clients = fleet.clients();
        let load = tokio::spawn(async move { clients.load(Duration::from_secs(6), rate).await });
        sleep(Duration::from_secs(2)).await;
        let killed = Instant::now();
        fleet.kill_leader().await?;
        let heard = load.await??;
        failed += heard.summary()?.failed;
        pause = Some(heard.longest_pause_after(killed).as_secs_f64() * 1_000.0);
    }
    Ok(Run {
        gateways: size,
        ack,
        puts_per_second: counts.puts / seconds,
        cpus: cpu / seconds,
        handed_over: counts.handed_over,
        handed_over_in_vain: counts.handed_over_in_vain,
        leader_killed_pause_ms: pause,
        failed,
    })
}

/// What the gateways of a fleet counted together.
#[derive(Clone, Copy, Default)]
struct Counts {
    /// PUTs that were sent, whatever came of them.
    puts: f64,
    handed_over: f64,
    handed_over_in_vain: f64,
}

impl std::ops::Sub for Counts {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            puts: self.puts - before.puts,
            handed_over: self.handed_over - before.handed_over,
            handed_over_in_vain: self.handed_over_in_vain - before.handed_over_in_vain,
        }
    }
}

/// Processes of this binary; killed when dropped.
struct Fleet {
    http: Client,
    members: Vec<Member>,
}

struct Member {
    process: Child,
    url: String,
}

impl Drop for Member {
    fn drop(&mut self) {
        drop(self.process.kill()); // it may have ended
        drop(self.process.wait());
    }
}

impl Fleet {
    async fn start(store: &str, size: usize) -> anyhow::Result<Self> {
        let binary = std::env::current_exe().context("finding this binary")?;
        let mut members = Vec::new();
        for _ in 0..size {
            let mut process = Command::new(&binary)
                .args(["gateway", "--store", store, "--listen", "127.0.0.1:0"])
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .context("starting a gateway")?;
            let stdout = process.stdout.take().context("a gateway's output")?;
            let url = tokio::task::spawn_blocking(move || url_in(stdout));
            let url = tokio::time::timeout(START_MAX, url).await.context("a gateway does not begin")???;
            members.push(Member { process, url });
        }
        drop(rustls::crypto::ring::default_provider().install_default());
        let http =
            Client::builder().no_proxy().tls_certs_only(std::iter::empty()).timeout(PATIENCE).build()?;
        Ok(Self { http, members })
    }

    fn clients(&self) -> Clients {
        let urls = self.members.iter().map(|member| member.url.clone()).collect();
        Clients { http: self.http.clone(), urls, heard: Arc::default() }
    }

    async fn counts(&self) -> anyhow::Result<Counts> {
        let mut counts = Counts::default();
        for member in &self.members {
            let page = self.http.get(format!("{}/metrics", member.url)).send().await?.text().await?;
            for line in page.lines() {
                let value =
                    || line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).unwrap_or(0.0);
                if line.starts_with("frazil_store_requests_total") && line.contains("op=\"put\"") {
                    counts.puts += value();
                } else if line.starts_with("frazil_handed_over_total") && line.contains("\"folded\"") {
                    counts.handed_over += value();
                } else if line.starts_with("frazil_handed_over_total") {
                    counts.handed_over_in_vain += value();
                }
            }
        }
        Ok(counts)
    }

    fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let mut ticks = 0u64;
        for member in &self.members {
            let path = format!("/proc/{}/stat", member.process.id());
            let stat = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
            // Fields 14 and 15, counted from behind the name in parentheses.
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
            for field in [11, 12] {
                ticks += fields.get(field).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(0);
            }
        }
        Ok(Duration::from_millis(ticks * MS_A_TICK).as_secs_f64())
    }

    async fn kill_leader(&mut self) -> anyhow::Result<()> {
        let url = format!("{}/v1/cluster", self.members[0].url);
        let cluster: Value = self.http.get(url).send().await?.json().await?;
        let members = cluster["members"].as_array().context("the cluster has no members")?;
        let leads = |member: &&Value| member["leads"].as_array().is_some_and(|leads| !leads.is_empty());
        let leader = members.iter().find(leads).context("nobody leads")?;
        let address = leader["address"].as_str().context("the leader has no address")?;
        let member = self.members.iter_mut().find(|member| member.url.ends_with(address));
        member.context("the leader is not of this fleet")?.process.kill()?;
        Ok(())
    }
}

/// The first word of a gateway's output that is a URL.
fn url_in(stdout: std::process::ChildStdout) -> anyhow::Result<String> {
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next().transpose()? {
        if let Some(url) = line.split_whitespace().find(|word| word.starts_with("http://")) {
            // What it prints later must go somewhere.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(url.trim_end_matches('/').to_owned());
        }
    }
    anyhow::bail!("a gateway ended before its banner")
}

/// Clients of a fleet, and what they heard.
#[derive(Clone)]
struct Clients {
    http: Client,
    urls: Vec<String>,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Clone, Debug, Default)]
struct Heard {
    acks: Vec<(Instant, Duration)>,
    failed: u64,
}

impl Clients {
    /// An open loop: requests start at a fixed rate, each at the next gateway.
    async fn load(&self, time: Duration, rate: f64) -> anyhow::Result<Heard> {
        ensure!(rate > 0.0, "--rate must be above 0");
        let own = Self { heard: Arc::default(), ..self.clone() };
        let (began, mut tasks, mut n) = (Instant::now(), JoinSet::new(), 0usize);
        loop {
            let start = began + Duration::from_secs_f64(n as f64 / rate);
            if start >= began + time {
                break;
            }
            sleep_until(start).await;
            let clients = own.clone();
            tasks.spawn(async move {
                let sent = clients.send(n, ROWS, &format!("[{{\"id\":{n}}}]")).await;
                let now = Instant::now();
                let mut heard = clients.heard.lock();
                match sent {
                    Ok(()) => heard.acks.push((now, now - start)),
                    Err(_) => heard.failed += 1,
                }
            });
            n += 1;
        }
        while tasks.join_next().await.is_some() {}
        let heard = own.heard.lock().clone();
        Ok(heard)
    }

    /// Until one gateway takes it: the next one is asked after an answer that says `retry`, or none.
    async fn send(&self, n: usize, path: &str, body: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut at = n;
        loop {
            let url = format!("{}{path}", self.urls[at % self.urls.len()]);
            let sent =
                self.http.post(url).header("content-type", "application/json").body(body.to_owned()).send();
            let why = match sent.await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => {
                    let problem: Value = answer.json().await.unwrap_or_default();
                    ensure!(problem["retry"] != "never", "{problem}");
                    problem.to_string()
                }
                Err(error) => error.to_string(),
            };
            ensure!(Instant::now() < deadline, "no gateway took it: {why}");
            at += 1;
            sleep(RETRY_PAUSE).await;
        }
    }
}

impl Heard {
    fn summary(&self) -> anyhow::Result<Summary> {
        let mut latencies = Latencies::new()?;
        self.acks.iter().for_each(|(_, took)| latencies.add(Some(*took)));
        (0..self.failed).for_each(|_| latencies.add(None));
        Ok(latencies.summary())
    }

    fn longest_pause_after(&self, moment: Instant) -> Duration {
        let mut times: Vec<Instant> =
            self.acks.iter().map(|(at, _)| *at).filter(|at| *at >= moment).collect();
        times.sort_unstable();
        let starts = std::iter::once(moment).chain(times.iter().copied());
        starts.zip(&times).map(|(from, to)| to.saturating_duration_since(from)).max().unwrap_or(Duration::MAX)
    }
}
