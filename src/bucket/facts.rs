//! What was seen of a bucket: plain values, in our words rather than the library's.

use super::Fault;

/// What became of a request.
pub(crate) type Seen<T> = Result<T, Fault>;

/// A setting that may be absent, or not be shown.
pub(crate) type Setting<T> = Seen<Option<T>>;

/// How the bucket is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The bucket.
    pub(crate) bucket: String,
    /// The prefix, without a slash at its end; may be empty.
    pub(crate) prefix: String,
    /// The endpoint, if it is not AWS.
    pub(crate) endpoint: Option<String>,
    /// The region that requests are signed for.
    pub(crate) region: String,
    /// Whether the environment names it.
    pub(crate) region_set: bool,
}

impl Place {
    /// What all our keys begin with: empty, or ending in a slash.
    pub(crate) fn root(&self) -> String {
        if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) }
    }

    /// The bucket as IAM names it.
    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:s3:::{}", self.bucket)
    }

    /// Our objects as IAM names them.
    pub(crate) fn objects_arn(&self) -> String {
        format!("{}/{}*", self.arn(), self.root())
    }
}

/// What was seen of a bucket.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// How it is reached.
    pub(crate) place: Place,
    /// A LIST of the prefix: the first request, which shows whether anything answers at all.
    pub(crate) list: Seen<()>,
    /// What was asked after that; nothing if nobody answered.
    pub(crate) asked: Option<Asked>,
}

/// What a bucket that answers said.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Requests on objects.
    pub(crate) objects: Objects,
    /// The bucket's settings.
    pub(crate) settings: Settings,
}

/// Requests on an object under `frazil-probe/`. `None`: not sent, because it makes no sense after what failed before.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    /// A PUT of a new key; the encryption that the answer names.
    pub(crate) put: Option<Seen<Option<String>>>,
    /// A GET of it; whether the bytes are those that were written. Without a PUT, of an absent key: 404 is allowed.
    pub(crate) get: Seen<bool>,
    /// A DELETE of it.
    pub(crate) delete: Option<Seen<()>>,
    /// Giving up a multipart upload that never was.
    pub(crate) abort: Option<Seen<()>>,
}

/// The bucket's settings.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Its region.
    pub(crate) location: Seen<String>,
    /// Its lifecycle rules.
    pub(crate) lifecycle: Seen<Vec<Rule>>,
    /// Its default encryption.
    pub(crate) encryption: Setting<Encryption>,
    /// Whether versions of objects are kept.
    pub(crate) versioning: Setting<Versioning>,
    /// Object lock: the default retention in words, empty if there is none.
    pub(crate) object_lock: Setting<String>,
    /// Whether each of the four blocks of public access is on.
    pub(crate) public_access: Setting<[bool; 4]>,
}

/// A lifecycle rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Its id, or its place in the list.
    pub(crate) id: String,
    /// Whether it is enabled.
    pub(crate) enabled: bool,
    /// The keys that it is about.
    pub(crate) prefix: String,
    /// Whether it is about tagged objects only. Ours have no tags.
    pub(crate) tagged: bool,
    /// Only objects larger than this.
    pub(crate) larger_than: Option<i64>,
    /// Only objects smaller than this.
    pub(crate) smaller_than: Option<i64>,
    /// Objects are deleted: after so many days, or at a date.
    pub(crate) expires: Option<String>,
    /// Objects change their storage class: after so long, to which.
    pub(crate) transitions: Vec<(String, String)>,
    /// Old versions are deleted.
    pub(crate) expires_noncurrent: bool,
    /// Unfinished uploads are deleted after so many days.
    pub(crate) aborts_after_days: Option<i32>,
}

/// The bucket's default encryption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encryption {
    /// `AES256`, `aws:kms`, `aws:kms:dsse`.
    pub(crate) algorithm: String,
    /// The key, where one is named.
    pub(crate) key: Option<String>,
    /// Whether S3 asks the key service once for many objects.
    pub(crate) bucket_key: bool,
}

impl Encryption {
    /// Whether the key service is asked.
    pub(crate) fn is_kms(&self) -> bool {
        self.algorithm.starts_with("aws:kms")
    }
}

/// Whether versions are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Versioning {
    /// Each delete leaves a version that is paid for.
    Enabled,
    /// No new versions; old ones are still there.
    Suspended,
}
