//! Prices: a table of ours with its date and source, and what a file says over it.

use std::path::Path;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A storage class whose prices are known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Class {
    /// S3 Standard, us-east-1
    Standard,
    /// S3 Express One Zone, us-east-1. For comparison: Frazil needs lists in order, which these buckets do not give
    ExpressOneZone,
}

/// Dollars.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Prices {
    /// Of what, as of when.
    pub(super) name: String,
    /// 1,000 PUTs.
    pub(super) put_per_1000: f64,
    /// 1,000 GETs and HEADs.
    pub(super) get_per_1000: f64,
    /// 1,000 LISTs.
    pub(super) list_per_1000: f64,
    /// A GiB stored for a month.
    pub(super) storage_gib_month: f64,
    /// A GiB uploaded.
    pub(super) upload_gib: f64,
    /// A GiB read.
    pub(super) retrieval_gib: f64,
    /// A GiB from one zone to another, both sides together.
    pub(super) cross_zone_gib: f64,
    /// A GiB of a broker's disk for a month.
    pub(super) disk_gib_month: f64,
}

/// A price file: what it names counts, the rest is the class's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PriceFile {
    name: Option<String>,
    put_per_1000: Option<f64>,
    get_per_1000: Option<f64>,
    list_per_1000: Option<f64>,
    storage_gib_month: Option<f64>,
    upload_gib: Option<f64>,
    retrieval_gib: Option<f64>,
    cross_zone_gib: Option<f64>,
    disk_gib_month: Option<f64>,
}

impl Class {
    /// Its prices (docs/operations.md, "frazil cost", names the sources).
    fn prices(self) -> Prices {
        let standard = Prices {
            name: "S3 Standard, us-east-1, as of 2026-11".to_owned(),
            put_per_1000: 0.005,
            get_per_1000: 0.0004,
            list_per_1000: 0.005,
            storage_gib_month: 0.023,
            upload_gib: 0.0,
            retrieval_gib: 0.0,
            cross_zone_gib: 0.02,
            disk_gib_month: 0.08,
        };
        match self {
            Self::Standard => standard,
            Self::ExpressOneZone => Prices {
                name: "S3 Express One Zone, us-east-1, as of 2026-11".to_owned(),
                put_per_1000: 0.001_13,
                get_per_1000: 0.000_03,
                list_per_1000: 0.001_13,
                storage_gib_month: 0.11,
                upload_gib: 0.0032,
                retrieval_gib: 0.0006,
                ..standard
            },
        }
    }
}

/// The prices of a class, with those of a file laid over them.
pub(super) fn prices(class: Class, file: Option<&Path>) -> anyhow::Result<Prices> {
    let base = class.prices();
    let Some(path) = file else { return Ok(base) };
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading --prices {}", path.display()))?;
    over(base, &text).with_context(|| format!("in --prices {}", path.display()))
}

fn over(base: Prices, text: &str) -> anyhow::Result<Prices> {
    let file: PriceFile = toml::from_str(text)?;
    let prices = Prices {
        name: file.name.unwrap_or_else(|| format!("{}, changed by a file", base.name)),
        put_per_1000: file.put_per_1000.unwrap_or(base.put_per_1000),
        get_per_1000: file.get_per_1000.unwrap_or(base.get_per_1000),
        list_per_1000: file.list_per_1000.unwrap_or(base.list_per_1000),
        storage_gib_month: file.storage_gib_month.unwrap_or(base.storage_gib_month),
        upload_gib: file.upload_gib.unwrap_or(base.upload_gib),
        retrieval_gib: file.retrieval_gib.unwrap_or(base.retrieval_gib),
        cross_zone_gib: file.cross_zone_gib.unwrap_or(base.cross_zone_gib),
        disk_gib_month: file.disk_gib_month.unwrap_or(base.disk_gib_month),
    };
    let all = [
        prices.put_per_1000,
        prices.get_per_1000,
        prices.list_per_1000,
        prices.storage_gib_month,
        prices.upload_gib,
        prices.retrieval_gib,
        prices.cross_zone_gib,
        prices.disk_gib_month,
    ];
    ensure!(all.iter().all(|price| price.is_finite() && *price >= 0.0), "a price is a number from 0 on");
    Ok(prices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_lies_over_the_class_and_knows_no_other_words() {
        let prices = over(Class::Standard.prices(), "name = \"ours\"\nput_per_1000 = 0.004").unwrap();
        assert_eq!((prices.name.as_str(), prices.put_per_1000, prices.get_per_1000), ("ours", 0.004, 0.0004));
        let error = over(Class::Standard.prices(), "putt_per_1000 = 1").unwrap_err();
        assert!(error.to_string().contains("putt_per_1000"), "{error}");
        assert!(over(Class::Standard.prices(), "put_per_1000 = -1").is_err());
    }
}
