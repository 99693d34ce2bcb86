//! `frazil doctor` on stores as they are: a good one, one that breaks its promise, one that is not there.

use super::Examined;
use crate::support::fake_s3::FakeS3;
use crate::support::frazil::{Frazil, command};
use crate::support::store::Store;
use crate::table;

#[tokio::test]
async fn a_good_bucket_is_found_good_and_left_as_it_was() {
    let mut store = Store::minio().await;
    let fresh = Examined::of(&store, &["--probe", "600ms"]).await;
    assert_eq!(fresh.done.code, Some(0), "{}", fresh.report);
    for check in [
        "credentials",
        "bucket",
        "s3:ListBucket",
        "s3:PutObject",
        "s3:GetObject",
        "s3:DeleteObject",
        "s3:AbortMultipartUpload",
        "s3:GetLifecycleConfiguration",
        "conditional-put",
        "clock",
        "versioning",
        "lifecycle",
        "latency",
        "throttling",
        "ack",
        "log",
    ] {
        assert_eq!(fresh.about(check).0, "ok", "{check} in {}", fresh.report);
    }
    assert_eq!(fresh.report["measured"]["put"]["count"], 20, "{}", fresh.report);
    assert_eq!(store.server().keys("").await, Vec::<String>::new(), "nothing is left behind");

    let mut frazil = Frazil::gateway(&store).await;
    frazil.http.post(&format!("{}/rows?create=true", table("tides")), r#"[{"id":1}]"#).await.ok(200);
    frazil.kill();
    let used = Examined::of(&store, &[]).await;
    assert_eq!(used.done.code, Some(0), "it needs no gateway: {}", used.report);
    let database = &used.report["databases"][0];
    assert_eq!(
        (&database["database"], &database["moved"]),
        (&"default".into(), &false.into()),
        "{}",
        used.report
    );
    assert!(database["next"].as_u64() >= Some(2) && database["tables"] == 1, "{database}");
}

#[tokio::test]
async fn a_store_that_overwrites_fails_by_name() {
    let fake = FakeS3::start().await;
    let found = Examined::of(&Store::endpoint(&fake.endpoint()), &[]).await;
    assert_eq!(found.done.code, Some(3), "{}", found.report);
    found.expect("conditional-put", "fail", "If-None-Match");
    assert!(fake.keys().is_empty(), "{:?}", fake.keys());
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_told_apart_by_why() {
    let mut store = Store::minio().await;
    let with = |name: &str, value: &str, url: &str, store: &Store| {
        let mut environment = store.environment.clone();
        environment.retain(|(known, _)| known != name);
        environment.push((name.to_owned(), value.to_owned()));
        Store { url: url.to_owned(), environment, ..Store::file() }
    };
    let url = store.url.clone();
    for (name, value, url, check, word) in [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1", url.as_str(), "endpoint", "nothing answers"),
        ("AWS_ENDPOINT_URL", "http://no-such-host.invalid", &url, "endpoint", "no address"),
        ("AWS_SECRET_ACCESS_KEY", "wrong", &url, "credentials", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_REGION", "us-east-1", "s3://not-there/x", "bucket", "frazil bucket create s3://not-there/x"),
    ] {
        let found = Examined::of(&with(name, value, url, &store), &[]).await;
        assert_eq!(found.done.code, Some(3), "{name}={value}: {}", found.report);
        found.expect(check, "fail", word);
    }
    let https = format!("https://{}", store.server().address());
    let found = Examined::of(&with("AWS_ENDPOINT_URL", &https, &url, &store), &[]).await;
    found.expect("endpoint", "fail", "TLS");
}

#[tokio::test]
async fn directories_and_memory_are_looked_at_too() {
    let store = Store::file();
    let absent = Examined::of(&store, &[]).await;
    assert_eq!(absent.done.code, Some(0), "{}", absent.report);
    absent.expect("directory", "warn", "not there yet");
    drop(Frazil::gateway(&store).await);
    let before = store.objects("");
    let there = Examined::of(&store, &[]).await;
    assert_eq!(there.done.code, Some(0), "{}", there.report);
    for check in ["directory", "writing", "conditional-put", "latency", "log"] {
        assert_eq!(there.about(check).0, "ok", "{}", there.report);
    }
    assert_eq!(store.objects(""), before, "nothing is left behind");

    let memory = Store { url: "memory://".to_owned(), ..Store::file() };
    Examined::of(&memory, &[]).await.expect("durability", "warn", "gone when the process ends");
    assert_eq!(command(&["doctor"], &memory).await.code, Some(2), "a store must be named");
}
