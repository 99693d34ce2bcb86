//! `frazil cost`: of a gateway that has written, of what lies in a store, of a load in words.

use serde_json::Value;

use crate::support::frazil::{Frazil, command};
use crate::support::store::Store;
use crate::table;

async fn cost(arguments: &[&str], store: &Store) -> Value {
    let done = command(&[&["cost", "-o", "json"], arguments].concat(), store).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    serde_json::from_str(&done.stdout).expect("it prints JSON")
}

#[tokio::test]
async fn a_gateway_a_store_and_a_planned_load_have_their_price() {
    let store = Store::file();
    let gateway = Frazil::gateway(&store).await;
    let rows = format!("{}/rows?create=true", table("tides"));
    for n in 0..5 {
        gateway.http.post(&rows, &format!(r#"[{{"id":{n}}}]"#)).await.ok(200);
    }
    let running = cost(&["--url", gateway.url(), "--window", "1100ms"], &store).await;
    assert_eq!(running["usage_a_month"]["puts"], 0.0, "an idle gateway sends nothing: {running}");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let since_start = cost(&["--url", gateway.url()], &store).await;
    assert!(since_start["usage_a_month"]["puts"].as_f64() > Some(0.0), "{since_start}");

    let lying = cost(&["--store", &store.url], &store).await;
    let bytes: u64 =
        store.objects("/log/").iter().map(|path| path.metadata().expect("it is there").len()).sum();
    assert_eq!(lying["stored_bytes"]["log"], bytes, "{lying}");

    let planned = ["--mb-per-second", "5", "--gateways", "2", "--consumers", "3"];
    let standard = cost(&planned, &store).await;
    let total = |bill: &Value| bill["total"].as_f64().expect("dollars are a number");
    assert!(total(&standard["kafka"]) > total(&standard["bill"]), "{standard}");
    let prices = store.path().join("prices.toml");
    std::fs::write(&prices, "put_per_1000 = 0.0\nname = \"free\"\n").expect("the file can be written");
    let own = [&planned[..], &["--prices", prices.to_str().expect("the path is UTF-8")]].concat();
    let cheaper = cost(&own, &store).await;
    assert!(total(&cheaper["bill"]) < total(&standard["bill"]) && cheaper["prices"]["name"] == "free");
    std::fs::write(&prices, "put = 1\n").expect("the file can be written");
    let refused = command(&[&["cost"], &own[..]].concat(), &store).await;
    assert!(refused.code != Some(0) && refused.stderr.contains("put"), "{refused:?}");
}
