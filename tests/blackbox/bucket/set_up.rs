//! `frazil bucket`: a bucket is set up, a second run changes nothing, and the printed policies are enough and no more.

use std::path::Path;

use serde_json::Value;

use super::Examined;
use crate::support::frazil::{Frazil, Start, command};
use crate::support::minio::BUCKET;
use crate::support::store::Store;
use crate::table;

/// Setting and state of each line that `bucket create` reports.
async fn create(url: &str, arguments: &[&str], store: &Store) -> Vec<(String, String)> {
    let done = command(&[&["bucket", "create", url, "-o", "json"], arguments].concat(), store).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let report: Value = serde_json::from_str(&done.stdout).expect("it prints JSON");
    let text = |value: &Value| value.as_str().expect("it is text").to_owned();
    let settings = report["settings"].as_array().expect("settings are a list");
    settings.iter().map(|setting| (text(&setting["setting"]), text(&setting["state"]))).collect()
}

#[tokio::test]
async fn a_bucket_is_made_once_and_put_right_without_touching_what_is_others() {
    let mut store = Store::minio().await;
    let url = "s3://fresh-bucket/a/prefix";
    let tag = ["--tag", "team=data"];
    let would = create(url, &["--dry-run"], &store).await;
    assert_eq!(would[0], ("bucket".to_owned(), "would".to_owned()), "{would:?}");
    assert!(!store.server().mc(&["ls", "tests"]).await.contains("fresh-bucket"), "a dry run makes nothing");

    let first = create(url, &tag, &store).await;
    let state = |of: &str, states: &[(String, String)]| {
        states.iter().find(|(setting, _)| setting == of).map(|(_, state)| state.clone()).unwrap_or_default()
    };
    assert_eq!((state("bucket", &first), state("tags", &first)), ("done".into(), "done".into()), "{first:?}");
    // MinIO gives up unfinished uploads by itself, and has no rule for it.
    assert_eq!(state("lifecycle", &first), "lacks", "{first:?}");
    let rule = ["ilm", "rule", "add", "--expire-days", "30", "--prefix", "others/", "tests/fresh-bucket"];
    store.server().mc(&rule).await;
    let again = create(url, &tag, &store).await;
    assert!(again.iter().all(|(_, state)| state == "kept" || state == "lacks"), "{again:?}");

    let here = Store { url: url.to_owned(), environment: store.environment.clone(), ..Store::file() };
    let examined = Examined::of(&here, &[]).await;
    assert_eq!((examined.done.code, examined.about("lifecycle").0), (Some(0), "ok"), "{}", examined.report);
    let rule = ["ilm", "rule", "add", "--expire-days", "30", "--prefix", "a/", "tests/fresh-bucket"];
    store.server().mc(&rule).await;
    let done = command(&["bucket", "create", url], &store).await;
    assert!(done.code == Some(0) && done.stdout.contains("DANGER"), "{done:?}");
    Examined::of(&here, &[]).await.expect("lifecycle", "fail", "deletes objects of a/");

    let refused = command(&["bucket", "create", "/some/directory"], &store).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("s3://bucket"), "{refused:?}");
}

/// A user with the policy that `frazil bucket policy` prints for a role; the store as that user reaches it.
async fn user(role: &str, store: &mut Store, scratch: &Path) -> Store {
    let printed = command(&["bucket", "policy", &store.url, "--role", role], store).await;
    assert_eq!(printed.code, Some(0), "{printed:?}");
    let file = scratch.join(format!("{role}.json"));
    std::fs::write(&file, &printed.stdout).expect("the policy can be written");
    let (name, secret) = (format!("user-{role}"), format!("secret-of-{role}"));
    let minio = store.server();
    minio.mc(&["admin", "policy", "create", "tests", role, file.to_str().expect("the path is UTF-8")]).await;
    minio.mc(&["admin", "user", "add", "tests", &name, &secret]).await;
    minio.mc(&["admin", "policy", "attach", "tests", role, "--user", &name]).await;
    let environment = minio.environment_of(&minio.endpoint(), &name, &secret);
    Store { url: store.url.clone(), environment, ..Store::file() }
}

#[tokio::test]
async fn the_printed_policies_are_enough_and_no_more() {
    let mut store = Store::minio().await;
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let as_gateway = user("gateway", &mut store, scratch.path()).await;
    let gateway = Frazil::gateway(&as_gateway).await;
    let rows = format!("{}/rows", table("tides"));
    gateway.http.post(&format!("{rows}?create=true"), r#"[{"id":1}]"#).await.ok(200);
    drop(gateway);
    let examined = Examined::of(&as_gateway, &[]).await;
    assert_eq!(examined.done.code, Some(0), "{}", examined.report);
    for permission in ["s3:ListBucket", "s3:PutObject", "s3:GetObject", "s3:DeleteObject"] {
        assert_eq!(examined.about(permission).0, "ok", "{}", examined.report);
    }
    examined.expect("s3:GetLifecycleConfiguration", "warn", "for whoever runs doctor");

    let as_compactor = user("compactor", &mut store, scratch.path()).await;
    let dev = Start::new("dev", &as_compactor).run().await;
    dev.http.post(&rows, r#"[{"id":2}]"#).await.ok(200);
    drop(dev);

    let as_reader = user("read-only", &mut store, scratch.path()).await;
    let verified = command(&["verify", "--store", &as_reader.url], &as_reader).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert_eq!(Examined::of(&as_reader, &["--read-only"]).await.done.code, Some(0));
    let refused = Examined::of(&as_reader, &[]).await;
    assert_eq!(refused.done.code, Some(3), "{}", refused.report);
    refused.expect("s3:PutObject", "fail", "denied");

    let elsewhere = Store { url: format!("s3://{BUCKET}/another/prefix"), ..as_gateway };
    let refused = Examined::of(&elsewhere, &[]).await;
    assert_eq!(refused.done.code, Some(3), "a policy ends at its prefix: {}", refused.report);
}
