//! A bucket as Frazil wants it: made, or put right, setting by setting.
//!
//! Invariants: a second run changes nothing; what is there and stricter stays; other people's lifecycle rules and tags stay.
//!
//! [`plan()`] decides, PURE; [`look`] asks, [`apply`] does.

mod plan;

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketLocationConstraint,
    CreateBucketConfiguration, ExpirationStatus, LifecycleRule, LifecycleRuleFilter,
    PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag, Tagging,
};
use frazil_log::Error;
use frazil_log::error::ErrorKind;

use super::facts::Seen;
use super::observe::{place, settings};
use super::{BucketClient, Fault, FaultKind};
pub(crate) use plan::{Change, Current, Planned, RULE_ID, Wanted, plan};

/// What a bucket is like now; `None` if it is not there.
pub(crate) async fn look(client: &BucketClient) -> Seen<Option<Current>> {
    let head = client.s3.list_objects_v2().bucket(client.bucket()).prefix(place(client).root()).max_keys(1);
    match head.send().await.map_err(Fault::of) {
        Err(fault) if matches!(fault.kind, FaultKind::NoSuchBucket | FaultKind::Absent) => return Ok(None),
        // Whoever sets up need not be allowed to list.
        Err(fault) if fault.kind != FaultKind::Denied => return Err(fault),
        _ => {}
    }
    let (settings, tags) = futures::join!(settings(client), tags(client));
    Ok(Some(Current { settings, tags }))
}

async fn tags(client: &BucketClient) -> Seen<Vec<(String, String)>> {
    match client.s3.get_bucket_tagging().bucket(client.bucket()).send().await.map_err(Fault::of) {
        Ok(found) => {
            Ok(found.tag_set().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect())
        }
        Err(fault) if fault.kind == FaultKind::Absent => Ok(Vec::new()),
        Err(fault) => Err(fault),
    }
}

/// Does one thing.
pub(crate) async fn apply(client: &BucketClient, change: &Change) -> Seen<()> {
    match change {
        Change::Make => make(client).await,
        Change::BlockPublicAccess => block_public_access(client).await,
        Change::Encrypt { kms_key } => encrypt(client, kms_key.as_deref()).await,
        Change::AbortUploads { days, prefix } => abort_uploads(client, *days, prefix).await,
        Change::Tag { tags } => tag(client, tags).await,
    }
}

async fn make(client: &BucketClient) -> Seen<()> {
    let region = client.access.region.as_str();
    let mut request = client.s3.create_bucket().bucket(client.bucket());
    // The oldest region is the one that may not be named.
    if region != "us-east-1" {
        let constraint = BucketLocationConstraint::from(region);
        let location = CreateBucketConfiguration::builder().location_constraint(constraint).build();
        request = request.create_bucket_configuration(location);
    }
    match request.send().await.map_err(Fault::of) {
        // Somebody with the same account was first.
        Err(fault) if fault.words.contains("BucketAlreadyOwnedByYou") => Ok(()),
        other => other.map(drop),
    }
}

async fn block_public_access(client: &BucketClient) -> Seen<()> {
    let block = PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .ignore_public_acls(true)
        .block_public_policy(true)
        .restrict_public_buckets(true)
        .build();
    let request = client.s3.put_public_access_block().bucket(client.bucket());
    request.public_access_block_configuration(block).send().await.map(drop).map_err(Fault::of)
}

async fn encrypt(client: &BucketClient, kms_key: Option<&str>) -> Seen<()> {
    let algorithm =
        if kms_key.is_some() { ServerSideEncryption::AwsKms } else { ServerSideEncryption::Aes256 };
    let default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(algorithm)
        .set_kms_master_key_id(kms_key.map(str::to_owned))
        .build()
        .map_err(|error| ours(&error))?;
    let rule = ServerSideEncryptionRule::builder().apply_server_side_encryption_by_default(default);
    let rule = match kms_key {
        Some(_) => rule.bucket_key_enabled(true),
        None => rule,
    };
    let configuration = ServerSideEncryptionConfiguration::builder()
        .rules(rule.build())
        .build()
        .map_err(|error| ours(&error))?;
    let request = client.s3.put_bucket_encryption().bucket(client.bucket());
    request.server_side_encryption_configuration(configuration).send().await.map(drop).map_err(Fault::of)
}

/// Rules are set as a whole: those that are there are read again and sent along.
async fn abort_uploads(client: &BucketClient, days: i32, prefix: &str) -> Seen<()> {
    let found = client.s3.get_bucket_lifecycle_configuration().bucket(client.bucket()).send().await;
    let mut rules = match found.map_err(Fault::of) {
        Ok(found) => found.rules().to_vec(),
        Err(fault) if fault.kind == FaultKind::Absent => Vec::new(),
        Err(fault) => return Err(fault),
    };
    rules.retain(|rule| rule.id() != Some(RULE_ID));
    let rule = LifecycleRule::builder()
        .id(RULE_ID)
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix(prefix).build())
        .abort_incomplete_multipart_upload(
            AbortIncompleteMultipartUpload::builder().days_after_initiation(days).build(),
        );
    rules.push(rule.build().map_err(|error| ours(&error))?);
    let configuration = BucketLifecycleConfiguration::builder()
        .set_rules(Some(rules))
        .build()
        .map_err(|error| ours(&error))?;
    let request = client.s3.put_bucket_lifecycle_configuration().bucket(client.bucket());
    request.lifecycle_configuration(configuration).send().await.map(drop).map_err(Fault::of)
}

async fn tag(client: &BucketClient, tags: &[(String, String)]) -> Seen<()> {
    let mut tagging = Tagging::builder();
    for (key, value) in tags {
        tagging =
            tagging.tag_set(Tag::builder().key(key).value(value).build().map_err(|error| ours(&error))?);
    }
    let tagging = tagging.build().map_err(|error| ours(&error))?;
    client
        .s3
        .put_bucket_tagging()
        .bucket(client.bucket())
        .tagging(tagging)
        .send()
        .await
        .map(drop)
        .map_err(Fault::of)
}

/// A request that could not even be built.
fn ours(error: &dyn std::fmt::Display) -> Fault {
    Fault { kind: FaultKind::Other, words: error.to_string() }
}

/// A fault as an error of a command.
pub(crate) fn error_of(fault: &Fault, doing: &str) -> Error {
    let kind = if fault.kind == FaultKind::Denied { ErrorKind::Denied } else { ErrorKind::Unavailable };
    Error::new(kind, fault.words.clone()).context(doing)
}
