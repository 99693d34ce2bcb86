//! What a failed request means: from the backend's error, and the HTTP status where there was one, to an [`ErrorKind`].

use std::error::Error as StdError;
use std::io;

use object_store::path::Path;

use crate::error::{Error, ErrorKind};

/// What was asked of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Get,
    Put,
    List,
    Delete,
}

impl Action {
    fn verb(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::List => "LIST",
            Self::Delete => "DELETE",
        }
    }

    /// The permission to ask an operator for.
    pub(super) fn permission(self) -> &'static str {
        match self {
            Self::Get => "s3:GetObject",
            Self::Put => "s3:PutObject",
            Self::List => "s3:ListBucket",
            Self::Delete => "s3:DeleteObject",
        }
    }
}

/// The longest piece of a backend's own text in a message, in characters: error bodies come from outside.
const CAUSE_CHARS_MAX: usize = 1_000;

/// Codes of S3 that an operator must act on. They are looked for in the text, because `object_store` passes neither the
/// status nor a kind on for a LIST and for one key of a DELETE of many; and a session that has ended is a 400.
const DENIED_CODES: [&str; 7] = [
    "AccessDenied",
    "AllAccessDisabled",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
];

/// Turns a backend's error into ours.
pub(super) fn failure(action: Action, path: &Path, status: Option<u16>, error: object_store::Error) -> Error {
    let kind = kind_of(action, status, &error);
    let cause = cause(&error.to_string());
    let verb = action.verb();
    let message = match kind {
        ErrorKind::Denied if is_bucket_absent(action, &error) => {
            format!("{verb} {path} failed: the bucket is not there: {cause}")
        }
        ErrorKind::Denied if is_local(&error) => {
            format!("{verb} {path} was denied: the directory must be writable and allow hard links: {cause}")
        }
        ErrorKind::Denied => {
            format!(
                "{verb} {path} was denied: the credentials must be valid and allow {}: {cause}",
                action.permission()
            )
        }
        ErrorKind::Invalid if is_redirect(status) => {
            format!("{verb} {path} was sent elsewhere: is AWS_REGION the bucket's region? {cause}")
        }
        _ => format!("{verb} {path} failed: {cause}"),
    };
    Error::new(kind, message).with_source(error)
}

/// A backend's error in one line: where S3 sent its XML, the code and the sentence in it.
fn cause(text: &str) -> String {
    let one_line = |c: char| if c.is_control() { ' ' } else { c };
    let xml = text.find("<?xml").or_else(|| text.find("<Error>"));
    let said = xml.map(|start| {
        let told = ["Code", "Message"].map(|name| element(&text[start..], name)).into_iter().flatten();
        told.collect::<Vec<_>>().join(": ")
    });
    let text = match (xml, &said) {
        (Some(start), Some(said)) if !said.is_empty() => format!("{}{said}", &text[..start]),
        _ => text.to_owned(),
    };
    text.chars().take(CAUSE_CHARS_MAX).map(one_line).collect()
}

/// The text of the first element of this name.
fn element<'t>(xml: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text.trim())
}

fn kind_of(action: Action, status: Option<u16>, error: &object_store::Error) -> ErrorKind {
    match error {
        _ if is_bucket_absent(action, error) => ErrorKind::Denied,
        object_store::Error::NotFound { .. } => ErrorKind::NotFound,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            ErrorKind::Denied
        }
        object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. } => {
            ErrorKind::Unsupported
        }
        object_store::Error::InvalidPath { .. } | object_store::Error::UnknownConfigurationKey { .. } => {
            ErrorKind::Invalid
        }
        _ if is_redirect(status) => ErrorKind::Invalid,
        _ if matches!(status, Some(401 | 403)) => ErrorKind::Denied,
        _ if matches!(status, Some(405 | 501)) => ErrorKind::Unsupported,
        _ if DENIED_CODES.iter().any(|code| names(error, code)) => ErrorKind::Denied,
        _ if is_local(error) && io_kind(error) == Some(io::ErrorKind::PermissionDenied) => ErrorKind::Denied,
        _ => ErrorKind::Unavailable,
    }
}

/// Whether the answer says for certain that a PUT wrote nothing. Local errors never do: the link may have been made
/// before the directory's fsync failed.
pub(super) fn wrote_nothing(status: Option<u16>, error: &object_store::Error) -> bool {
    match error {
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. }
        | object_store::Error::NotFound { .. }
        | object_store::Error::NotImplemented { .. }
        | object_store::Error::NotSupported { .. }
        | object_store::Error::InvalidPath { .. } => !is_local(error),
        _ => is_redirect(status) || matches!(status, Some(401 | 403 | 404 | 405 | 501)),
    }
}

/// Whether the error may say that a byte range lies outside the object. Only a 416 is sure; a directory and memory give
/// no type that can be named, so their unclassified errors count, and the caller asks for the size.
pub(super) fn may_be_out_of_range(status: Option<u16>, error: &object_store::Error) -> bool {
    let in_process =
        matches!(error, object_store::Error::Generic { store: "LocalFileSystem" | "InMemory", .. });
    status == Some(416) || in_process
}

fn is_redirect(status: Option<u16>) -> bool {
    status.is_some_and(|status| (300..400).contains(&status) && status != 304)
}

fn is_local(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::Generic { store: "LocalFileSystem", .. })
}

/// A bucket that is not there must never look like a log without that slot.
fn is_bucket_absent(action: Action, error: &object_store::Error) -> bool {
    let not_found = matches!(error, object_store::Error::NotFound { .. });
    names(error, "NoSuchBucket") || not_found && action == Action::Put
}

/// Whether S3's error has this code: in its body, or as `object_store` writes it for one key of a DELETE of many.
fn names(error: &object_store::Error, code: &str) -> bool {
    let text = error.to_string();
    text.contains(&format!("<Code>{code}</Code>")) || text.contains(&format!("(code: {code})"))
}

fn io_kind(error: &object_store::Error) -> Option<io::ErrorKind> {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_answer_in_xml_the_code_and_the_sentence_are_told() {
        let head = "Server returned non-2xx status code: 503 Service Unavailable: ";
        let xml = "<?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code><Message>Reduce your\nrate.</Message><HostId>x</HostId></Error>";
        assert_eq!(cause(&format!("{head}{xml}")), format!("{head}SlowDown: Reduce your rate."));
        assert_eq!(cause(&format!("{head}<Error>cut")), format!("{head}<Error>cut"));
        assert_eq!(cause("no\nXML"), "no XML");
    }
}
