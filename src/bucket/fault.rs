//! Why a request failed, as far as an operator can act on it.

use std::error::Error as StdError;
use std::io;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use serde::Serialize;

/// The longest piece of a store's own words that is kept, in characters: they come from outside.
const WORDS_CHARS_MAX: usize = 400;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum FaultKind {
    /// The host has no address.
    Dns,
    /// Nothing listens there, or the way is closed.
    Connect,
    /// The other side's certificate, or it speaks no TLS.
    Tls,
    /// No answer in time.
    TimedOut,
    /// The session has ended.
    Expired,
    /// The key is not known, or the secret does not fit it.
    WrongKey,
    /// The store finds this machine's clock wrong.
    ClockSkewed,
    /// Not allowed.
    Denied,
    /// Not allowed by the key that encrypts the bucket: the action, such as `kms:GenerateDataKey`.
    KmsDenied(String),
    /// The key that encrypts the bucket is gone, disabled or elsewhere.
    KmsBroken,
    /// The bucket is not there.
    NoSuchBucket,
    /// The bucket is in another region; its name, where the store says it.
    WrongRegion(Option<String>),
    /// What was asked for is not set, or not there.
    Absent,
    /// The key was there already (412).
    Exists,
    /// The store does not do this.
    Unsupported,
    /// The store does not understand this document.
    NotUnderstood,
    /// Too many requests (503 SlowDown).
    Throttled,
    /// Anything else.
    Other,
}

/// A failed request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    /// What it means.
    pub(crate) kind: FaultKind,
    /// The store's words, or the connection's.
    pub(crate) words: String,
}

/// What an answer said of its failure. PURE input of [`classify`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said<'a> {
    pub(super) status: u16,
    pub(super) code: &'a str,
    pub(super) message: &'a str,
    pub(super) region: Option<&'a str>,
    pub(super) body: &'a str,
}

impl Fault {
    pub(super) fn new(kind: FaultKind, words: &str) -> Self {
        let one_line = |c: char| if c.is_control() { ' ' } else { c };
        Self { kind, words: words.chars().take(WORDS_CHARS_MAX).map(one_line).collect() }
    }

    /// What became of a request.
    pub(super) fn of<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        match &error {
            SdkError::TimeoutError(_) => Self::new(FaultKind::TimedOut, "no answer in time"),
            SdkError::DispatchFailure(failure) => {
                let Some(connector) = failure.as_connector_error() else {
                    return Self::new(FaultKind::Connect, &chain(&error));
                };
                let kind =
                    if connector.is_timeout() { FaultKind::TimedOut } else { unreachable_kind(connector) };
                Self::new(kind, &chain(connector))
            }
            _ => {
                let Some(raw) = error.raw_response() else {
                    return Self::new(FaultKind::Other, &chain(&error));
                };
                let body = raw.body().bytes().map(String::from_utf8_lossy).unwrap_or_default();
                let said = Said {
                    status: raw.status().as_u16(),
                    code: error.code().unwrap_or(""),
                    message: error.message().unwrap_or(""),
                    region: raw.headers().get("x-amz-bucket-region"),
                    body: &body,
                };
                let words = match (said.code, said.message) {
                    // Such as moto's, which calls the answer about versioning by another name.
                    ("", "") if raw.status().is_success() => {
                        format!(
                            "status {}, but the answer is not in S3's form: {}",
                            said.status,
                            chain(&error)
                        )
                    }
                    ("", "") => format!("status {}", said.status),
                    (code, message) => format!("{} {code}: {message}", said.status),
                };
                Self::new(classify(&said), words.trim_end_matches([' ', ':']))
            }
        }
    }
}

/// What an answer means. PURE.
pub(super) fn classify(said: &Said<'_>) -> FaultKind {
    let region = || said.region.map(str::to_owned).or_else(|| element(said.body, "Region"));
    match said.code {
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => return FaultKind::Expired,
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "InvalidSecurity" => {
            return FaultKind::WrongKey;
        }
        "RequestTimeTooSkewed" => return FaultKind::ClockSkewed,
        "NoSuchBucket" => return FaultKind::NoSuchBucket,
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => {
            return FaultKind::WrongRegion(region());
        }
        "SlowDown" | "ServiceUnavailable" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded" => {
            return FaultKind::Throttled;
        }
        "NotImplemented" | "MethodNotAllowed" | "XNotImplemented" => return FaultKind::Unsupported,
        // What S3 understands, a store that only speaks like it may not.
        "MalformedXML" => return FaultKind::NotUnderstood,
        "InvalidArgument" if said.message.contains("XML") => return FaultKind::NotUnderstood,
        code if code.starts_with("KMS.") || code.starts_with("Kms") => return kms(said.message),
        _ => {}
    }
    match said.status {
        300..=399 => FaultKind::WrongRegion(region()),
        _ if said.message.contains("kms:") => kms(said.message),
        401 | 403 => FaultKind::Denied,
        404 => FaultKind::Absent,
        405 | 501 => FaultKind::Unsupported,
        412 => FaultKind::Exists,
        429 | 503 => FaultKind::Throttled,
        _ => FaultKind::Other,
    }
}

