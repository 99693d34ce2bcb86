//! Where a test's Frazil keeps its data: a temporary directory, a MinIO of its own, or any endpoint.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::minio::{BUCKET, Minio};

/// A store and what a process needs to reach it.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) url: String,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) minio: Option<Minio>,
    /// There until the last process that was started on it has ended, too.
    pub(crate) directory: Option<Arc<TempDir>>,
}

impl Store {
    /// A directory of its own.
    pub(crate) fn file() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let url = format!("file://{}", directory.path().join("store").display());
        Self { url, environment: Vec::new(), minio: None, directory: Some(Arc::new(directory)) }
    }

    /// A prefix in the bucket of a MinIO of its own.
    pub(crate) async fn minio() -> Self {
        let minio = Minio::start().await;
        let environment = minio.environment(&minio.endpoint());
        Self { url: format!("s3://{BUCKET}/a/prefix"), environment, minio: Some(minio), directory: None }
    }

    /// An S3 endpoint that any credentials open.
    pub(crate) fn endpoint(endpoint: &str) -> Self {
        let pairs = [
            ("AWS_ACCESS_KEY_ID", "any"),
            ("AWS_SECRET_ACCESS_KEY", "any"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", endpoint),
        ];
        let environment = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { url: format!("s3://{BUCKET}/a/prefix"), environment, minio: None, directory: None }
    }

    /// The MinIO of this store.
    pub(crate) fn server(&mut self) -> &mut Minio {
        self.minio.as_mut().expect("this store is a MinIO")
    }

    /// The directory that a `file://` store's keys are relative to.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.as_ref().expect("this store is a directory").path().join("store")
    }

    /// Every object of a `file://` store whose key contains `part`, by key; the newest write last within a kind, since keys count upwards.
    pub(crate) fn objects(&self, part: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.path(), &mut found);
        found.retain(|path| self.key(path).contains(part));
        found.sort();
        found
    }

    /// The key of an object of a `file://` store.
    pub(crate) fn key(&self, object: &Path) -> String {
        object.strip_prefix(self.path()).expect("the object is in the store").to_string_lossy().into_owned()
    }
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    let listing =
        std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in listing {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}
