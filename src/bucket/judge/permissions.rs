//! Each permission by name: those that Frazil needs, and those that only doctor and set-up need.

use super::Finding;
use crate::bucket::facts::{Asked, Facts, Objects, Place, Seen};
use crate::bucket::{Fault, FaultKind};

/// What a permission is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Objects,
    Bucket,
}

pub(super) fn judge(facts: &Facts, asked: &Asked) -> Vec<Finding> {
    let place = &facts.place;
    let mut findings = vec![needed(place, "s3:ListBucket", On::Bucket, facts.list.as_ref().err())];
    findings.extend(objects(place, &asked.objects, facts.list.is_ok()));
    let settings = &asked.settings;
    let of_doctor = [
        ("s3:GetBucketLocation", settings.location.as_ref().err()),
        ("s3:GetLifecycleConfiguration", settings.lifecycle.as_ref().err()),
        ("s3:GetEncryptionConfiguration", settings.encryption.as_ref().err()),
        ("s3:GetBucketVersioning", settings.versioning.as_ref().err()),
        ("s3:GetBucketObjectLockConfiguration", settings.object_lock.as_ref().err()),
        ("s3:GetBucketPublicAccessBlock", settings.public_access.as_ref().err()),
    ];
    findings.extend(of_doctor.into_iter().map(|(name, fault)| wished(place, name, fault)));
    findings
}

fn objects(place: &Place, objects: &Objects, may_list: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(put) = &objects.put {
        findings.push(needed(place, "s3:PutObject", On::Objects, put.as_ref().err()));
        findings.extend(put.as_ref().err().and_then(|fault| key(place, fault)));
    }
    let was_written = objects.put.as_ref().is_some_and(Result::is_ok);
    findings.extend(get(place, &objects.get, was_written, may_list));
    if let Some(delete) = &objects.delete {
        findings.push(needed(place, "s3:DeleteObject", On::Objects, delete.as_ref().err()));
    }
    if let Some(abort) = &objects.abort {
        findings.push(match abort {
            Ok(()) => Finding::ok("s3:AbortMultipartUpload", "allowed"),
            Err(fault) if fault.kind == FaultKind::Denied => Finding::warn(
                "s3:AbortMultipartUpload",
                format!("denied: {}", fault.words),
                format!(
                    "this version uploads in one piece and does not need it; a later one will: {}",
                    statement("s3:AbortMultipartUpload", &place.objects_arn())
                ),
            ),
            Err(fault) => not_known("s3:AbortMultipartUpload", fault),
        });
    }
    findings
}

fn get(place: &Place, get: &Seen<bool>, was_written: bool, may_list: bool) -> Vec<Finding> {
    match get {
        Ok(true) => vec![Finding::ok("s3:GetObject", "allowed")],
        Ok(false) => vec![Finding::fail(
            "s3:GetObject",
            "a GET answered other bytes than were written a moment ago",
            "use a store, or a proxy before it, that gives back what it was given",
        )],
        Err(fault) if fault.kind == FaultKind::Absent && !was_written => {
            vec![Finding::ok("s3:GetObject", "allowed (an absent key answers 404)")]
        }
        Err(fault) if fault.kind == FaultKind::Absent => vec![Finding::fail(
            "s3:GetObject",
            "a GET did not find what was written a moment ago",
            "use a store that reads what it wrote",
        )],
        // Without the right to list, S3 hides what is absent behind a 403.
        Err(fault) if fault.kind == FaultKind::Denied && !was_written && !may_list => vec![Finding::warn(
            "s3:GetObject",
            format!("not known: an absent key answers 403 while s3:ListBucket is denied ({})", fault.words),
            "allow s3:ListBucket first",
        )],
        Err(fault) => {
            let mut findings = vec![needed(place, "s3:GetObject", On::Objects, Some(fault))];
            findings.extend(key(place, fault));
            findings
        }
    }
}

/// A permission that every gateway and compactor needs.
fn needed(place: &Place, name: &str, on: On, fault: Option<&Fault>) -> Finding {
    let Some(fault) = fault else { return Finding::ok(name, "allowed") };
    match &fault.kind {
        FaultKind::Denied => {
            let statement = match on {
                On::Objects => statement(name, &place.objects_arn()),
                On::Bucket => list_statement(place),
            };
            Finding::fail(
                name,
                format!("denied: {}", fault.words),
                format!(
                    "add to the role's policy (all of it: frazil bucket policy {}): {statement}. If it is there, look for a Deny in the bucket's policy, the organisation's and the VPC endpoint's",
                    super::access::url(place)
                ),
            )
        }
        FaultKind::KmsDenied(_) | FaultKind::KmsBroken => Finding::fail(
            name,
            format!("refused by the key that encrypts the bucket: {}", fault.words),
            "see kms",
        ),
        FaultKind::Unsupported => Finding::fail(
            name,
            format!("the store does not do this: {}", fault.words),
            "use a store that speaks S3's PUT, GET, LIST and DELETE",
        ),
        _ => not_known(name, fault),
    }
}

/// A permission that doctor and set-up need, and gateways do not.
fn wished(place: &Place, name: &str, fault: Option<&Fault>) -> Finding {
    match fault {
        None => Finding::ok(name, "allowed"),
        Some(fault) if fault.kind == FaultKind::Denied => Finding::warn(
            name,
            "denied; gateways do not need it, but this setting was not looked at",
            format!("for whoever runs doctor: {}", statement(name, &place.arn())),
        ),
        Some(fault) if fault.kind == FaultKind::Unsupported => {
            Finding::ok(name, "the store has no such setting")
        }
        Some(fault) => not_known(name, fault),
    }
}

/// A request that failed for another reason than what it was sent for.
fn not_known(name: &str, fault: &Fault) -> Finding {
    let (says, todo) = match &fault.kind {
        FaultKind::Throttled => ("refused as too much", "wait a minute and run this again"),
        FaultKind::TimedOut => ("no answer in time", "run this again; look at the store and the network"),
        _ => ("failed", "run this again; look at the store's own log"),
    };
    Finding::warn(name, format!("{says}: {}", fault.words), todo)
}

/// What a key that refuses needs.
fn key(place: &Place, fault: &Fault) -> Option<Finding> {
    match &fault.kind {
        FaultKind::KmsDenied(action) => Some(Finding::fail(
            "kms",
            format!("{action} is denied: {}", fault.words),
            format!(
                "add to the role's policy, and allow the role in the key's own policy: {}",
                r#"{"Effect":"Allow","Action":["kms:GenerateDataKey","kms:Decrypt"],"Resource":"<the key's ARN>"}"#
            ),
        )),
        FaultKind::KmsBroken => Some(Finding::fail(
            "kms",
            format!("the key cannot be used: {}", fault.words),
            format!(
                "is it enabled, not scheduled for deletion, and in the bucket's region? `aws s3api get-bucket-encryption --bucket {}` names it",
                place.bucket
            ),
        )),
        _ => None,
    }
}

fn statement(action: &str, resource: &str) -> String {
    format!(r#"{{"Effect":"Allow","Action":"{action}","Resource":"{resource}"}}"#)
}

fn list_statement(place: &Place) -> String {
    let arn = place.arn();
    match place.prefix.as_str() {
        "" => statement("s3:ListBucket", &arn),
        prefix => format!(
            r#"{{"Effect":"Allow","Action":"s3:ListBucket","Resource":"{arn}","Condition":{{"StringLike":{{"s3:prefix":["{prefix}","{prefix}/*"]}}}}}}"#
        ),
    }
}
