//! The bucket through AWS's own library, for what `object_store` does not do.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, RequestChecksumCalculation};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use frazil_log::store::S3Access;

/// The longest that one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest that connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A bucket that can be asked.
#[derive(Clone, Debug)]
pub(crate) struct BucketClient {
    /// AWS's client.
    pub(super) s3: Client,
    /// How it is reached.
    pub(crate) access: S3Access,
}

impl BucketClient {
    /// Signs with what a gateway would sign with. Requests are sent once: a refusal that a retry would hide is what is looked for.
    ///
    /// # Errors
    /// If there are no credentials.
    pub(crate) async fn new(access: S3Access) -> Result<Self, frazil_log::Error> {
        let found = access.credentials().await?;
        let credentials = Credentials::new(
            found.key_id.clone(),
            found.secret_key.clone(),
            found.token.clone(),
            None,
            "as a gateway finds them",
        );
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_timeout(REQUEST_TIMEOUT)
            .build();
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(credentials)
            .region(Region::new(access.region.clone()))
            .force_path_style(access.path_style)
            .http_client(http)
            .timeout_config(timeouts)
            // Stores that only speak like S3 refuse checksums that nobody asked for.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .retry_config(RetryConfig::disabled());
        if let Some(endpoint) = &access.endpoint {
            config = config.endpoint_url(endpoint.trim_end_matches('/'));
        }
        Ok(Self { s3: Client::from_conf(config.build()), access })
    }

    /// The bucket's name.
    pub(super) fn bucket(&self) -> &str {
        &self.access.bucket
    }

    /// A key below the prefix.
    pub(super) fn key(&self, below: &str) -> String {
        match self.access.prefix.as_str() {
            "" => below.to_owned(),
            prefix => format!("{prefix}/{below}"),
        }
    }
}
