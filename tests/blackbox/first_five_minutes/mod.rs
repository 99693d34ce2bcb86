//! What a newcomer types, through two gateways on one store: each scenario on a directory and on a real MinIO.

use crate::support::frazil::Frazil;
use crate::support::store::Store;
use crate::table;

mod command;
mod consume;
mod produce;
mod tables;

/// Two gateways, `a` and `b`, on one store.
struct World {
    store: Store,
    a: Frazil,
    b: Frazil,
}

impl World {
    async fn on(store: Store) -> Self {
        let (a, b) = (Frazil::gateway(&store).await, Frazil::gateway(&store).await);
        Self { store, a, b }
    }

    /// Makes `visits (key BIGINT NOT NULL, page STRING)` and gives the path of its rows.
    async fn visits(&self) -> String {
        self.a.http.put(&table("visits"), r#"{"columns":"key BIGINT NOT NULL, page STRING"}"#).await.ok(201);
        format!("{}/rows", table("visits"))
    }
}

/// Makes of each scenario, `async fn(&World)`, a test on a directory and one on MinIO.
macro_rules! on_each_store {
    ($($scenario:ident),* $(,)?) => {
        mod file {
            use crate::first_five_minutes::World;
            use crate::support::store::Store;
            $(#[tokio::test] async fn $scenario() { super::$scenario(&World::on(Store::file()).await).await; })*
        }
        mod minio {
            use crate::first_five_minutes::World;
            use crate::support::store::Store;
            $(#[tokio::test] async fn $scenario() { super::$scenario(&World::on(Store::minio().await).await).await; })*
        }
    };
}
use on_each_store;
