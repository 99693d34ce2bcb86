//! Settings of a process: file < environment < flags; unknown keys refused; validated once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytesize::ByteSize;
use clap::ValueEnum;
use frazil_cache::SSD_BYTES_MIN;
use frazil_log::protocol::Protocol;
use serde::Deserialize;

use crate::node::budget::{Budget, Overrides};

/// What every process can be told. Each also as `FRAZIL_…` and in the file as `key = value`.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProcessArgs {
    /// Where the data lies: file:///path, a plain path, s3://bucket/prefix, memory://
    #[arg(long, env = "FRAZIL_STORE", value_name = "URL")]
    pub store: Option<String>,
    /// The address to listen on; port 0 picks a free one [default: 127.0.0.1:7777]
    #[arg(long, env = "FRAZIL_LISTEN", value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// The memory that buffers and caches may take in all [default: 1GiB]
    #[arg(long, env = "FRAZIL_MEMORY", value_name = "SIZE")]
    pub memory: Option<String>,
    /// A file of these settings, in TOML
    #[arg(long, env = "FRAZIL_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// How to write the log [default: text]
    #[arg(long, env = "FRAZIL_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// The token that requests must bear
    #[arg(long, env = "FRAZIL_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Listen beyond loopback without a token
    #[arg(long, env = "FRAZIL_INSECURE", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub insecure: Option<bool>,
    /// The store was moved here, not copied: trim and sweep its logs although they were made elsewhere
    #[arg(long, env = "FRAZIL_MOVED", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub moved: Option<bool>,
    /// Where other gateways reach this one [default: the address it listens on]
    #[arg(long, env = "FRAZIL_ADVERTISE", value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// The availability zone, told to others
    #[arg(long, env = "FRAZIL_ZONE", value_name = "ZONE")]
    pub zone: Option<String>,
    /// The longest body of a request [default: 16MiB, or half of bodies_bytes_max if that is less]
    #[arg(long, env = "FRAZIL_REQUEST_BYTES_MAX", value_name = "SIZE")]
    pub request_bytes_max: Option<String>,
    /// A flush is written when so many bytes wait [default: 64MiB]
    #[arg(long, env = "FRAZIL_FLUSH_BYTES_MAX", value_name = "SIZE")]
    pub flush_bytes_max: Option<String>,
    /// Rows of a flush up to so many bytes travel inside its commit [default: 8MiB]
    #[arg(long, env = "FRAZIL_INLINE_BYTES_MAX", value_name = "SIZE")]
    pub inline_bytes_max: Option<String>,
    /// Bytes of requests that may wait or be in flight, all databases together [default: 6/32 of --memory]
    #[arg(long, env = "FRAZIL_BUFFER_BYTES_MAX", value_name = "SIZE")]
    pub buffer_bytes_max: Option<String>,
    /// Bytes of request bodies that arrive [default: 4/32 of --memory]
    #[arg(long, env = "FRAZIL_BODIES_BYTES_MAX", value_name = "SIZE")]
    pub bodies_bytes_max: Option<String>,
    /// Bytes of decoded newest rows, kept for all who follow [default: 4/32 of --memory]
    #[arg(long, env = "FRAZIL_TAIL_BYTES_MAX", value_name = "SIZE")]
    pub tail_bytes_max: Option<String>,
    /// Bytes of rows being read and sent [default: 3/32 of --memory]
    #[arg(long, env = "FRAZIL_READS_BYTES_MAX", value_name = "SIZE")]
    pub reads_bytes_max: Option<String>,
    /// How long a request waits for its verdict [default: 25s]
    #[arg(long, env = "FRAZIL_REQUEST_DEADLINE", value_name = "DURATION")]
    pub request_deadline: Option<String>,
    /// Slot PUTs a second and database, on average: the cost limit [default: 10]
    #[arg(long, env = "FRAZIL_SLOT_PUTS_PER_SECOND", value_name = "N")]
    pub slot_puts_per_second: Option<f64>,
    /// Send PUTs that are late a second time: at most one request more in ten [default: true]
    #[arg(long, env = "FRAZIL_HEDGE", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub hedge: Option<bool>,
    /// A directory on a local SSD where what was read of the bucket is kept; without it, memory alone
    #[arg(long, env = "FRAZIL_CACHE_DIR", value_name = "DIRECTORY")]
    pub cache_dir: Option<PathBuf>,
    /// Bytes that the files in the cache's directory may take [default: 16GiB]
    #[arg(long, env = "FRAZIL_CACHE_BYTES", value_name = "SIZE")]
    pub cache_bytes: Option<String>,
    /// Memory for what was read of the bucket; 0 turns the cache off [default: 4/32 of --memory]
    #[arg(long, env = "FRAZIL_CACHE_MEMORY_BYTES", value_name = "SIZE")]
    pub cache_memory_bytes: Option<String>,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// Settings of a process, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The store's URL.
    pub store: String,
    /// Where to listen.
    pub listen: String,
    /// Whether that was asked for: a compactor opens a port only then.
    pub listen_asked: bool,
    /// All memory, and its shares.
    pub budget: Budget,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// The token that requests must bear.
    pub token: Option<String>,
    /// Whether to listen beyond loopback without a token.
    pub insecure: bool,
    /// Whether the store was moved here.
    pub moved: bool,
    /// Where others reach this process.
    pub advertise: Option<String>,
    /// Its zone.
    pub zone: String,
    /// The longest body of a request, in bytes.
    pub request_bytes_max: usize,
    /// See the flag.
    pub flush_bytes_max: u64,
    /// See the flag.
    pub inline_bytes_max: u64,
    /// See the flag.
    pub request_deadline: Duration,
    /// See the flag.
    pub slot_puts_per_second: f64,
    /// See the flag.
    pub hedge: bool,
    /// See the flag.
    pub cache_dir: Option<PathBuf>,
    /// See the flag.
    pub cache_bytes: usize,
    /// See the flag.
    pub cache_memory_bytes: usize,
}

