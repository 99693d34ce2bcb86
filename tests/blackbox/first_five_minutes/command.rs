//! The command, its banner, and who may speak to it.

use std::time::Duration;

use super::World;
use crate::support::frazil::{Frazil, Start, command};
use crate::support::store::Store;

super::on_each_store!(the_command_does_what_curl_does,);

async fn the_command_does_what_curl_does(world: &World) {
    let (store, url) = (&world.store, world.a.url());
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let file = scratch.path().join("more.ndjson");
    let lines: String = (0..1000).map(|key| format!("{{\"key\":{key},\"page\":\"/{key}\"}}\n")).collect();
    std::fs::write(&file, lines).expect("a file can be written");
    let file = file.to_str().expect("the path is UTF-8");

    let made =
        command(&["table", "create", "visits", "key BIGINT NOT NULL, page STRING", "--url", url], store)
            .await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let produced = command(&["produce", "visits", file, "--url", url], store).await;
    assert_eq!(produced.code, Some(0), "{produced:?}");
    let consumed =
        command(&["consume", "visits", "--from", "998", "-o", "json", "--url", world.b.url()], store).await;
    assert_eq!(consumed.code, Some(0), "{consumed:?}");
    assert!(
        consumed.stdout.contains("/998")
            && consumed.stdout.contains("/999")
            && !consumed.stdout.contains("/997"),
        "{consumed:?}"
    );
    let listed = command(&["table", "list", "-o", "json", "--url", url], store).await;
    assert!(listed.code == Some(0) && listed.stdout.contains("visits"), "{listed:?}");
    looks_on(store, url).await;
    let missing = command(&["consume", "nowhere", "--url", url], store).await;
    assert_eq!(missing.code, Some(1), "{missing:?}");
    let usage = command(&["no-such-verb"], store).await;
    assert_eq!(usage.code, Some(2), "{usage:?}");
}

/// What an operator types.
async fn looks_on(store: &Store, url: &str) {
    let status = command(&["status", "--url", url], store).await;
    assert_eq!(status.code, Some(0), "{status:?}");
    let top = ["top", "--interval", "300ms", "--count", "2", "-o", "json", "--url", url];
    let top = command(&top, store).await;
    assert!(top.code == Some(0) && top.stdout.lines().count() == 2, "{top:?}");
    let log = command(&["log", "ls", "--store", &store.url], store).await;
    assert!(log.code == Some(0) && log.stdout.lines().count() > 1, "{log:?}");
    let verified = command(&["verify", "--store", &store.url], store).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[tokio::test]
async fn the_banner_of_dev_can_be_pasted() {
    let store = Store::file();
    let frazil = Frazil::dev(&store).await;
    let banner = frazil.stdout();
    assert!(frazil.started_in < Duration::from_secs(2), "the banner took {:?}", frazil.started_in);
    for words in [
        frazil.url(),
        "/v1/databases/default/tables/clicks/rows?create=true",
        "frazil consume clicks -f",
        "frazil produce clicks",
        "fsync on",
    ] {
        assert!(banner.contains(words), "{words} in {banner}");
    }
    assert!(banner.contains(&*store.path().to_string_lossy()), "the data path is shown: {banner}");
    assert!(!banner.contains("iceberg"), "a line for a door appears once that door is open: {banner}");
}

#[tokio::test]
async fn a_token_is_asked_for_and_a_process_without_one_stays_on_loopback() {
    let store = Store::file();
    let mut open = Start::new("gateway", &store).listen("0.0.0.0:0").process();
    let code = open.wait(Duration::from_secs(10)).await;
    assert!(code.is_some_and(|code| code != 0) && open.words().contains("token"), "{}", open.words());

    let frazil = Start::new("gateway", &store).env("FRAZIL_TOKEN", "ice").run().await;
    let tables = "/v1/databases/default/tables";
    frazil.http.get(tables).await.problem(401, "unauthenticated");
    let wrong = frazil.http.request("GET", tables, &[("authorization", "Bearer snow")], None).await;
    wrong.problem(401, "unauthenticated");
    frazil.http.request("GET", tables, &[("authorization", "Bearer ice")], None).await.ok(200);

    let mut insecure = Start::new("gateway", &store).listen("0.0.0.0:0").arg("--insecure").process();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(insecure.ended().is_none(), "told --insecure, it listens: {}", insecure.words());
}
