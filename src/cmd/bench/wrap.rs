//! A store with latency played before it.

use std::sync::Arc;

use clap::ValueEnum;
use frazil_log::store::Store;

use crate::bench::s3_like::S3Like;
use crate::store_args::open_or_create;

/// The seed of played latency.
pub(super) const SEED: u64 = 20_260_115;

/// Which latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Wrap {
    /// Log-normal latency, p50 30 ms, p99 200 ms
    S3Like,
    /// Besides: slow spells, a slow connection, bursts of 503
    S3LikeSlow,
}

/// Opens a store, behind played latency if that is wanted.
pub(super) fn open(url: &str, wrap: Option<Wrap>) -> anyhow::Result<Store> {
    let store = open_or_create(url)?;
    Ok(match wrap {
        None => store,
        Some(wrap) => store.wrapped(|inner| Arc::new(S3Like::new(inner, SEED, wrap == Wrap::S3LikeSlow))),
    })
}
