//! Opens a store by URL.

mod s3;

use std::path::{Component, Path as FilePath, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use super::wire::Dates;
use super::{Listing, Parts, Store, StoreOptions};
use crate::error::{Error, ErrorKind, Result};

pub use s3::{S3Access, s3_access};

/// The longest prefix in a bucket, in bytes: with [`super::paths::KEY_BYTES_MAX`] well below S3's 1,024.
const PREFIX_BYTES_MAX: usize = 512;

/// A URL, read.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Memory,
    Directory(PathBuf),
    Bucket { scheme: &'static str, bucket: String, prefix: Path },
}

pub(super) fn open(url: &str, options: &StoreOptions) -> Result<Store> {
    match parse(url)? {
        Target::Memory => {
            let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let description = "memory (gone when the process ends)".to_owned();
            let parts = Parts { objects, description, home: None, listing: Listing::Ordered };
            Ok(Store::assemble(parts, options, Dates::default()))
        }
        Target::Directory(path) => Ok(Store::assemble(open_directory(&path)?, options, Dates::default())),
        Target::Bucket { scheme, bucket, prefix } => {
            use_ring();
            let dates = Dates::default();
            let home = home_of(scheme, &bucket, &prefix);
            let (objects, endpoint) = match scheme {
                "s3" => s3::open(&bucket, options, &dates)?,
                "gs" => (open_gcs(&bucket, options)?, None),
                _ => (open_azure(&bucket, options)?, None),
            };
            let objects: Arc<dyn ObjectStore> = if prefix.as_ref().is_empty() {
                objects
            } else {
                Arc::new(PrefixStore::new(objects, prefix))
            };
            let description =
                endpoint.map_or_else(|| home.clone(), |endpoint| format!("{home} at {endpoint}"));
            let parts = Parts { objects, description, home: Some(home), listing: Listing::Ordered };
            Ok(Store::assemble(parts, options, dates))
        }
    }
}

fn parse(url: &str) -> Result<Target> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return match url {
            "" => Err(Error::invalid(
                "the store's URL is empty: use s3://bucket/prefix, file:///path or a path",
            )),
            path => Ok(Target::Directory(PathBuf::from(path))),
        };
    };
    let scheme = match scheme {
        "memory" if rest.is_empty() => return Ok(Target::Memory),
        "memory" => {
            return Err(Error::invalid(format!(
                "store {url:?}: memory:// takes no name; each start has its own"
            )));
        }
        "file" => return parse_file(url, rest),
        "s3" => "s3",
        "gs" => "gs",
        "az" => "az",
        _ => {
            let message = format!("store {url:?}: use s3://bucket/prefix, file:///path, a path or memory://");
            return Err(Error::unsupported(message));
        }
    };
    parse_bucket(url, scheme, rest)
}

fn parse_file(url: &str, rest: &str) -> Result<Target> {
    let invalid = |why: &str| Error::invalid(format!("store {url:?}: {why}"));
    if matches!(rest.split('/').next(), Some("." | "..")) {
        return match rest.contains(['%', '?', '#']) {
            true => Err(invalid("write a relative path with such characters without file://")),
            false => Ok(Target::Directory(PathBuf::from(rest))),
        };
    }
    let parsed = url::Url::parse(url).map_err(|error| invalid("not a URL").with_source(error))?;
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(invalid("a path has no ? and no #: write %3F and %23"));
    }
    let path = parsed.to_file_path().map_err(|()| invalid("use file:///path or file://./relative"))?;
    Ok(Target::Directory(path))
}

