//! The form: a part a table, in any format that rows take. Names that begin with `__` are no tables: `__positions`, `__expected` and
//! `__expected_offset` carry JSON.

use axum::body::Body;
use axum::extract::multipart::{Field, Multipart};
use axum::extract::{DefaultBodyLimit, FromRequest};
use axum::http::{HeaderMap, Request, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::Xxh3;

use super::json::expected_offsets;
use super::{Parsed, Rows, TABLES_MAX};
use crate::error::{Kind, Problem};
use crate::http::request::params::name;
use crate::produce::decode::Format;

/// Whether the body is a form.
pub(super) fn is_form(headers: &HeaderMap) -> Result<bool, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(false) };
    let value = value.to_str().map_err(|_| Problem::malformed("header Content-Type is not text"))?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    Ok(essence.eq_ignore_ascii_case("multipart/form-data"))
}

/// Takes a form apart. It is whole and bounded already.
pub(super) async fn parse(headers: &HeaderMap, body: Bytes) -> Result<Parsed, Problem> {
    let mut request = Request::new(Body::from(body));
    if let Some(content_type) = headers.get(header::CONTENT_TYPE) {
        request.headers_mut().insert(header::CONTENT_TYPE, content_type.clone());
    }
    DefaultBodyLimit::disable().apply(&mut request);
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|error| Problem::malformed(format!("the form: {}", error.body_text())))?;
    let mut parsed = Parsed::default();
    let mut hash = Xxh3::new();
    hash.update(b"write;form;");
    let mut offsets = Vec::new();
    while let Some(field) = form.next_field().await.map_err(|error| broken(&error.body_text()))? {
        let part = Part::read(field).await?;
        part.add_to(&mut hash);
        match part.name.as_str() {
            "__positions" => parsed.positions = part.json()?,
            "__expected" => parsed.expected = part.json()?,
            "__expected_offset" => offsets = expected_offsets(&part.body)?,
            other if other.starts_with("__") => {
                return Err(Problem::unsupported(format!(
                    "part {other:?} is not known: __positions, __expected, __expected_offset, or a table"
                )));
            }
            table => parsed.push(Rows {
                table: name(table)?,
                format: Format::of(part.content_type.as_deref(), &part.body)
                    .map_err(|problem| problem.of_table(table))?,
                body: part.body,
                bucket: None,
                create: false,
                expected_offset: None,
            })?,
        }
        if parsed.parts.len() > TABLES_MAX {
            return Err(Problem::new(Kind::TooLarge, format!("at most {TABLES_MAX} tables in a request")));
        }
    }
    parsed.expect_offsets(offsets)?;
    parsed.hash = hash.digest128();
    Ok(parsed)
}

/// A part, read.
struct Part {
    name: String,
    content_type: Option<String>,
    body: Bytes,
}

impl Part {
    async fn read(field: Field<'_>) -> Result<Self, Problem> {
        let Some(name) = field.name().map(str::to_owned) else {
            return Err(Problem::malformed("a part of the form has no name: name it after its table"));
        };
        let content_type = field.content_type().map(str::to_owned);
        let body = field.bytes().await.map_err(|error| broken(&error.body_text()))?;
        Ok(Self { name, content_type, body })
    }

    fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Problem::malformed(format!("part {}: {error}", self.name)))
    }

    /// What a retry sends again; the boundary is another one each time.
    fn add_to(&self, hash: &mut Xxh3) {
        let content_type = self.content_type.as_deref().unwrap_or_default();
        for text in [self.name.as_bytes(), content_type.as_bytes(), &self.body] {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text);
        }
    }
}

fn broken(text: &str) -> Problem {
    Problem::malformed(format!("the form is broken: {text}"))
}