/// The process's environment, once.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The protocol's numbers: the shipped ones.
#[cfg(not(feature = "scaled-protocol"))]
pub fn protocol() -> Protocol {
    Protocol::SHIPPED
}

/// Test only: ages divided, checkpoints closer; the same for every process and command on a store.
#[cfg(feature = "scaled-protocol")]
pub fn protocol() -> Protocol {
    let environment = environment();
    let number = |key: &str| environment.get(key).and_then(|text| text.parse::<u64>().ok());
    let divisor =
        number("FRAZIL_TEST_PROTOCOL_SCALE").and_then(|divisor| u32::try_from(divisor).ok()).unwrap_or(1);
    let slots = number("FRAZIL_TEST_CHECKPOINT_SLOTS").unwrap_or(Protocol::SHIPPED.fold.checkpoint_slots);
    Protocol::scaled(divisor.max(1), slots)
}

impl ProcessArgs {
    /// Lays flags and environment over the file, and checks the whole.
    pub fn settle(self, default_store: Option<&str>) -> anyhow::Result<Settings> {
        let file = match &self.config {
            Some(path) => read_file(path)?,
            None => Self::default(),
        };
        self.over(file).check(default_store)
    }

    fn over(self, file: Self) -> Self {
        Self {
            store: self.store.or(file.store),
            listen: self.listen.or(file.listen),
            memory: self.memory.or(file.memory),
            config: self.config,
            log_format: self.log_format.or(file.log_format),
            token: self.token.or(file.token),
            insecure: self.insecure.or(file.insecure),
            moved: self.moved.or(file.moved),
            advertise: self.advertise.or(file.advertise),
            zone: self.zone.or(file.zone),
            request_bytes_max: self.request_bytes_max.or(file.request_bytes_max),
            flush_bytes_max: self.flush_bytes_max.or(file.flush_bytes_max),
            inline_bytes_max: self.inline_bytes_max.or(file.inline_bytes_max),
            buffer_bytes_max: self.buffer_bytes_max.or(file.buffer_bytes_max),
            bodies_bytes_max: self.bodies_bytes_max.or(file.bodies_bytes_max),
            tail_bytes_max: self.tail_bytes_max.or(file.tail_bytes_max),
            reads_bytes_max: self.reads_bytes_max.or(file.reads_bytes_max),
            request_deadline: self.request_deadline.or(file.request_deadline),
            slot_puts_per_second: self.slot_puts_per_second.or(file.slot_puts_per_second),
            hedge: self.hedge.or(file.hedge),
            cache_dir: self.cache_dir.or(file.cache_dir),
            cache_bytes: self.cache_bytes.or(file.cache_bytes),
            cache_memory_bytes: self.cache_memory_bytes.or(file.cache_memory_bytes),
        }
    }

