//! S3 as the variables `AWS_*` describe it.
//!
//! **Invariant**: there is one reading of the variables, [`configured`]; whoever speaks to the same bucket with another
//! library (doctor, set-up) asks [`S3Access`] and so reaches what a gateway reaches, with what it signs with.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::{
    AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider, S3ConditionalPut,
};

use super::{StoreOptions, Target, client_options, no_retries, parse, use_ring};
use crate::error::{Error, ErrorKind, Result};
use crate::store::wire::{Dates, WatchedConnector};

/// The region that is meant where none is set.
const REGION_DEFAULT: &str = "us-east-1";

/// A bucket as the variables describe it.
struct Configured {
    builder: AmazonS3Builder,
    endpoint: Option<String>,
}

/// How a store in S3 is reached.
#[derive(Clone, Debug)]
pub struct S3Access {
    /// The bucket.
    pub bucket: String,
    /// The prefix of all keys, without a slash at its end; empty for the bucket's root.
    pub prefix: String,
    /// The endpoint, if one is set; else it is AWS's own.
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    pub region: String,
    /// Whether the variables name it.
    pub region_set: bool,
    /// Whether the bucket stands in the path rather than in the host's name.
    pub path_style: bool,
    credentials: AwsCredentialProvider,
}

impl S3Access {
    /// What requests are signed with, asked for anew where it expires.
    ///
    /// # Errors
    /// `Denied` if there are no credentials.
    pub async fn credentials(&self) -> Result<Arc<AwsCredential>> {
        self.credentials.get_credential().await.map_err(|error| {
            Error::new(ErrorKind::Denied, format!("no credentials: {error}")).with_source(error)
        })
    }
}

/// How the store of a URL is reached, if it is S3. Nothing is sent.
///
/// # Errors
/// `Invalid` for a URL or a variable that does not make sense, `Unsupported` for a scheme that this build lacks.
pub fn s3_access(url: &str, options: &StoreOptions) -> Result<Option<S3Access>> {
    let Target::Bucket { scheme: "s3", bucket, prefix } = parse(url)? else { return Ok(None) };
    use_ring();
    let Configured { builder, endpoint } = configured(&bucket, options, &Dates::default())?;
    let region = builder.get_config_value(&AmazonS3ConfigKey::Region);
    let hosted = builder.get_config_value(&AmazonS3ConfigKey::VirtualHostedStyleRequest);
    let built = built(builder)?;
    Ok(Some(S3Access {
        bucket,
        prefix: prefix.to_string(),
        endpoint,
        region_set: region.is_some(),
        region: region.unwrap_or_else(|| REGION_DEFAULT.to_owned()),
        path_style: hosted.is_none_or(|hosted| hosted != "true"),
        credentials: Arc::clone(built.credentials()),
    }))
}

/// The bucket, and the endpoint if one is set.
pub(super) fn open(
    bucket: &str,
    options: &StoreOptions,
    dates: &Dates,
) -> Result<(Arc<dyn ObjectStore>, Option<String>)> {
    let Configured { builder, endpoint } = configured(bucket, options, dates)?;
    Ok((Arc::new(built(builder)?), endpoint))
}

fn built(builder: AmazonS3Builder) -> Result<AmazonS3> {
    builder.build().map_err(|error| Error::invalid(format!("S3: {error}")).with_source(error))
}

fn configured(bucket: &str, options: &StoreOptions, dates: &Dates) -> Result<Configured> {
    let set = |name: &str| options.environment.get(name).filter(|value| !value.is_empty());
    let endpoint =
        set("AWS_ENDPOINT_URL_S3").or_else(|| set("AWS_ENDPOINT_URL")).or_else(|| set("AWS_ENDPOINT"));

    let mut builder = AmazonS3Builder::new()
        .with_client_options(client_options(options))
        // A dot in the bucket's name would not match the certificate of *.s3.amazonaws.com.
        .with_virtual_hosted_style_request(endpoint.is_none() && !bucket.contains('.'))
        // TLS guards the bytes already; their SHA-256 costs more of the processor than all else that is done with them.
        .with_unsigned_payload(!endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")));
    for (name, value) in &options.environment {
        let key =
            name.starts_with("AWS_").then(|| name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>().ok());
        if let Some(key) = key.flatten().filter(|_| !value.is_empty()) {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = endpoint {
        let parsed = url::Url::parse(endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(parsed) = parsed else {
            return Err(Error::invalid(format!(
                "AWS_ENDPOINT_URL {endpoint:?} is not an http:// or https:// URL"
            )));
        };
        if parsed.scheme() == "http" {
            builder = builder.with_allow_http(true);
        }
    }
    let builder = builder
        .with_bucket_name(bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_s3_express(false)
        .with_retry(no_retries())
        .with_http_connector(WatchedConnector::new(dates.clone()));
    Ok(Configured { builder, endpoint: endpoint.cloned() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn access(url: &str, variables: &[(&str, &str)]) -> Option<S3Access> {
        let environment: BTreeMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        s3_access(url, &StoreOptions { environment, ..StoreOptions::default() }).unwrap()
    }

    #[tokio::test]
    async fn an_endpoint_brings_path_style_and_http_with_it() {
        let variables = [
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ];
        let found = access("s3://b/p/q/", &variables).unwrap();
        assert_eq!((found.bucket.as_str(), found.prefix.as_str()), ("b", "p/q"));
        assert_eq!((found.region.as_str(), found.region_set, found.path_style), ("eu-central-1", true, true));
        assert_eq!(found.endpoint.as_deref(), Some("http://127.0.0.1:9"));
        assert_eq!(found.credentials().await.unwrap().key_id, "key");
    }

    #[test]
    fn without_an_endpoint_the_host_names_the_bucket_unless_it_has_a_dot() {
        let plain = access("s3://b", &[]).unwrap();
        assert_eq!((plain.path_style, plain.region.as_str(), plain.region_set), (false, "us-east-1", false));
        assert!(access("s3://b.c", &[]).unwrap().path_style);
        assert_eq!(access("s3://b", &[("AWS_DEFAULT_REGION", "x-1")]).unwrap().region, "x-1");
        assert!(access("memory://", &[]).is_none());
        assert!(access("/some/path", &[]).is_none());
    }
}
