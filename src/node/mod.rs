//! How a process is put together: store, gateway, janitor, door; and how it goes down.
//!
//! Invariant: a process that was told to stop answers every request it took, leaves nothing half done that a restart would not
//! find, and ends in time.

pub mod budget;
mod shares;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use frazil_compactor::{Janitor, JanitorOptions};
use frazil_gateway::http;
use frazil_gateway::memory::Share;
use frazil_gateway::metrics::Metrics;
use frazil_gateway::peers::grpc::GrpcTransport;
use frazil_gateway::peers::transport::Transport;
use frazil_gateway::produce::accumulator::Limits;
use frazil_gateway::produce::ingress::IngressOptions;
use frazil_gateway::server;
use frazil_gateway::service::{Database, Gateway, Parts};
use frazil_log::commit::committer::{Committer, CommitterOptions, HedgeOptions};
use frazil_log::commit::replica::Replica;
use frazil_log::env::Env;
use frazil_log::format::commit::WriterInfo;
use frazil_log::id::Name;
use frazil_log::protocol::Protocol;
use frazil_log::store::{
    ClockVerdict, Metrics as StoreMetrics, PROBE_TIMEOUT, ProbeReport, Store, StoreOptions,
};
use frazil_log::{Error, ErrorKind};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::shares::Shares;
use crate::cache;
use crate::config::{self, Settings};

/// How long requests have to be answered once the process was told to stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(8);

/// How long the cache has to be written down then: what is not is read from the bucket again.
const CACHE_CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// What is common to every process.
pub struct Node {
    /// Its settings.
    pub settings: Settings,
    /// Its store.
    pub store: Store,
    /// Clock, chance, tasks.
    pub env: Env,
    /// The protocol's numbers.
    pub protocol: Protocol,
    registry: Registry,
}

impl Node {
    /// Opens the store and shows that it can carry a log.
    pub async fn open(settings: Settings) -> Result<Self, Error> {
        let store_metrics = StoreMetrics::default();
        let options = StoreOptions {
            environment: config::environment(),
            metrics: store_metrics.clone(),
            ..StoreOptions::default()
        };
        let store = Store::open(&settings.store, &options)?;
        let env = Env::system();
        let clock = env.clone();
        let report = store.probe(env.ulid(), &move || clock.now().wall, PROBE_TIMEOUT).await?;
        judge_clock(&report)?;
        let mut registry = Registry::default();
        store_metrics.register(&mut registry);
        Ok(Self { settings, store, env, protocol: config::protocol(), registry })
    }

    fn writer(&self, address: Option<SocketAddr>) -> WriterInfo {
        let address = self.settings.advertise.clone().or_else(|| address.map(|address| address.to_string()));
        WriterInfo {
            incarnation: self.env.ulid(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            address: address.unwrap_or_default(),
            zone: self.settings.zone.clone(),
            put_p99_us: 0,
        }
    }
}

/// Rule 13: a process whose clock is far from the store's does not write.
fn judge_clock(report: &ProbeReport) -> Result<(), Error> {
    let Some(skew) = report.skew else { return Ok(()) };
    match skew.verdict() {
        ClockVerdict::Good => {}
        ClockVerdict::Warn => {
            tracing::warn!(
                skew_ms = skew.ms,
                "this machine's clock differs from the store's: set it (NTP); from 60 s on nothing is written"
            );
        }
        ClockVerdict::StopWriting => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "this machine's clock differs from the store's by {} s: set it (NTP), then start again",
                    skew.ms / 1000
                ),
            ));
        }
    }
    Ok(())
}

/// A running gateway's address and store, for the banner.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its store, in words.
    pub store: String,
}

