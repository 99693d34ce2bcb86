//! The OpenAPI document: the routes describe themselves, the problems come from their table.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, ResponseBuilder};

use crate::error::table::TABLE;
use crate::http::Doors;

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "process", responses((status = 200, description = "this document")))]
pub(in crate::http) async fn openapi(State(doors): State<Arc<Doors>>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], doors.openapi.clone()).into_response()
}

/// Gives every operation the problem as its answer to everything else.
pub(in crate::http) fn add_problems(document: &mut OpenApi) {
    document.info.title = "Frazil".to_owned();
    document.info.version = crate::http::VERSION.to_owned();
    document.info.description = Some("Streams and tables that live in object storage.".to_owned());
    let components = document.components.get_or_insert_default();
    components.schemas.insert("Problem".to_owned(), RefOr::T(problem_schema()));
    for item in document.paths.paths.values_mut() {
        let operations =
            [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch, &mut item.head];
        for operation in operations.into_iter().flatten() {
            let content = Content::new(Some(Ref::from_schema_name("Problem")));
            let response = ResponseBuilder::new()
                .description("a problem (RFC 9457)")
                .content("application/problem+json", content)
                .build();
            operation.responses.responses.insert("default".to_owned(), RefOr::T(response));
        }
    }
}

fn problem_schema() -> Schema {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let number = || ObjectBuilder::new().schema_type(Type::Integer);
    let kinds = TABLE.iter().map(|row| format!("/errors/{}", row.slug));
    let row_error = ObjectBuilder::new()
        .property("row", number())
        .property("column", text())
        .property(
            "kind",
            text().enum_values(Some(["wrong-type", "missing", "unknown-column", "out-of-range"])),
        )
        .property("pointer", text())
        .property("expected", text())
        .property("found", text());
    ObjectBuilder::new()
        .property("type", text().enum_values(Some(kinds)))
        .property("title", text())
        .property("status", number())
        .property("detail", text())
        .property("errors", ArrayBuilder::new().items(row_error))
        .property("errors_total", number())
        .property("outcome", text().enum_values(Some(["not-committed", "unknown"])))
        .property("retry", text().enum_values(Some(["never", "same", "after"])))
        .property("request_id", text())
        .required("type")
        .required("title")
        .required("status")
        .required("detail")
        .required("retry")
        .into()
}
