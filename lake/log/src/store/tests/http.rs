//! How S3's answers, as they come over the wire, turn into outcomes.

use std::time::Duration;

use super::payload;
use super::server::{Reply, Request, Server, store_at};
use crate::error::ErrorKind;
use crate::id::Name;
use crate::store::{CreateOutcome, Path, StoreOptions, paths};

const CREATED: Reply = Reply::Status(200, &[("ETag", "\"e\"")], "");

fn path() -> Path {
    paths::log(&Name::new("default").unwrap(), 7)
}

async fn create(server: &Server) -> CreateOutcome {
    let (store, path) = (server.store(), path());
    let create = store.create_if_absent(&path, payload("rows"));
    tokio::time::timeout(super::PATIENCE, create).await.unwrap()
}

fn fixed(status: u16, body: &'static str) -> impl Fn(usize, &Request) -> Reply + Send + Sync {
    move |_, _| Reply::Status(status, &[], body)
}

#[tokio::test]
async fn a_create_is_one_put_if_none_match_in_path_style() {
    let server = Server::start(|_, _| CREATED).await;
    assert!(matches!(create(&server).await, CreateOutcome::Committed));

    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].method, "PUT");
    assert_eq!(requests[0].target, "/bucket/root/default/log/00000000000000000007");
    assert_eq!(requests[0].headers.get("if-none-match").map(String::as_str), Some("*"));
    assert!(requests[0].headers["authorization"].contains("/us-east-1/s3/"));
}