/// Runs a gateway, with a janitor in the same process if asked, until told to stop.
pub async fn gateway(
    node: Node,
    janitor: bool,
    banner: impl FnOnce(&Running, &Settings),
) -> anyhow::Result<ExitCode> {
    let listener = TcpListener::bind(&node.settings.listen).await;
    let listener = listener.with_context(|| format!("listening on {}", node.settings.listen))?;
    let address = listener.local_addr()?;
    node.settings.check_exposure(address)?;
    let writer = node.writer(Some(address));
    let Node { settings, store, env, protocol, mut registry } = node;
    let metrics = Metrics::default();
    metrics.register(&mut registry);
    let janitor_metrics = frazil_compactor::Metrics::default();
    janitor_metrics.register(&mut registry);
    let (shares, memory) = Shares::give_out(&settings.budget, &mut registry)?;
    let running = Running { address, store: store.description().to_owned() };
    let (store, cache) = cache::before(store, &settings, &mut registry).await;
    let gateway = Gateway::new(Parts {
        store,
        env: env.clone(),
        protocol,
        writer,
        ingress: IngressOptions {
            peers: Some(peers(&settings)?),
            ..ingress_options(&settings, shares.buffer.clone())
        },
        registry: Arc::new(registry),
        metrics,
        tail: shares.tail,
        reads: shares.reads,
        pages: shares.pages,
        memory,
    });
    let options = http::Options {
        token: settings.token.clone(),
        request_bytes_max: settings.request_bytes_max,
        bodies: shares.bodies,
        follows: shares.follows,
        request_deadline: settings.request_deadline,
        member: Some(Arc::new(gateway.clone())),
        ..http::Options::default()
    };
    let router = http::router(Arc::new(gateway.clone()), &env, options);
    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(server::serve(listener, router, until(stopped)));
    let database = match gateway.start().await {
        Ok(database) => database,
        Err(error) => return Ok(refuse(&settings.store, &error)),
    };
    if janitor {
        env.spawn(keep_tidy(gateway.clone(), database, janitor_options(&settings), janitor_metrics));
    }
    banner(&running, &settings);
    wait_for_signal().await?;
    tracing::info!("told to stop: answering what was taken");
    gateway.drain(DRAIN_LIMIT).await;
    stop.send_replace(true);
    // Followers never end by themselves: what is still open after a moment is cut.
    drop(tokio::time::timeout(Duration::from_millis(500), server).await);
    if let Some(cache) = cache {
        drop(tokio::time::timeout(CACHE_CLOSE_LIMIT, cache.close()).await);
    }
    Ok(ExitCode::SUCCESS)
}

/// The way to other gateways; they take the token that this one asks for.
fn peers(settings: &Settings) -> anyhow::Result<Arc<dyn Transport>> {
    let transport = GrpcTransport::new(settings.token.as_deref());
    Ok(Arc::new(transport.map_err(|error| anyhow::anyhow!("{error}"))?))
}

fn janitor_options(settings: &Settings) -> JanitorOptions {
    JanitorOptions { moved: settings.moved, ..JanitorOptions::default() }
}

fn ingress_options(settings: &Settings, buffer: Share) -> IngressOptions {
    IngressOptions {
        limits: Limits {
            flush_bytes_max: settings.flush_bytes_max,
            slot_puts_per_second: settings.slot_puts_per_second,
            slot_puts_burst: settings.slot_puts_per_second * 2.0,
        },
        inline_bytes_max: settings.inline_bytes_max,
        buffer,
        committer: CommitterOptions {
            hedge: HedgeOptions { enabled: settings.hedge, ..HedgeOptions::default() },
            ..CommitterOptions::default()
        },
        ..IngressOptions::default()
    }
}

