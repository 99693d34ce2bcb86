//! The bucket's settings: encryption, versions, locks, the public.

use super::Finding;
use crate::bucket::facts::{Asked, Encryption, Objects, Place, Rule, Seen, Versioning};

pub(super) fn judge(place: &Place, asked: &Asked) -> Vec<Finding> {
    let settings = &asked.settings;
    let mut findings = Vec::new();
    findings.extend(encryption(place, settings.encryption.as_ref().ok(), &asked.objects));
    findings.extend(
        settings.versioning.as_ref().ok().map(|versioning| versions(place, *versioning, &settings.lifecycle)),
    );
    findings.extend(settings.object_lock.as_ref().ok().map(|lock| object_lock(lock.as_deref())));
    // Only AWS has this switch: elsewhere its absence says nothing.
    let public =
        settings.public_access.as_ref().ok().filter(|block| place.endpoint.is_none() || block.is_some());
    findings.extend(public.map(|block| public_access(place, *block)));
    findings
}

fn encryption(place: &Place, found: Option<&Option<Encryption>>, objects: &Objects) -> Vec<Finding> {
    let written = objects.put.as_ref().and_then(|put| put.as_ref().ok()).and_then(|kind| kind.as_deref());
    let read_back = matches!(objects.get, Ok(true));
    let mut findings = Vec::new();
    match found {
        None => {}
        Some(None) if written.is_none() && place.endpoint.is_some() => {
            findings.push(Finding::ok("encryption", "none by default; this store leaves it to its disks"));
        }
        Some(None) => findings.push(Finding::ok("encryption", written.unwrap_or("S3's own (AES256)"))),
        Some(Some(encryption)) => {
            let key = encryption.key.as_ref().map_or_else(String::new, |key| format!(" with {key}"));
            findings.push(match encryption.is_kms() && !encryption.bucket_key {
                false => Finding::ok("encryption", format!("{}{key}", encryption.algorithm)),
                true => Finding::warn(
                    "encryption",
                    format!("{}{key}, without a bucket key: each PUT and GET also pays for a request to KMS", encryption.algorithm),
                    format!(
                        "aws s3api put-bucket-encryption --bucket {} with \"BucketKeyEnabled\": true, or frazil bucket create with --kms-key",
                        place.bucket
                    ),
                ),
            });
        }
    }
    let is_kms = found.is_some_and(|found| found.as_ref().is_some_and(Encryption::is_kms))
        || written.is_some_and(|kind| kind.starts_with("aws:kms"));
    if is_kms && written.is_some() && read_back {
        findings.push(Finding::ok("kms", "an object was encrypted and decrypted with the bucket's key"));
    }
    findings
}

fn versions(place: &Place, found: Option<Versioning>, rules: &Seen<Vec<Rule>>) -> Finding {
    let expires = rules.as_ref().is_ok_and(|rules| {
        rules
            .iter()
            .any(|rule| rule.enabled && rule.expires_noncurrent && place.root().starts_with(&rule.prefix))
    });
    let rule = format!(
        r#"add a lifecycle rule {{"ID":"frazil-noncurrent","Status":"Enabled","Filter":{{"Prefix":"{}"}},"NoncurrentVersionExpiration":{{"NoncurrentDays":7}},"Expiration":{{"ExpiredObjectDeleteMarker":true}}}}"#,
        place.root()
    );
    match (found, expires) {
        (None, _) => Finding::ok("versioning", "off"),
        (Some(_), true) => Finding::ok("versioning", "on; old versions expire by a rule"),
        (Some(Versioning::Enabled), false) => Finding::warn(
            "versioning",
            "on: what Frazil trims stays as an old version, and is paid for, for ever",
            rule,
        ),
        (Some(Versioning::Suspended), false) => {
            Finding::warn("versioning", "suspended: versions from before are still there and paid for", rule)
        }
    }
}

fn object_lock(found: Option<&str>) -> Finding {
    match found {
        None => Finding::ok("object-lock", "off"),
        Some("") => Finding::warn(
            "object-lock",
            "on, without a default retention: it can be set on objects by hand, which then cannot be trimmed",
            "use a bucket without object lock; it cannot be switched off in this one",
        ),
        Some(retention) => Finding::warn(
            "object-lock",
            format!(
                "on, {retention}: nothing that Frazil trims or sweeps goes before that, and all of it is paid for"
            ),
            "remove the default retention (aws s3api put-object-lock-configuration), or use a bucket without object lock",
        ),
    }
}

fn public_access(place: &Place, found: Option<[bool; 4]>) -> Finding {
    const NAMES: [&str; 4] =
        ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"];
    let on = found.unwrap_or_default();
    if on == [true; 4] {
        return Finding::ok("public-access", "blocked");
    }
    let off: Vec<&str> = NAMES.iter().zip(on).filter(|(_, on)| !on).map(|(name, _)| *name).collect();
    Finding::warn(
        "public-access",
        format!("not blocked by the bucket ({} off); the account may block it", off.join(", ")),
        format!(
            "aws s3api put-public-access-block --bucket {} --public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true",
            place.bucket
        ),
    )
}
