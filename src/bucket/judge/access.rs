//! Whether anything answers: name, connection, certificate, region, credentials, bucket.

use super::Finding;
use crate::bucket::facts::{Facts, Place};
use crate::bucket::{Fault, FaultKind};

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let place = &facts.place;
    let Err(fault) = &facts.list else { return good(facts) };
    let (words, place_url) = (&fault.words, url(place));
    let at = place.endpoint.as_deref().unwrap_or("S3");
    let finding = match &fault.kind {
        // Whoever is denied has been reached and recognised.
        FaultKind::Denied => return good(facts),
        FaultKind::Dns | FaultKind::Connect | FaultKind::TimedOut | FaultKind::Tls => {
            unreachable(place, at, fault)
        }
        FaultKind::WrongRegion(region) => elsewhere(place, region.as_deref(), words),
        FaultKind::Expired | FaultKind::WrongKey => unrecognised(fault),
        FaultKind::NoSuchBucket | FaultKind::Absent => Finding::fail(
            "bucket",
            format!("there is no bucket {} at {at}", place.bucket),
            format!("correct the name, or make it: frazil bucket create {place_url}"),
        ),
        FaultKind::ClockSkewed => Finding::fail(
            "clock",
            format!("the store refuses this machine's clock: {words}"),
            "set it: switch NTP on (chronyd, systemd-timesyncd)",
        ),
        FaultKind::Throttled => Finding::fail(
            "bucket",
            format!("the store refuses even one LIST as too much: {words}"),
            "wait a minute and run this again; look at who else uses the bucket",
        ),
        _ => Finding::fail(
            "bucket",
            format!("a LIST of {place_url} failed: {words}"),
            "is the bucket's name right, and does what answers there speak S3? Look at the store's own log",
        ),
    };
    vec![finding]
}

fn unreachable(place: &Place, at: &str, fault: &Fault) -> Finding {
    let words = &fault.words;
    let (says, todo) = match (&fault.kind, &place.endpoint) {
        (FaultKind::Dns, Some(_)) => (
            format!("{at} has no address: {words}"),
            "correct AWS_ENDPOINT_URL, or look at this machine's DNS".to_owned(),
        ),
        (FaultKind::Dns, None) => (
            format!("{at} has no address: {words}"),
            format!(
                "is {} a region? Correct AWS_REGION; else look at this machine's DNS and its way to S3",
                place.region
            ),
        ),
        (FaultKind::Tls, _) => (
            format!("no trusted TLS connection to {at}: {words}"),
            "write http:// if the endpoint speaks no TLS; else give the authority that signed its certificate to this machine (SSL_CERT_FILE), or correct the host's name".to_owned(),
        ),
        (FaultKind::TimedOut, _) => (
            format!("{at} did not answer in time: {words}"),
            "look at the network between here and there: a missing S3 gateway endpoint, a security group and a proxy look like this".to_owned(),
        ),
        _ => (
            format!("nothing answers at {at}: {words}"),
            "is it running, and are host and port of AWS_ENDPOINT_URL right? On AWS: does the subnet have a route to S3 (a gateway endpoint or NAT), and do security groups allow it?".to_owned(),
        ),
    };
    Finding::fail("endpoint", says, todo)
}

fn elsewhere(place: &Place, region: Option<&str>, words: &str) -> Finding {
    let (says, todo) = match region {
        Some(region) => (
            format!("the bucket is in {region}, and requests are signed for {}", place.region),
            format!("export AWS_REGION={region}"),
        ),
        None => (
            format!("the bucket is not in {}: {words}", place.region),
            format!(
                "find it with `aws s3api get-bucket-location --bucket {}` and set AWS_REGION",
                place.bucket
            ),
        ),
    };
    Finding::fail("region", says, todo)
}

fn unrecognised(fault: &Fault) -> Finding {
    let words = &fault.words;
    let (says, todo) = match fault.kind {
        FaultKind::Expired => (
            format!("the session has ended: {words}"),
            "get new credentials (`aws sso login`, or assume the role again) and export all three: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN. Better: let the instance, task or pod have a role",
        ),
        _ => (
            format!("the store does not know these credentials: {words}"),
            "are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY those of this store, and without blanks? A session also needs AWS_SESSION_TOKEN; an old one left over from another session reads like this too",
        ),
    };
    Finding::fail("credentials", says, todo)
}

/// What credentials that are missing look like: no request was sent at all.
pub(crate) fn without_credentials(words: &str) -> Finding {
    Finding::fail(
        "credentials",
        format!("there are none: {words}"),
        "export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), or run where a role is: instance, ECS task, EKS service account. Profiles of ~/.aws are not read: `eval \"$(aws configure export-credentials --format env)\"` turns one into variables",
    )
}

fn good(facts: &Facts) -> Vec<Finding> {
    let place = &facts.place;
    let at = place.endpoint.as_ref().map_or_else(String::new, |endpoint| format!(" at {endpoint}"));
    let mut findings = vec![
        Finding::ok("credentials", "accepted"),
        Finding::ok("bucket", format!("{}{at} answers", url(place))),
    ];
    findings.extend(
        facts.asked.as_ref().and_then(|asked| region(place, asked.settings.location.as_deref().ok())),
    );
    findings
}

/// The region, if the bucket says it: signed for the wrong one, S3 would not have answered; but one that is not set is luck.
fn region(place: &Place, found: Option<&str>) -> Option<Finding> {
    let found = found?;
    let same = found == place.region;
    Some(match (&place.endpoint, same, place.region_set) {
        (Some(_), false, _) => Finding::ok(
            "region",
            format!(
                "requests are signed for {}, the bucket says {found}; this endpoint does not mind",
                place.region
            ),
        ),
        (None, false, _) => Finding::warn(
            "region",
            format!("the bucket is in {found}, requests are signed for {}", place.region),
            format!("export AWS_REGION={found}"),
        ),
        (None, true, false) => Finding::warn(
            "region",
            format!("{found}, which is only the default: AWS_REGION is not set"),
            format!("export AWS_REGION={found}"),
        ),
        (_, true, _) => Finding::ok("region", found.to_owned()),
    })
}

/// The store's URL.
pub(super) fn url(place: &Place) -> String {
    format!("s3://{}/{}", place.bucket, place.prefix).trim_end_matches('/').to_owned()
}