fn parse_bucket(url: &str, scheme: &'static str, rest: &str) -> Result<Target> {
    let invalid = |why: &str| Error::invalid(format!("store {url:?}: {why}"));
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    if bucket.is_empty() || !bucket.bytes().all(plain) {
        return Err(invalid("the bucket's name must be of a-z, 0-9, '.', '-' and '_'"));
    }
    if bucket.ends_with("--x-s3") {
        return Err(Error::unsupported(format!(
            "store {url:?}: a directory bucket does not list in key order, which Frazil needs: use a general purpose one"
        )));
    }
    let prefix = prefix.trim_end_matches('/');
    if prefix.starts_with('/') || prefix.contains(['?', '#', '%']) {
        return Err(invalid("the prefix must be of plain segments with one / between them"));
    }
    let prefix = Path::parse(prefix).map_err(|error| {
        invalid("the prefix must be of plain segments with one / between them").with_source(error)
    })?;
    if prefix.as_ref().len() > PREFIX_BYTES_MAX {
        return Err(invalid(&format!("the prefix may have {PREFIX_BYTES_MAX} bytes")));
    }
    Ok(Target::Bucket { scheme, bucket: bucket.to_owned(), prefix })
}

fn home_of(scheme: &str, bucket: &str, prefix: &Path) -> String {
    if prefix.as_ref().is_empty() {
        format!("{scheme}://{bucket}")
    } else {
        format!("{scheme}://{bucket}/{prefix}")
    }
}

/// The library would panic without a provider of cryptography. Whoever installed another one first is left alone.
fn use_ring() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

fn open_directory(path: &FilePath) -> Result<Parts> {
    let failed = |error: std::io::Error| {
        let kind = match error.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                ErrorKind::Denied
            }
            std::io::ErrorKind::NotADirectory | std::io::ErrorKind::AlreadyExists => ErrorKind::Invalid,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, format!("directory {}: {error}", path.display())).with_source(error)
    };
    create_durably(path).map_err(failed)?;
    let path = std::fs::canonicalize(path).map_err(failed)?;
    let Some(home) = path.to_str().map(str::to_owned) else {
        return Err(Error::invalid(format!("directory {}: the path is not UTF-8", path.display())));
    };
    let directory = LocalFileSystem::new_with_prefix(&path)
        .map_err(|error| Error::invalid(format!("directory {home}: {error}")).with_source(error))?
        .with_fsync(true);
    let description = format!("{home} (fsync on)");
    Ok(Parts { objects: Arc::new(directory), description, home: Some(home), listing: Listing::Unordered })
}

/// Creates a directory and its parents, each entry synced: else a power cut could take the log with its directory.
fn create_durably(path: &FilePath) -> std::io::Result<()> {
    let absolute = std::path::absolute(path)?;
    let mut missing = Vec::new();
    for directory in absolute.ancestors() {
        if directory.exists() {
            break;
        }
        // A `..` names no entry of its own.
        if directory.components().next_back() != Some(Component::ParentDir) {
            missing.push(directory);
        }
    }
    std::fs::create_dir_all(&absolute)?;
    for parent in missing.iter().filter_map(|directory| directory.parent()) {
        if cfg!(unix) {
            std::fs::File::open(parent)?.sync_all()?;
        }
    }
    Ok(())
}

/// A commit's PUT must be sent once: see the ambiguity trap in `create.rs`. Reads are retried in `retry.rs`.
fn no_retries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: Duration::ZERO }
}

fn client_options(options: &StoreOptions) -> ClientOptions {
    ClientOptions::new().with_timeout(options.request_timeout).with_connect_timeout(options.connect_timeout)
}

#[cfg(feature = "gcp")]
fn open_gcs(bucket: &str, options: &StoreOptions) -> Result<Arc<dyn ObjectStore>> {
    use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};

    let mut builder = GoogleCloudStorageBuilder::new().with_client_options(client_options(options));
    for (name, value) in &options.environment {
        let key =
            name.starts_with("GOOGLE_").then(|| name.to_ascii_lowercase().parse::<GoogleConfigKey>().ok());
        if let Some(key) = key.flatten().filter(|_| !value.is_empty()) {
            builder = builder.with_config(key, value);
        }
    }
    let built = builder.with_bucket_name(bucket).with_retry(no_retries()).build();
    Ok(Arc::new(built.map_err(|error| Error::invalid(format!("GCS: {error}")).with_source(error))?))
}

