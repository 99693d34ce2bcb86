//! The harness itself: a fault that is not made is a test that cannot fail.

use std::time::Duration;

use super::fake_s3::FakeS3;
use super::http::Http;
use super::minio::Minio;
use super::proxy::{Mode, Proxy};

const HEALTH: &str = "/minio/health/ready";

#[tokio::test]
async fn the_fake_overwrites_what_it_should_refuse() {
    let fake = FakeS3::start().await;
    let http = Http::new(&fake.endpoint());
    let create = [("if-none-match", "*")];
    for body in ["first", "second"] {
        let answer = http.request("PUT", "/bucket/a%2Fb/1", &create, Some(body.as_bytes().to_vec())).await;
        assert_eq!(answer.status, 200);
    }
    http.put("/bucket/c", "3").await;
    assert_eq!(http.get("/bucket/a/b/1").await.text, "second");
    let range = http.request("GET", "/bucket/a/b/1", &[("range", "bytes=1-2")], None).await;
    assert_eq!(
        (range.status, range.text.as_str(), range.header("content-range")),
        (206, "ec", "bytes 1-2/6")
    );
    let head = http.request("HEAD", "/bucket/a/b/1", &[], None).await;
    assert_eq!((head.status, head.header("content-length")), (200, "6"));
    let list = http.get("/bucket?list-type=2&prefix=a%2F&delimiter=%2F").await;
    assert!(list.text.contains("<Prefix>a/b/</Prefix>") && !list.text.contains("<Key>c<"), "{list:?}");
    http.post("/bucket?delete", "<Delete><Object><Key>c</Key></Object></Delete>").await;
    assert_eq!(http.request("DELETE", "/bucket/a/b/1", &[], None).await.status, 204);
    assert_eq!((http.get("/bucket/c").await.status, fake.keys()), (404, Vec::new()));
}

#[tokio::test]
async fn minio_keeps_its_port_over_a_kill_and_hangs_while_frozen() {
    let mut minio = Minio::start().await;
    let http = Http::new(&minio.endpoint());
    minio.stop();
    assert!(http.try_get(HEALTH).await.is_err());
    minio.restart().await;
    assert_eq!(http.get(HEALTH).await.status, 200);
    assert_eq!(minio.keys("").await, Vec::<String>::new(), "the bucket is there, and empty");
    minio.freeze();
    let hanging = tokio::time::timeout(Duration::from_millis(300), http.get(HEALTH)).await;
    assert!(hanging.is_err(), "{hanging:?}");
    minio.thaw();
    assert_eq!(http.get(HEALTH).await.status, 200);
}

#[tokio::test]
async fn the_proxy_passes_holds_and_cuts() {
    let fake = FakeS3::start().await;
    let proxy = Proxy::start(fake.endpoint().trim_start_matches("http://").to_owned()).await;
    let http = Http::new(&proxy.endpoint());
    assert_eq!(http.put("/bucket/passed", "1").await.status, 200);

    proxy.set(Mode::HoldAnswers);
    let held = tokio::time::timeout(Duration::from_millis(300), http.put("/bucket/held", "1")).await;
    assert!(held.is_err(), "{held:?}");
    assert!(fake.keys().contains(&"/bucket/held".to_owned()), "the request arrived, its answer did not");

    proxy.set(Mode::Stall);
    let stalled = tokio::time::timeout(Duration::from_millis(300), http.put("/bucket/stalled", "1")).await;
    assert!(stalled.is_err(), "{stalled:?}");
    assert!(!fake.keys().contains(&"/bucket/stalled".to_owned()));

    proxy.set(Mode::Cut);
    assert!(http.try_get("/bucket/passed").await.is_err());
    proxy.set(Mode::Pass);
    assert_eq!(http.get("/bucket/passed").await.text, "1");
}