/// The action of the key that was denied, where the message names one.
fn kms(message: &str) -> FaultKind {
    let named = message.find("kms:").map(|at| {
        let rest = &message[at + "kms:".len()..];
        rest.chars().take_while(char::is_ascii_alphanumeric).collect::<String>()
    });
    match named {
        Some(action) if !action.is_empty() => FaultKind::KmsDenied(format!("kms:{action}")),
        _ => FaultKind::KmsBroken,
    }
}

/// The text of an XML element, for the one that the library does not give.
fn element(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once("</")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (!text.is_empty() && text.len() <= 40 && text.chars().all(plain)).then(|| text.to_owned())
}

/// Tells names, certificates and connections apart. Libraries nest them; the innermost says which.
fn unreachable_kind(error: &(dyn StdError + 'static)) -> FaultKind {
    let mut cause = Some(error);
    let mut kind = FaultKind::Connect;
    while let Some(error) = cause {
        let words = error.to_string().to_lowercase();
        if words.contains("dns error") || words.contains("failed to lookup address") {
            return FaultKind::Dns;
        }
        let wrapped = error.downcast_ref::<io::Error>();
        let inner =
            wrapped.and_then(io::Error::get_ref).and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if inner.is_some()
            || error.is::<rustls::Error>()
            || words.contains("tls handshake")
            || words.contains("certificate")
        {
            return FaultKind::Tls;
        }
        if wrapped.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            kind = FaultKind::TimedOut;
        }
        cause = error.source();
    }
    kind
}

/// The words of an error and its causes, without those that repeat what was said.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<'a>(status: u16, code: &'a str, message: &'a str) -> Said<'a> {
        Said { status, code, message, ..Said::default() }
    }

    #[test]
    fn each_refusal_is_told_apart() {
        for (status, code, expected) in [
            (400, "ExpiredToken", FaultKind::Expired),
            (403, "InvalidAccessKeyId", FaultKind::WrongKey),
            (403, "SignatureDoesNotMatch", FaultKind::WrongKey),
            (403, "RequestTimeTooSkewed", FaultKind::ClockSkewed),
            (403, "AccessDenied", FaultKind::Denied),
            (403, "", FaultKind::Denied),
            (404, "NoSuchBucket", FaultKind::NoSuchBucket),
            (404, "NoSuchLifecycleConfiguration", FaultKind::Absent),
            (412, "PreconditionFailed", FaultKind::Exists),
            (501, "NotImplemented", FaultKind::Unsupported),
            (503, "SlowDown", FaultKind::Throttled),
            (500, "InternalError", FaultKind::Other),
        ] {
            assert_eq!(classify(&said(status, code, "")), expected, "{status} {code}");
        }
    }

    #[test]
    fn a_redirect_names_the_region_from_the_header_or_the_body() {
        let redirect = Said { region: Some("eu-west-1"), ..said(301, "PermanentRedirect", "") };
        assert_eq!(classify(&redirect), FaultKind::WrongRegion(Some("eu-west-1".into())));
        let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-2</Region></Error>";
        let malformed = Said { body, ..said(400, "AuthorizationHeaderMalformed", "") };
        assert_eq!(classify(&malformed), FaultKind::WrongRegion(Some("eu-west-2".into())));
        assert_eq!(classify(&said(307, "", "")), FaultKind::WrongRegion(None));
        let hostile = Said { body: "<Region>x; rm -rf</Region>", ..said(301, "", "") };
        assert_eq!(classify(&hostile), FaultKind::WrongRegion(None));
    }

    #[test]
    fn a_denied_key_is_named_by_its_action() {
        let message = "User: arn:aws:iam::1:user/x is not authorized to perform: kms:GenerateDataKey on resource: arn:aws:kms:…";
        let expected = FaultKind::KmsDenied("kms:GenerateDataKey".into());
        assert_eq!(classify(&said(403, "AccessDenied", message)), expected);
        assert_eq!(classify(&said(400, "KMS.DisabledException", "it is disabled")), FaultKind::KmsBroken);
    }

    #[test]
    fn words_from_outside_are_one_short_line() {
        let fault = Fault::new(FaultKind::Other, &"a\nb\u{1b}".repeat(1000));
        assert!(fault.words.chars().count() <= WORDS_CHARS_MAX && !fault.words.contains('\n'));
    }
}
