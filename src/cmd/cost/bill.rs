//! From what is used in a month to dollars. PURE.

use serde::Serialize;

use super::prices::Prices;

/// Seconds of a month of 30 days.
pub(super) const MONTH_SECONDS: f64 = 30.0 * 86_400.0;

/// Bytes of the unit that storage is priced by.
pub(super) const GIB: f64 = (1u64 << 30) as f64;

/// What is used in a month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Usage {
    /// PUTs.
    pub(super) puts: f64,
    /// GETs and HEADs.
    pub(super) gets: f64,
    /// LISTs.
    pub(super) lists: f64,
    /// Bytes written.
    pub(super) bytes_put: f64,
    /// Bytes read.
    pub(super) bytes_got: f64,
    /// Bytes stored.
    pub(super) bytes_stored: f64,
}

impl Usage {
    /// The same so many times.
    pub(super) fn times(self, factor: f64) -> Self {
        Self {
            puts: self.puts * factor,
            gets: self.gets * factor,
            lists: self.lists * factor,
            bytes_put: self.bytes_put * factor,
            bytes_got: self.bytes_got * factor,
            bytes_stored: self.bytes_stored,
        }
    }
}

/// A line of a bill.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Line {
    /// For what.
    pub(super) what: String,
    /// How much of it in a month.
    pub(super) quantity: f64,
    /// Of what.
    pub(super) unit: &'static str,
    /// Dollars a month.
    pub(super) dollars: f64,
}

/// A bill.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Bill {
    /// By what.
    pub(super) lines: Vec<Line>,
    /// Dollars a month.
    pub(super) total: f64,
}

impl Bill {
    fn of(lines: Vec<Line>) -> Self {
        let lines: Vec<Line> = lines.into_iter().filter(|line| line.quantity > 0.0).collect();
        let total = lines.iter().map(|line| line.dollars).sum();
        Self { lines, total }
    }
}

fn requests(what: &str, count: f64, per_1000: f64) -> Line {
    Line { what: what.to_owned(), quantity: count, unit: "requests", dollars: count / 1_000.0 * per_1000 }
}

fn gib(what: &str, bytes: f64, price: f64) -> Line {
    Line { what: what.to_owned(), quantity: bytes / GIB, unit: "GiB", dollars: bytes / GIB * price }
}

/// What the store costs in a month.
pub(super) fn bill(usage: &Usage, prices: &Prices) -> Bill {
    let mut lines = vec![
        requests("PUT", usage.puts, prices.put_per_1000),
        requests("GET", usage.gets, prices.get_per_1000),
        requests("LIST", usage.lists, prices.list_per_1000),
        gib("stored", usage.bytes_stored, prices.storage_gib_month),
    ];
    // Where moving bytes is free, as in a region of S3 Standard, it is no line.
    if prices.upload_gib > 0.0 {
        lines.push(gib("uploaded", usage.bytes_put, prices.upload_gib));
    }
    if prices.retrieval_gib > 0.0 {
        lines.push(gib("read", usage.bytes_got, prices.retrieval_gib));
    }
    Bill::of(lines)
}

/// A load in words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Slot PUTs a second of each gateway.
    pub(super) puts_per_second: f64,
    /// Bytes of rows a second, of all gateways together.
    pub(super) bytes_per_second: f64,
    /// Gateways.
    pub(super) gateways: f64,
    /// How often all rows are read, as they come.
    pub(super) consumers: f64,
    /// For how long rows are kept.
    pub(super) retention_seconds: f64,
}

/// Rows of a flush up to this travel inside the commit; above it, in segments of this size at most.
const INLINE_BYTES: f64 = (8u64 << 20) as f64;

/// What a roll-up makes of them.
const SEGMENT_BYTES: f64 = (64u64 << 20) as f64;

/// Tail looks a second of a gateway with waiting readers, of rows that other gateways write.
const TAIL_LOOKS: f64 = 2.5;

/// Until trim, a day and more, rows are stored twice.
const TWICE_SECONDS: f64 = 86_400.0;

/// What such a load uses in a month: docs/operations.md, "What costs what", put together.
pub(super) fn usage_of(load: &Load) -> Usage {
    let slots = load.puts_per_second * load.gateways;
    let bytes_a_slot = if slots > 0.0 { load.bytes_per_second / slots } else { 0.0 };
    let segments =
        if bytes_a_slot > INLINE_BYTES { slots * (bytes_a_slot / INLINE_BYTES).ceil() } else { 0.0 };
    let rolled = load.bytes_per_second / SEGMENT_BYTES;
    let waits = load.consumers > 0.0 && load.gateways > 1.0;
    // Each commit is folded by the other gateways and the janitor, read once more for roll-up, and by consumers of other gateways.
    let folds = slots * load.gateways;
    let reads = slots * load.consumers.min(load.gateways - 1.0).max(0.0);
    let gets = folds + slots + reads + if waits { TAIL_LOOKS * load.gateways } else { 0.0 };
    let of_readers = load.bytes_per_second * load.consumers.min(load.gateways - 1.0).max(0.0);
    Usage {
        puts: slots + segments + rolled,
        gets,
        lists: 0.1,
        bytes_put: load.bytes_per_second * 2.0,
        bytes_got: load.bytes_per_second + of_readers,
        bytes_stored: 0.0,
    }
    .times(MONTH_SECONDS)
    .with_stored(load.bytes_per_second * (load.retention_seconds + TWICE_SECONDS))
}

