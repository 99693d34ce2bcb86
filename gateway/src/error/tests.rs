use super::table::{TABLE, render_markdown};
use super::*;

fn row_error(row: u64) -> RowError {
    RowError {
        row,
        column: Some("id".to_owned()),
        kind: RowErrorKind::WrongType,
        pointer: format!("/{row}/id"),
        expected: "BIGINT".to_owned(),
        found: "\"x\"".to_owned(),
    }
}

#[test]
fn each_kind_finds_its_own_row() {
    for row in &TABLE {
        assert_eq!(row.kind.row().slug, row.slug);
        assert_eq!(row.retry == Retry::After, row.retry_after_s > 0, "{}", row.slug);
        assert!(StatusCode::from_u16(row.status).is_ok());
        assert!(row.advice.ends_with('.') && !row.title.ends_with('.'));
    }
    let mut slugs: Vec<_> = TABLE.iter().map(|row| row.slug).collect();
    slugs.sort_unstable();
    slugs.dedup();
    assert_eq!(slugs.len(), TABLE.len());
}

#[test]
fn a_problem_has_the_members_that_the_page_promises() {
    let problem = Problem::invalid_rows(vec![row_error(1)], 1).with_request_id("r1");
    let value: Value = serde_json::from_str(&problem.to_json()).unwrap();
    assert_eq!(value["type"], "/errors/invalid-rows");
    assert_eq!(value["status"], 422);
    assert_eq!(value["detail"], "row 1, column \"id\": expected BIGINT, found \"x\"");
    assert_eq!(value["errors"][0]["kind"], "wrong-type");
    assert_eq!(value["outcome"], "not-committed");
    assert_eq!(value["retry"], "never");
    assert_eq!(value["request_id"], "r1");
}

#[test]
fn only_a_hundred_row_errors_are_listed_and_the_rest_are_counted() {
    let problem = Problem::invalid_rows((0..250).map(row_error).collect(), 250);
    assert_eq!(problem.errors().len(), ROW_ERRORS_MAX);
    assert_eq!(problem.errors_total(), 250);
    assert!(problem.detail().ends_with("(and 249 more)"));
}

#[test]
fn a_nested_value_is_named_by_its_path() {
    let nested = RowError { pointer: "/1/id/0/x".to_owned(), ..row_error(1) };
    assert_eq!(nested.to_string(), "row 1, column \"id\" at /0/x: expected BIGINT, found \"x\"");
}

#[test]
fn the_response_says_when_to_come_again() {
    let response = Problem::new(Kind::Overloaded, "full").with_retry_after(3).into_response();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()[header::RETRY_AFTER], "3");
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    let plain = Problem::malformed("no").into_response();
    assert!(!plain.headers().contains_key(header::RETRY_AFTER));
}

#[test]
fn an_error_of_the_log_keeps_its_words() {
    let error =
        frazil_log::Error::corrupt("object x, bytes 0..4: expected 1, found 2").context("reading slot 7");
    let problem = Problem::from(error);
    assert_eq!(problem.kind(), Kind::Corrupt);
    assert_eq!(problem.detail(), "reading slot 7: object x, bytes 0..4: expected 1, found 2");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the switch of the tests that write pages")]
fn the_page_of_errors_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs")).unwrap();
        std::fs::write(path, render_markdown()).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap();
    assert!(page == render_markdown(), "docs/errors.md is not the table: run the tests with UPDATE_DOCS=1");
}