/// The janitor of a process that also serves: it tidies what is open here, `default` from the start.
async fn keep_tidy(
    gateway: Gateway,
    first: Arc<Database>,
    options: JanitorOptions,
    metrics: frazil_compactor::Metrics,
) {
    let mut tidied: Vec<Name> = Vec::new();
    let mut waiting = vec![first];
    loop {
        for database in waiting.drain(..) {
            tidied.push(database.name().clone());
            let janitor =
                Janitor::new(database.ingress().committer().clone(), options.clone(), metrics.clone());
            drop(tokio::spawn(async move { janitor.run(true).await }));
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        waiting = gateway.opened().into_iter().filter(|open| !tidied.contains(open.name())).collect();
    }
}

/// Runs janitors for every database of a store until told to stop. If an address to listen on was given, it has the metrics.
pub async fn compactor(
    mut node: Node,
    banner: impl FnOnce(&str, Option<SocketAddr>),
) -> anyhow::Result<ExitCode> {
    let writer = node.writer(None);
    let metrics = frazil_compactor::Metrics::default();
    metrics.register(&mut node.registry);
    let address = serve_aside(&node.settings, std::mem::take(&mut node.registry)).await?;
    let options = janitor_options(&node.settings);
    let follow = follow_databases(
        node.store.clone(),
        node.env.clone(),
        node.protocol.clone(),
        writer,
        (options, metrics),
    );
    banner(node.store.description(), address);
    tokio::select! {
        biased;
        stopped = wait_for_signal() => stopped?,
        () = follow => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens the port of a process without doors, if one was asked for.
async fn serve_aside(settings: &Settings, registry: Registry) -> anyhow::Result<Option<SocketAddr>> {
    if !settings.listen_asked {
        return Ok(None);
    }
    let listener = TcpListener::bind(&settings.listen).await;
    let listener = listener.with_context(|| format!("listening on {}", settings.listen))?;
    let address = listener.local_addr()?;
    settings.check_exposure(address)?;
    let router = http::aside(Arc::new(registry), settings.token.clone());
    drop(tokio::spawn(server::serve(listener, router, std::future::pending())));
    Ok(Some(address))
}

/// How often a compactor looks for databases that are new.
const DATABASES_PAUSE: Duration = Duration::from_secs(60 * 60);

async fn follow_databases(
    store: Store,
    env: Env,
    protocol: Protocol,
    writer: WriterInfo,
    (options, metrics): (JanitorOptions, frazil_compactor::Metrics),
) {
    let mut tidied: Vec<Name> = Vec::new();
    loop {
        match store.list_databases().await {
            Ok(mut databases) => {
                databases.retain(|name| !tidied.contains(name));
                for database in databases {
                    if tidy(&store, &database, &env, &protocol, (&writer, &options, &metrics)).await {
                        tidied.push(database);
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "the databases cannot be listed; run `frazil status`, and look at the store");
            }
        }
        let pause = if tidied.is_empty() { Duration::from_secs(5) } else { DATABASES_PAUSE };
        tokio::time::sleep(pause).await;
    }
}

/// Starts the janitor of a database, if its log can be folded.
async fn tidy(
    store: &Store,
    database: &Name,
    env: &Env,
    protocol: &Protocol,
    (writer, options, metrics): (&WriterInfo, &JanitorOptions, &frazil_compactor::Metrics),
) -> bool {
    let opened = Replica::open(store.clone(), database.clone(), env.clone(), protocol.clone()).await;
    let replica = match opened {
        Ok(replica) => replica,
        Err(error) => {
            tracing::error!(%database, %error, "a database cannot be opened; run `frazil verify`");
            return false;
        }
    };
    let committer = Committer::new(replica, writer.clone(), CommitterOptions::default(), Arc::new(|_| {}));
    let janitor = Janitor::new(committer, options.clone(), metrics.clone());
    drop(tokio::spawn(async move { janitor.run(false).await }));
    true
}

async fn until(mut stopped: watch::Receiver<bool>) {
    drop(stopped.wait_for(|stopped| *stopped).await);
}

/// Ctrl-C or SIGTERM.
async fn wait_for_signal() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        biased;
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}

/// What a process that could not open its store says, and its exit code.
pub fn refuse(store: &str, error: &Error) -> ExitCode {
    let code = match error.kind() {
        ErrorKind::Unsupported | ErrorKind::Denied => 3,
        ErrorKind::Corrupt | ErrorKind::Diverged => 4,
        ErrorKind::Invalid => 2,
        _ => 1,
    };
    let next = if code == 4 { format!("verify --store {store}") } else { format!("doctor {store}") };
    tracing::error!(store, error = %error, "cannot start on this store; next: `frazil {next}`");
    ExitCode::from(code)
}