#[tokio::test]
async fn a_412_is_lost() {
    let server = Server::start(fixed(412, "<Error><Code>PreconditionFailed</Code></Error>")).await;
    assert!(matches!(create(&server).await, CreateOutcome::Lost));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_409_is_sent_again_and_never_taken_for_lost() {
    let conflict = || Reply::Status(409, &[], "<Error><Code>ConditionalRequestConflict</Code></Error>");
    let server = Server::start(move |n, _| if n < 2 { conflict() } else { CREATED }).await;
    assert!(matches!(create(&server).await, CreateOutcome::Committed));
    assert_eq!(server.requests().len(), 3);

    let server =
        Server::start(move |n, _| if n < 1 { conflict() } else { Reply::Status(412, &[], "") }).await;
    assert!(matches!(create(&server).await, CreateOutcome::Lost));

    let server = Server::start(move |_, _| conflict()).await;
    let outcome = create(&server).await;
    assert!(matches!(&outcome, CreateOutcome::Unknown(error) if error.is_retryable()), "{outcome:?}");
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn an_answer_that_says_nothing_is_unknown_after_a_single_request() {
    for status in [400, 408, 429, 500, 502, 503, 504] {
        let server = Server::start(fixed(status, "<Error><Code>InternalError</Code></Error>")).await;
        let outcome = create(&server).await;
        assert!(
            matches!(&outcome, CreateOutcome::Unknown(error) if error.kind() == ErrorKind::Unavailable),
            "{status}: {outcome:?}"
        );
        assert_eq!(server.requests().len(), 1, "{status} was sent again");
    }
    let server = Server::start(|_, _| Reply::Close).await;
    assert!(matches!(create(&server).await, CreateOutcome::Unknown(_)));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_lost_connection_or_answer_is_unknown_in_time() {
    let server = Server::start(|_, _| Reply::Hang).await;
    let options = StoreOptions { request_timeout: Duration::from_millis(200), ..StoreOptions::default() };
    let store = store_at(&server.endpoint(), options);
    let path = path();
    let create = store.create_if_absent(&path, payload("rows"));
    let outcome = tokio::time::timeout(Duration::from_secs(5), create).await.unwrap();
    assert!(matches!(outcome, CreateOutcome::Unknown(_)), "{outcome:?}");
    assert_eq!(server.requests().len(), 1);

    let endpoint = server.endpoint();
    drop(server);
    let store = store_at(&endpoint, StoreOptions::default());
    let outcome = store.create_if_absent(&path, payload("rows")).await;
    assert!(matches!(outcome, CreateOutcome::Unknown(_)), "{outcome:?}");
}

#[tokio::test]
async fn what_for_certain_wrote_nothing_is_denied_with_the_remedy() {
    for (status, body, kind, words) in [
        (403, "<Error><Code>AccessDenied</Code></Error>", ErrorKind::Denied, "s3:PutObject"),
        (401, "", ErrorKind::Denied, "s3:PutObject"),
        (404, "<Error><Code>NoSuchBucket</Code></Error>", ErrorKind::Denied, "bucket is not there"),
        (501, "<Error><Code>NotImplemented</Code></Error>", ErrorKind::Unsupported, "NotImplemented"),
        (301, "", ErrorKind::Invalid, "AWS_REGION"),
    ] {
        let server = Server::start(fixed(status, body)).await;
        match create(&server).await {
            CreateOutcome::Denied(error) => {
                assert_eq!(error.kind(), kind, "{status}: {error}");
                assert!(error.to_string().contains(words), "{status}: {error}");
            }
            outcome => panic!("{status}: {outcome:?}"),
        }
        assert_eq!(server.requests().len(), 1, "{status} was sent again");
    }
}

#[tokio::test]
async fn an_absent_key_is_none_but_an_absent_bucket_or_a_denied_read_is_an_error() {
    let server = Server::start(fixed(404, "<Error><Code>NoSuchKey</Code></Error>")).await;
    assert_eq!(server.store().get_prefix(&path(), 100).await.unwrap(), None);
    assert_eq!(server.store().get_ranges(&path(), &[0..1, 9..10]).await.unwrap(), None);

    for (status, body, words) in [
        (404, "<Error><Code>NoSuchBucket</Code></Error>", "bucket is not there"),
        (403, "<Error><Code>AccessDenied</Code></Error>", "s3:GetObject"),
        (400, "<Error><Code>ExpiredToken</Code></Error>", "s3:GetObject"),
    ] {
        let server = Server::start(fixed(status, body)).await;
        let error = server.store().get_prefix(&path(), 100).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_denied_list_or_delete_is_named_although_the_library_hides_its_status() {
    let prefix = Path::from("a");
    let server = Server::start(fixed(403, "<Error><Code>AccessDenied</Code></Error>")).await;
    let listed = server.store().list(&prefix, None, 1).await.unwrap_err();
    let databases = server.store().list_databases().await.unwrap_err();
    for error in [listed, databases] {
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.to_string().contains("s3:ListBucket"), "{error}");
    }
    assert_eq!(server.requests().len(), 2);

    let server = Server::start(fixed(404, "<Error>\n<Code>NoSuchBucket</Code></Error>")).await;
    let error = server.store().list(&prefix, None, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("bucket is not there"), "{error}");
    assert!(!error.to_string().contains('\n'), "{error}");

    let refused = "<DeleteResult><Error><Key>root/a/b</Key><Code>AccessDenied</Code><Message>Access Denied.</Message>\
                   </Error></DeleteResult>";
    let server = Server::start(fixed(200, refused)).await;
    let error = server.store().delete_many(&[Path::from("a/b")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("s3:DeleteObject"), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_read_is_tried_again_after_a_503_and_after_a_body_that_ends_early() {
    let server = Server::start(|n, _| match n {
        0 => Reply::Status(503, &[], "<Error><Code>SlowDown</Code></Error>"),
        1 => Reply::Status(206, &[("Content-Range", "bytes 0-3/10"), ("Content-Length", "4")], "01"),
        _ => Reply::Status(
            206,
            &[("Content-Range", "bytes 0-3/10"), ("Date", "Sun, 06 Nov 1994 08:49:37 GMT")],
            "0123",
        ),
    })
    .await;
    let store = server.store();
    let head = store.get_prefix(&path(), 4).await.unwrap().unwrap();
    assert_eq!((head.bytes.as_ref(), head.size), (b"0123".as_slice(), 10));
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[0].headers["range"], "bytes=0-3");
    assert_eq!(store.date_latest().map(|seen| seen.date), Some(784_111_777_000_000));
}

#[tokio::test]
async fn an_object_cut_short_is_corrupt_and_an_empty_one_is_empty() {
    let unsatisfiable = |_: usize, request: &Request| match request.method.as_str() {
        "HEAD" => Reply::Status(200, &[("Content-Length", "0")], ""),
        _ => Reply::Status(416, &[], "<Error><Code>InvalidRange</Code></Error>"),
    };
    let server = Server::start(unsatisfiable).await;
    let head = server.store().get_prefix(&path(), 4).await.unwrap().unwrap();
    assert_eq!((head.bytes.len(), head.size), (0, 0));
    let error = server.store().get_ranges(&path(), std::slice::from_ref(&(4..9))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    for words in ["default/log/00000000000000000007", "bytes 4..9", "found 0"] {
        assert!(error.to_string().contains(words), "{error}");
    }

    let short = |_: usize, _: &Request| Reply::Status(206, &[("Content-Range", "bytes 4-6/7")], "456");
    let server = Server::start(short).await;
    let error = server.store().get_ranges(&path(), std::slice::from_ref(&(4..9))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn the_newest_checkpoint_costs_one_request_however_many_there_are() {
    let page = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>more</NextContinuationToken>\
                <Contents><Key>root/default/checkpoint/00000000000000000001</Key><Size>5</Size>\
                <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>\
                <Contents><Key>root/default/checkpoint/00000000000000000002</Key><Size>5</Size>\
                <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents></ListBucketResult>";
    let server = Server::start(fixed(200, page)).await;
    let prefix = paths::checkpoint_prefix(&Name::new("default").unwrap());
    let newest = server.store().list(&prefix, None, 1).await.unwrap();
    let name = newest[0].path.as_ref();
    assert_eq!((newest.len(), name), (1, "default/checkpoint/00000000000000000001"));
    assert_eq!(server.requests().len(), 1);
    let two = server.store().list(&prefix, Some(&newest[0].path), 1).await.unwrap();
    assert_eq!(two[0].path.as_ref(), "default/checkpoint/00000000000000000002");
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].target.contains("start-after=root%2Fdefault%2Fcheckpoint%2F00000000000000000001"));
}