    fn check(self, default_store: Option<&str>) -> anyhow::Result<Settings> {
        let store = self.store.or_else(|| default_store.map(str::to_owned));
        let Some(store) = store else {
            bail!("--store is missing: name the bucket, as in --store s3://bucket/prefix")
        };
        let share = |key: &str, text: &Option<String>| {
            text.as_deref().map(|text| bytes(key, Some(text), 0)).transpose()
        };
        let named = Overrides {
            buffer: share("buffer_bytes_max", &self.buffer_bytes_max)?,
            bodies: share("bodies_bytes_max", &self.bodies_bytes_max)?,
            tail: share("tail_bytes_max", &self.tail_bytes_max)?,
            cache: share("cache_memory_bytes", &self.cache_memory_bytes)?,
            reads: share("reads_bytes_max", &self.reads_bytes_max)?,
        };
        let budget = Budget::split(bytes("memory", self.memory.as_deref(), 1 << 30)?, &named)?;
        let request_bytes_max = (16 << 20).min(budget.bodies / 2).min(budget.buffer);
        let cache_bytes = bytes("cache_bytes", self.cache_bytes.as_deref(), 16 << 30)?;
        let cache_memory_bytes = budget.cache;
        let settings = Settings {
            store,
            listen_asked: self.listen.is_some(),
            listen: self.listen.unwrap_or_else(|| "127.0.0.1:7777".to_owned()),
            budget,
            log_format: self.log_format.unwrap_or_default(),
            token: self.token.filter(|token| !token.is_empty()),
            insecure: self.insecure.unwrap_or(false),
            moved: self.moved.unwrap_or(false),
            advertise: self.advertise,
            zone: self.zone.unwrap_or_default(),
            request_bytes_max: usize::try_from(bytes(
                "request_bytes_max",
                self.request_bytes_max.as_deref(),
                request_bytes_max,
            )?)?,
            flush_bytes_max: bytes("flush_bytes_max", self.flush_bytes_max.as_deref(), 64 << 20)?,
            inline_bytes_max: bytes("inline_bytes_max", self.inline_bytes_max.as_deref(), 8 << 20)?,
            request_deadline: duration(
                "request_deadline",
                self.request_deadline.as_deref(),
                Duration::from_secs(25),
            )?,
            slot_puts_per_second: self.slot_puts_per_second.unwrap_or(10.0),
            hedge: self.hedge.unwrap_or(true),
            cache_dir: self.cache_dir,
            cache_bytes: usize::try_from(cache_bytes)?,
            cache_memory_bytes: usize::try_from(cache_memory_bytes)?,
        };
        settings.check_relations()?;
        Ok(settings)
    }
}

