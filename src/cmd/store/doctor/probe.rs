//! The probe that each start of a process sends: create-if-absent one after the other and raced, reads, lists, clocks.

use frazil_log::env::Env;
use frazil_log::store::{ClockVerdict, PROBE_TIMEOUT, ProbeReport, Store};
use frazil_log::{Error, ErrorKind};

use crate::bucket::judge::Finding;

/// Sends it.
pub(super) async fn examine(store: &Store, env: &Env) -> Vec<Finding> {
    let clock = env.clone();
    // Unhurried: what a start would take for an outage is shown as slowness here.
    let timeout = PROBE_TIMEOUT * 4;
    match store.probe(env.ulid(), &move || clock.now().wall, timeout).await {
        Ok(report) => good(&report),
        Err(error) => vec![bad(&error)],
    }
}

fn good(report: &ProbeReport) -> Vec<Finding> {
    let mut findings = vec![Finding::ok(
        "conditional-put",
        "a second PUT If-None-Match: * is refused, one after the other and in a race of eight; the bytes are the winner's",
    )];
    let Some(skew) = report.skew else {
        findings.push(Finding::warn(
            "clock",
            "the store shows no time of writing, so clocks were not compared",
            "keep NTP on, on each machine",
        ));
        return findings;
    };
    let seconds = skew.ms.unsigned_abs() as f64 / 1_000.0;
    let side = if skew.ms < 0 { "behind" } else { "ahead of" };
    let says = format!("this machine is {seconds:.1} s {side} the store");
    const TODO: &str = "set this machine's clock: switch NTP on (chronyd, systemd-timesyncd)";
    findings.push(match skew.verdict() {
        ClockVerdict::Good if skew.ms == 0 => Finding::ok("clock", "no difference to the store's"),
        ClockVerdict::Good => Finding::ok("clock", says),
        ClockVerdict::Warn => {
            Finding::warn("clock", format!("{says}; from 60 s on nothing is written"), TODO)
        }
        ClockVerdict::StopWriting => {
            Finding::fail("clock", format!("{says}: a gateway refuses to start"), TODO)
        }
    });
    findings
}

fn bad(error: &Error) -> Finding {
    let words = error.to_string();
    match error.kind() {
        ErrorKind::Unsupported => Finding::fail(
            "conditional-put",
            words,
            "without it two gateways overwrite each other's commits: take a store, or a newer version of this one, that honours PUT If-None-Match: * (S3, MinIO, Ceph RGW from 20 on)",
        ),
        ErrorKind::Denied => Finding::fail(
            "probe",
            words,
            "allow what it names; `frazil bucket policy` prints all that is needed",
        ),
        ErrorKind::Invalid => Finding::fail("region", words, "set AWS_REGION to the bucket's region"),
        _ => Finding::fail(
            "probe",
            words,
            "run this again; if it stays, look at the store and at the network to it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use frazil_log::store::Skew;

    use super::*;
    use crate::bucket::judge::Level;

    fn levels(skew_ms: Option<i64>) -> Vec<Level> {
        let took = Duration::from_millis(1);
        let report = ProbeReport { skew: skew_ms.map(|ms| Skew { ms }), put: took, get: took, list: took };
        good(&report).iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn a_clock_is_judged_as_a_start_judges_it() {
        assert_eq!(levels(Some(0)), [Level::Ok, Level::Ok]);
        assert_eq!(levels(Some(-4_000)), [Level::Ok, Level::Ok]);
        assert_eq!(levels(Some(6_000)), [Level::Ok, Level::Warn]);
        assert_eq!(levels(Some(-61_000)), [Level::Ok, Level::Fail]);
        assert_eq!(levels(None), [Level::Ok, Level::Warn]);
    }

    #[test]
    fn each_kind_of_refusal_says_what_to_do() {
        for (kind, check) in [
            (ErrorKind::Unsupported, "conditional-put"),
            (ErrorKind::Denied, "probe"),
            (ErrorKind::Invalid, "region"),
            (ErrorKind::Unavailable, "probe"),
        ] {
            let finding = bad(&Error::new(kind, "x"));
            assert_eq!((finding.check.as_str(), finding.level), (check, Level::Fail));
            assert!(finding.todo.is_some());
        }
    }
}
