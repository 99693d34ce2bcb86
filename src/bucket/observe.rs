//! Asks the bucket: one request for each permission and each setting, none of them twice, nothing left behind.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, ExpirationStatus, LifecycleRule, ObjectLockConfiguration,
    ServerSideEncryptionConfiguration,
};
use frazil_log::store::S3Access;
use futures::join;

use super::facts::{Asked, Encryption, Facts, Objects, Place, Rule, Seen, Setting, Settings, Versioning};
use super::{BucketClient, Fault, FaultKind};

/// What is written and read back.
const BYTES: &[u8] = b"frazil doctor";

/// Which requests may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    /// Also those that write and delete under `frazil-probe/`.
    Allowed,
    /// Only those that read.
    Never,
}

/// Looks at a bucket. `name` is a fresh ULID: the key that is written and removed is named after it.
pub(crate) async fn observe(client: &BucketClient, name: &str, writes: Writes) -> Facts {
    let place = place(client);
    let list = list(client, &place).await;
    let answers = list.as_ref().err().is_none_or(|fault| matches!(fault.kind, FaultKind::Denied));
    let asked = if answers {
        let key = client.key(&format!("frazil-probe/{name}"));
        let (objects, settings) = join!(objects(client, &key, writes), settings(client));
        Some(Asked { objects, settings })
    } else {
        None
    };
    Facts { place, list, asked }
}

/// How a client reaches its bucket.
pub(crate) fn place(client: &BucketClient) -> Place {
    place_of(&client.access)
}

/// How a bucket is reached.
pub(crate) fn place_of(access: &S3Access) -> Place {
    Place {
        bucket: access.bucket.clone(),
        prefix: access.prefix.clone(),
        endpoint: access.endpoint.clone(),
        region: access.region.clone(),
        region_set: access.region_set,
    }
}

async fn list(client: &BucketClient, place: &Place) -> Seen<()> {
    let request = client.s3.list_objects_v2().bucket(client.bucket());
    let request = request.prefix(place.root()).delimiter("/").max_keys(1);
    request.send().await.map(drop).map_err(Fault::of)
}

async fn objects(client: &BucketClient, key: &str, writes: Writes) -> Objects {
    if writes == Writes::Never {
        return Objects { put: None, get: get(client, key).await, delete: None, abort: None };
    }
    let put = put(client, key).await;
    let get = get(client, key).await;
    // Also after a PUT that failed: it may have been written all the same.
    let delete = client.s3.delete_object().bucket(client.bucket()).key(key).send().await;
    let abort = client.s3.abort_multipart_upload().bucket(client.bucket()).key(key);
    // S3 asks for the permission before it looks for the upload, and there is none.
    let abort = match abort.upload_id("none").send().await.map_err(Fault::of) {
        Err(fault) if matches!(fault.kind, FaultKind::Absent | FaultKind::Other) => Ok(()),
        other => other.map(drop),
    };
    Objects { put: Some(put), get, delete: Some(delete.map(drop).map_err(Fault::of)), abort: Some(abort) }
}

async fn put(client: &BucketClient, key: &str) -> Seen<Option<String>> {
    let put = client.s3.put_object().bucket(client.bucket()).key(key);
    let sent = put.body(ByteStream::from_static(BYTES)).send().await.map_err(Fault::of)?;
    Ok(sent.server_side_encryption().map(|kind| kind.as_str().to_owned()))
}

async fn get(client: &BucketClient, key: &str) -> Seen<bool> {
    let got = client.s3.get_object().bucket(client.bucket()).key(key).send().await.map_err(Fault::of)?;
    let body = got.body.collect().await;
    Ok(body.is_ok_and(|body| body.to_vec() == BYTES))
}

/// The bucket's settings, all of them asked for at once.
pub(super) async fn settings(client: &BucketClient) -> Settings {
    let (location, lifecycle, encryption, versioning, object_lock, public_access) = join!(
        location(client),
        lifecycle(client),
        encryption(client),
        versioning(client),
        object_lock(client),
        public_access(client)
    );
    Settings { location, lifecycle, encryption, versioning, object_lock, public_access }
}

async fn location(client: &BucketClient) -> Seen<String> {
    let found = client.s3.get_bucket_location().bucket(client.bucket()).send().await.map_err(Fault::of)?;
    let name = found.location_constraint().map_or("", |location| location.as_str());
    Ok(match name {
        // The oldest regions go by other names here.
        "" | "null" => "us-east-1".to_owned(),
        "EU" => "eu-west-1".to_owned(),
        name => name.to_owned(),
    })
}

/// The bucket's lifecycle rules; none is an answer.
async fn lifecycle(client: &BucketClient) -> Seen<Vec<Rule>> {
    let request = client.s3.get_bucket_lifecycle_configuration().bucket(client.bucket());
    let found = match request.send().await.map_err(Fault::of) {
        Err(fault) if fault.kind == FaultKind::Absent => return Ok(Vec::new()),
        other => other?,
    };
    Ok(found.rules().iter().enumerate().map(|(place, found)| rule(place, found)).collect())
}