impl Settings {
    /// Every limit is checked against its neighbours.
    fn check_relations(&self) -> anyhow::Result<()> {
        let request = self.request_bytes_max as u64;
        ensure!(
            request <= self.budget.buffer,
            "request_bytes_max is {}, above buffer_bytes_max, which is {}: no such request could ever be taken",
            ByteSize(request),
            ByteSize(self.budget.buffer)
        );
        ensure!(
            request.saturating_mul(2) <= self.budget.bodies,
            "request_bytes_max is {}, above half of bodies_bytes_max, which is {}: such a body could never be unpacked",
            ByteSize(request),
            ByteSize(self.budget.bodies)
        );
        ensure!(
            self.cache_dir.is_none() || self.cache_bytes >= SSD_BYTES_MIN,
            "cache_bytes is {}, but a cache on an SSD needs at least {}",
            ByteSize(self.cache_bytes as u64),
            ByteSize(SSD_BYTES_MIN as u64)
        );
        ensure!(self.inline_bytes_max <= self.flush_bytes_max, "inline_bytes_max is above flush_bytes_max");
        ensure!(
            self.slot_puts_per_second.is_finite() && (0.1..=1000.0).contains(&self.slot_puts_per_second),
            "slot_puts_per_second is {}, but must be from 0.1 to 1000",
            self.slot_puts_per_second
        );
        Ok(())
    }

    /// Refuses to be open to a network without a token, unless told so.
    pub fn check_exposure(&self, address: SocketAddr) -> anyhow::Result<()> {
        if address.ip().is_loopback() || self.token.is_some() || self.insecure {
            return Ok(());
        }
        bail!(
            "--listen {} is reachable from other machines, and there is no token: set FRAZIL_TOKEN (or --token), or say --insecure",
            self.listen
        )
    }
}

fn read_file(path: &Path) -> anyhow::Result<ProcessArgs> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading --config {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("in --config {}", path.display()))
}

fn bytes(key: &str, text: Option<&str>, default: u64) -> anyhow::Result<u64> {
    let Some(text) = text else { return Ok(default) };
    let parsed: Result<ByteSize, _> = text.parse();
    match parsed {
        Ok(size) => Ok(size.as_u64()),
        Err(error) => bail!("{key} is {text:?}, expected a size such as 64MiB ({error})"),
    }
}

fn duration(key: &str, text: Option<&str>, default: Duration) -> anyhow::Result<Duration> {
    let Some(text) = text else { return Ok(default) };
    humantime::parse_duration(text)
        .with_context(|| format!("{key} is {text:?}, expected a duration such as 250ms or 25s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> ProcessArgs {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn flags_lie_over_the_file_and_units_are_human() {
        let flags = ProcessArgs { listen: Some("127.0.0.1:0".into()), ..ProcessArgs::default() };
        let file = file(
            "store = \"memory://\"\nlisten = \"127.0.0.1:9\"\nflush_bytes_max = \"32MiB\"\nrequest_deadline = \"2s\"\n",
        );
        let settings = flags.over(file).check(None).unwrap();
        assert_eq!((settings.store.as_str(), settings.listen.as_str()), ("memory://", "127.0.0.1:0"));
        assert_eq!((settings.flush_bytes_max, settings.request_deadline), (32 << 20, Duration::from_secs(2)));
    }

    #[test]
    fn unknown_keys_and_limits_that_contradict_are_refused() {
        assert!(toml::from_str::<ProcessArgs>("stor = \"x\"").unwrap_err().to_string().contains("stor"));
        let error =
            file("store = \"memory://\"\nrequest_bytes_max = \"2GiB\"").check(None).unwrap_err().to_string();
        assert!(error.contains("buffer_bytes_max"), "{error}");
        let error = file("store = \"memory://\"\nmemory = \"lots\"").check(None).unwrap_err().to_string();
        assert!(error.contains("such as 64MiB"), "{error}");
        assert!(ProcessArgs::default().check(None).unwrap_err().to_string().contains("--store"));
    }

    #[test]
    fn beyond_loopback_a_token_is_needed() {
        let mut settings = file("store = \"memory://\"").check(None).unwrap();
        let everywhere = "0.0.0.0:7777".parse().unwrap();
        assert!(settings.check_exposure("127.0.0.1:1".parse().unwrap()).is_ok());
        assert!(settings.check_exposure(everywhere).unwrap_err().to_string().contains("FRAZIL_TOKEN"));
        settings.token = Some("t".into());
        assert!(settings.check_exposure(everywhere).is_ok());
    }
}