#[cfg(not(feature = "gcp"))]
fn open_gcs(bucket: &str, _options: &StoreOptions) -> Result<Arc<dyn ObjectStore>> {
    Err(Error::unsupported(format!("store gs://{bucket}: this build lacks GCS; build with --features gcp")))
}

#[cfg(feature = "azure")]
fn open_azure(container: &str, options: &StoreOptions) -> Result<Arc<dyn ObjectStore>> {
    use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

    let mut builder = MicrosoftAzureBuilder::new().with_client_options(client_options(options));
    for (name, value) in &options.environment {
        let key =
            name.starts_with("AZURE_").then(|| name.to_ascii_lowercase().parse::<AzureConfigKey>().ok());
        if let Some(key) = key.flatten().filter(|_| !value.is_empty()) {
            builder = builder.with_config(key, value);
        }
    }
    let built = builder.with_container_name(container).with_retry(no_retries()).build();
    Ok(Arc::new(built.map_err(|error| Error::invalid(format!("Azure: {error}")).with_source(error))?))
}

#[cfg(not(feature = "azure"))]
fn open_azure(container: &str, _options: &StoreOptions) -> Result<Arc<dyn ObjectStore>> {
    Err(Error::unsupported(format!(
        "store az://{container}: this build lacks Azure; build with --features azure"
    )))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use object_store::path::Path;

    use super::{Target, parse};
    use crate::error::ErrorKind;

    fn bucket(scheme: &'static str, bucket: &str, prefix: &str) -> Target {
        Target::Bucket { scheme, bucket: bucket.to_owned(), prefix: Path::from(prefix) }
    }

    #[test]
    fn each_form_of_url_is_read() {
        for (url, expected) in [
            ("memory://", Target::Memory),
            ("file:///var/x%20y", Target::Directory(PathBuf::from("/var/x y"))),
            ("file://localhost/var/x", Target::Directory(PathBuf::from("/var/x"))),
            ("file://./frazil-data", Target::Directory(PathBuf::from("./frazil-data"))),
            ("file://../x/y", Target::Directory(PathBuf::from("../x/y"))),
            ("some/where", Target::Directory(PathBuf::from("some/where"))),
            ("/tmp/100%", Target::Directory(PathBuf::from("/tmp/100%"))),
            ("s3://b", bucket("s3", "b", "")),
            ("s3://b/", bucket("s3", "b", "")),
            ("s3://my.bucket-1/p/q/", bucket("s3", "my.bucket-1", "p/q")),
            ("gs://b/p", bucket("gs", "b", "p")),
            ("az://c/p", bucket("az", "c", "p")),
        ] {
            assert_eq!(parse(url).unwrap(), expected, "{url}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_words() {
        for (url, kind, word) in [
            ("", ErrorKind::Invalid, "empty"),
            ("memory://a", ErrorKind::Invalid, "takes no name"),
            ("file://data", ErrorKind::Invalid, "file://./relative"),
            ("file://./a%20b", ErrorKind::Invalid, "without file://"),
            ("file:///a?b=c", ErrorKind::Invalid, "%3F"),
            ("s3://", ErrorKind::Invalid, "bucket"),
            ("s3://B/p", ErrorKind::Invalid, "bucket"),
            ("s3://b?x/p", ErrorKind::Invalid, "bucket"),
            ("s3://b//p", ErrorKind::Invalid, "prefix"),
            ("s3://b/p//q", ErrorKind::Invalid, "prefix"),
            ("s3://b/p?x=y", ErrorKind::Invalid, "prefix"),
            ("s3://b/a/../c", ErrorKind::Invalid, "prefix"),
            ("s3://zone--use1-az4--x-s3/p", ErrorKind::Unsupported, "key order"),
            ("http://h/b", ErrorKind::Unsupported, "s3://bucket/prefix"),
        ] {
            let error = parse(url).unwrap_err();
            assert_eq!(error.kind(), kind, "{url}");
            assert!(error.to_string().contains(word), "{url}: {error}");
        }
    }
}