fn rule(place: usize, found: &LifecycleRule) -> Rule {
    let filter = found.filter();
    let and = filter.and_then(|filter| filter.and());
    #[expect(deprecated, reason = "old buckets have rules of the old form")]
    let old = found.prefix();
    let prefix = filter.and_then(|filter| filter.prefix()).or_else(|| and.and_then(|and| and.prefix()));
    let size = |of_filter: Option<i64>, of_and: Option<i64>| of_filter.or(of_and);
    let expiration = found.expiration();
    let after = |days: Option<i32>, date: Option<String>| match (days, date) {
        (Some(days), _) => Some(format!("after {days} days")),
        (None, Some(date)) => Some(format!("at {date}")),
        (None, None) => None,
    };
    Rule {
        id: found.id().map_or_else(|| format!("number {}", place + 1), str::to_owned),
        enabled: *found.status() == ExpirationStatus::Enabled,
        prefix: prefix.or(old).unwrap_or("").to_owned(),
        tagged: filter.is_some_and(|filter| filter.tag().is_some())
            || and.is_some_and(|and| !and.tags().is_empty()),
        larger_than: size(
            filter.and_then(|filter| filter.object_size_greater_than()),
            and.and_then(|and| and.object_size_greater_than()),
        ),
        smaller_than: size(
            filter.and_then(|filter| filter.object_size_less_than()),
            and.and_then(|and| and.object_size_less_than()),
        ),
        expires: expiration.and_then(|found| after(found.days(), found.date().map(ToString::to_string))),
        transitions: found
            .transitions()
            .iter()
            .map(|found| {
                let when = after(found.days(), found.date().map(ToString::to_string)).unwrap_or_default();
                (when, found.storage_class().map_or("?", |class| class.as_str()).to_owned())
            })
            .collect(),
        expires_noncurrent: found.noncurrent_version_expiration().is_some(),
        aborts_after_days: found
            .abort_incomplete_multipart_upload()
            .and_then(|abort| abort.days_after_initiation()),
    }
}

async fn encryption(client: &BucketClient) -> Setting<Encryption> {
    let request = client.s3.get_bucket_encryption().bucket(client.bucket());
    let found = optional(request.send().await.map_err(Fault::of))?;
    let found =
        found.and_then(|found| found.server_side_encryption_configuration().and_then(default_encryption));
    Ok(found)
}

fn default_encryption(found: &ServerSideEncryptionConfiguration) -> Option<Encryption> {
    let rule = found.rules().first()?;
    let default = rule.apply_server_side_encryption_by_default()?;
    Some(Encryption {
        algorithm: default.sse_algorithm().as_str().to_owned(),
        key: default.kms_master_key_id().map(str::to_owned),
        bucket_key: rule.bucket_key_enabled() == Some(true),
    })
}

async fn versioning(client: &BucketClient) -> Setting<Versioning> {
    let request = client.s3.get_bucket_versioning().bucket(client.bucket());
    let found = optional(request.send().await.map_err(Fault::of))?;
    Ok(found.and_then(|found| match found.status() {
        Some(BucketVersioningStatus::Enabled) => Some(Versioning::Enabled),
        Some(BucketVersioningStatus::Suspended) => Some(Versioning::Suspended),
        _ => None,
    }))
}

async fn object_lock(client: &BucketClient) -> Setting<String> {
    let request = client.s3.get_object_lock_configuration().bucket(client.bucket());
    let found = optional(request.send().await.map_err(Fault::of))?;
    Ok(found.and_then(|found| found.object_lock_configuration().and_then(retention)))
}

fn retention(found: &ObjectLockConfiguration) -> Option<String> {
    found.object_lock_enabled()?;
    let default = found.rule().and_then(|rule| rule.default_retention());
    Some(default.map_or_else(String::new, |default| {
        let mode = default.mode().map_or("", |mode| mode.as_str());
        match (default.days(), default.years()) {
            (Some(days), _) => format!("{mode} for {days} days"),
            (None, Some(years)) => format!("{mode} for {years} years"),
            (None, None) => mode.to_owned(),
        }
    }))
}

async fn public_access(client: &BucketClient) -> Setting<[bool; 4]> {
    let request = client.s3.get_public_access_block().bucket(client.bucket());
    let found = optional(request.send().await.map_err(Fault::of))?;
    Ok(found.and_then(|found| {
        let block = found.public_access_block_configuration()?;
        let on = |block: Option<bool>| block == Some(true);
        Some([
            on(block.block_public_acls()),
            on(block.ignore_public_acls()),
            on(block.block_public_policy()),
            on(block.restrict_public_buckets()),
        ])
    }))
}

/// A setting that is not set is an answer.
fn optional<T>(answer: Seen<T>) -> Setting<T> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(fault) if fault.kind == FaultKind::Absent => Ok(None),
        Err(fault) => Err(fault),
    }
}
