//! A store that ignores create-if-absent is refused at the start: on it, two gateways would overwrite each other's commits.

use std::time::Duration;

use crate::support::fake_s3::FakeS3;
use crate::support::frazil::{Frazil, Start};
use crate::support::store::Store;

#[tokio::test]
async fn a_store_that_overwrites_is_refused_in_words() {
    let fake = FakeS3::start().await;
    let store = Store::endpoint(&fake.endpoint());
    for verb in ["gateway", "dev"] {
        let mut process = Start::new(verb, &store).process();
        let code = process.wait(Duration::from_secs(5)).await;
        assert_eq!(code, Some(3), "refused by the probe: {}", process.words());
        let words = process.words();
        assert!(
            words.contains("If-None-Match") || words.contains("create-if-absent"),
            "it says what the store did: {words}"
        );
        assert!(words.contains("overw") || words.contains("replaced"), "it says what the store did: {words}");
    }
    let left: Vec<String> = fake
        .keys()
        .into_iter()
        .filter(|key| key.contains("/frazil-probe/") || key.contains("/log/"))
        .collect();
    assert!(left.is_empty(), "nothing is written to a refused store, and the probe cleans up: {left:?}");
}

#[tokio::test]
async fn the_probe_of_a_good_store_leaves_nothing_behind() {
    let mut store = Store::minio().await;
    let gateway = Frazil::gateway(&store).await;
    let keys = store.server().keys("a/prefix").await;
    assert!(keys.iter().any(|key| key.contains("/default/log/")), "the default database is made: {keys:?}");
    assert!(!keys.iter().any(|key| key.contains("frazil-probe")), "{keys:?}");
    drop(gateway);
}