impl Usage {
    /// The same with so many bytes stored.
    pub(super) fn with_stored(mut self, bytes: f64) -> Self {
        self.bytes_stored = bytes;
        self
    }
}

/// What Kafka would pay for the same: three replicas in three zones, clients in any of them. Machines are not counted.
pub(super) fn kafka(load: &Load, prices: &Prices) -> Bill {
    const REPLICAS: f64 = 3.0;
    let written = load.bytes_per_second * MONTH_SECONDS;
    // Two of three clients are in another zone than the leader that they speak to.
    let crosses = 2.0 / 3.0;
    Bill::of(vec![
        gib("replication across zones", written * (REPLICAS - 1.0), prices.cross_zone_gib),
        gib("producers across zones", written * crosses, prices.cross_zone_gib),
        gib("consumers across zones", written * crosses * load.consumers, prices.cross_zone_gib),
        gib(
            "disks, three copies",
            load.bytes_per_second * load.retention_seconds * REPLICAS,
            prices.disk_gib_month,
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::super::prices::{Class, prices};
    use super::*;

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 1e-6 * expected.abs().max(1.0)
    }

    fn standard() -> Prices {
        prices(Class::Standard, None).unwrap()
    }

    fn load() -> Load {
        Load {
            puts_per_second: 10.0,
            bytes_per_second: 1e6,
            gateways: 1.0,
            consumers: 0.0,
            retention_seconds: 7.0 * 86_400.0,
        }
    }

    #[test]
    fn writing_all_day_at_the_default_budget_is_130_dollars() {
        let usage = Usage { puts: 10.0 * MONTH_SECONDS, ..Usage::default() };
        let bill = bill(&usage, &standard());
        assert!(close(bill.total, 129.6), "{bill:?}");
        assert_eq!(bill.lines.len(), 1, "what is not used is no line");
    }

    #[test]
    fn each_line_is_its_quantity_times_its_price() {
        let usage =
            Usage { gets: 2e6, lists: 1e3, bytes_stored: 10.0 * GIB, bytes_put: GIB, ..Usage::default() };
        let total = 2e6 / 1e3 * 0.0004 + 0.005 + 0.23;
        assert!(close(bill(&usage, &standard()).total, total));
        let express = prices(Class::ExpressOneZone, None).unwrap();
        let total = 2e6 / 1e3 * 0.000_03 + 0.001_13 + 1.1 + 0.0032;
        assert!(close(bill(&usage, &express).total, total), "Express charges for uploads too");
    }

    #[test]
    fn more_of_anything_never_costs_less() {
        let total = |load: &Load| bill(&usage_of(load), &standard()).total;
        let base = total(&load());
        for more in [
            Load { puts_per_second: 20.0, ..load() },
            Load { bytes_per_second: 2e6, ..load() },
            Load { gateways: 3.0, ..load() },
            Load { retention_seconds: 30.0 * 86_400.0, ..load() },
        ] {
            assert!(total(&more) > base, "{more:?}");
        }
        let three = Load { gateways: 3.0, ..load() };
        assert!(total(&Load { consumers: 2.0, ..three }) > total(&three));
    }

    #[test]
    fn big_flushes_pay_for_segments() {
        let big = Load { puts_per_second: 1.0, bytes_per_second: 20e6, ..load() };
        let per_second = usage_of(&big).puts / MONTH_SECONDS;
        assert!(
            (4.0..4.5).contains(&per_second),
            "a commit, three segments of 8 MiB, a third of a rolled-up one: {per_second}"
        );
    }

    #[test]
    fn nothing_costs_next_to_nothing() {
        let idle = Load { puts_per_second: 0.0, bytes_per_second: 0.0, ..load() };
        assert!(bill(&usage_of(&idle), &standard()).total < 1.5, "the janitor's lists");
        assert!(close(kafka(&idle, &standard()).total, 0.0));
    }

    #[test]
    fn kafka_pays_for_each_crossing_and_each_copy() {
        let one = Load {
            consumers: 1.0,
            bytes_per_second: GIB / MONTH_SECONDS,
            retention_seconds: MONTH_SECONDS,
            ..load()
        };
        let bill = kafka(&one, &standard());
        assert!(close(bill.total, (2.0 + 2.0 / 3.0 + 2.0 / 3.0) * 0.02 + 3.0 * 0.08), "{bill:?}");
    }
}
