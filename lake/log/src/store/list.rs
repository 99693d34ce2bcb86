//! Lists in key order, and deletes.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use object_store::ObjectMeta;
use object_store::path::Path;

use super::failure::{Action, failure};
use super::retry::{Retry, no_answer};
use super::{Listing, Store, paths};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Name, TimeMicros};

/// An object as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its path below the root.
    pub path: Path,
    /// Its size, in bytes.
    pub size: u64,
    /// When it was written, by the store's clock, in microseconds since 1970.
    pub last_modified: TimeMicros,
}

impl From<ObjectMeta> for Listed {
    fn from(meta: ObjectMeta) -> Self {
        let last_modified = meta.last_modified.timestamp_micros();
        Self { path: meta.location, size: meta.size, last_modified }
    }
}

/// The most keys in one request that deletes.
const DELETE_KEYS_MAX: usize = 1_000;

/// How many databases are looked at at a time.
const DATABASES_AT_ONCE: usize = 8;

impl Store {
    /// The first `limit` objects below a prefix, in key order, that come after the key `after`.
    ///
    /// On S3 one request brings up to 1,000, and no more are sent than are needed: the newest checkpoint costs one.
    /// A directory is walked whole, whatever the limit; memory holds no more than `limit`.
    ///
    /// # Errors
    /// `Unsupported` if a store that should list in order does not.
    pub async fn list(&self, prefix: &Path, after: Option<&Path>, limit: usize) -> Result<Vec<Listed>> {
        let mut found = BTreeMap::new();
        let mut retry = Retry::new(&self.retry);
        loop {
            // An ordered list goes on where it broke off; any other starts again.
            if self.listing == Listing::Unordered {
                found.clear();
            }
            let before = found.len();
            match self.list_once(prefix, after, limit, &mut found).await {
                Ok(()) => return Ok(found.into_values().collect()),
                Err(error) => {
                    if found.len() > before && self.listing == Listing::Ordered {
                        retry = Retry::new(&self.retry);
                    }
                    if !retry.again(&error).await {
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn list_once(
        &self,
        prefix: &Path,
        after: Option<&Path>,
        limit: usize,
        found: &mut BTreeMap<Path, Listed>,
    ) -> Result<()> {
        let start = found.last_key_value().map(|(path, _)| path.clone()).or_else(|| after.cloned());
        let mut objects = match &start {
            Some(start) => self.objects.list_with_offset(Some(prefix), start),
            None => self.objects.list(Some(prefix)),
        };
        while self.listing == Listing::Unordered || found.len() < limit {
            let next = tokio::time::timeout(self.request_timeout, objects.next()).await;
            let Some(next) = next.map_err(|_elapsed| no_answer(self.request_timeout))? else {
                break;
            };
            let listed = Listed::from(next.map_err(|error| failure(Action::List, prefix, None, error))?);
            let last = found.last_key_value().map(|(path, _)| path);
            if self.listing == Listing::Ordered && last.is_some_and(|last| *last >= listed.path) {
                let message =
                    format!("the store lists {} out of order; Frazil needs lists in key order", listed.path);
                return Err(Error::unsupported(message));
            }
            if after.is_none_or(|after| listed.path > *after) {
                found.insert(listed.path.clone(), listed);
            }
            if found.len() > limit {
                found.pop_last();
            }
        }
        Ok(())
    }

    /// The databases below the root: the "directories" that have a slot 0 or a checkpoint, by name. Costs a list, and one
    /// or two requests for each directory that is named like a database.
    pub async fn list_databases(&self) -> Result<Vec<Name>> {
        let mut retry = Retry::new(&self.retry);
        let directories = loop {
            let request = async {
                let root = self.objects.list_with_delimiter(None).await;
                root.map_err(|error| failure(Action::List, &Path::default(), None, error))
            };
            match retry.attempt(self.request_timeout, request).await {
                Ok(root) => break root.common_prefixes,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) if retry.again(&error).await => {}
                Err(error) => return Err(error),
            }
        };
        let mut names: Vec<_> = directories.iter().filter_map(paths::parse_database).collect();
        names.sort();
        futures::stream::iter(names)
            .map(|name| async move { Ok(self.has_log(&name).await?.then_some(name)) })
            .buffered(DATABASES_AT_ONCE)
            .try_filter_map(|name| std::future::ready(Ok(name)))
            .try_collect()
            .await
    }

    async fn has_log(&self, database: &Name) -> Result<bool> {
        if self.get_prefix(&paths::log(database, 0), 1).await?.is_some() {
            return Ok(true);
        }
        Ok(!self.list(&paths::checkpoint_prefix(database), None, 1).await?.is_empty())
    }

    /// Deletes objects; one that is absent counts as deleted. On an error some may be gone: asking again is safe.
    pub async fn delete_many(&self, paths: &[Path]) -> Result<()> {
        for chunk in paths.chunks(DELETE_KEYS_MAX) {
            let mut retry = Retry::new(&self.retry);
            while let Err(error) = retry.attempt(self.request_timeout, self.delete_once(chunk)).await {
                if !retry.again(&error).await {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn delete_once(&self, paths: &[Path]) -> Result<()> {
        let keys = futures::stream::iter(paths.to_vec()).map(Ok).boxed();
        let mut results = self.objects.delete_stream(keys);
        let mut first_error = None;
        while let Some(result) = results.next().await {
            let Err(error) = result else { continue };
            let path = paths.first().cloned().unwrap_or_default();
            let error = failure(Action::Delete, &path, None, error);
            if error.kind() != ErrorKind::NotFound {
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }
}
