//! Three gateways and a janitor on one bucket, any of them cut off at any time: `just cut-fleet 50`.
//!
//! Each reaches the store through a proxy of its own, and the gateways each other through another one. A victim is drawn, and what
//! happens to it: its connections to the store are cut, hang, or bring no answers; or no other gateway reaches it; or the gateways do
//! not reach each other at all. Clients reach all of them all the time. Numbers and draws as in [`super::fleet`].

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::time::sleep;

use super::fleet::{Fleet, GATEWAYS, Member, VERDICT_MAX, check_afterwards, count_and_seed, start_checker};
use crate::support::frazil::{Frazil, Start};
use crate::support::free_address;
use crate::support::proxy::{Mode, Proxy};
use crate::support::store::Store;

/// Between two cuts, and how long one lasts, in milliseconds.
const BETWEEN_MS: std::ops::Range<u64> = 100..1_000;
const CUT_MS: std::ops::Range<u64> = 100..2_500;

/// What lies between the members, by member.
struct Network {
    stores: Vec<Proxy>,
    peers: Vec<Proxy>,
}

/// Who does not reach what.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// One member the store.
    Store,
    /// The other gateways one of them.
    Peer,
    /// The gateways each other.
    AllPeers,
}

impl Network {
    /// A proxy before the store for each member, and one before each gateway.
    async fn start(store: &mut Store, addresses: &[String]) -> Self {
        let upstream = store.server().address();
        let (mut stores, mut peers) = (Vec::new(), Vec::new());
        for _ in 0..=addresses.len() {
            stores.push(Proxy::start(upstream.clone()).await);
        }
        for address in addresses {
            peers.push(Proxy::start(address.clone()).await);
        }
        Self { stores, peers }
    }

    /// Starts one member behind its proxies.
    fn member(&self, at: usize, start: Start) -> Start {
        let start = start.env("AWS_ENDPOINT_URL", &self.stores[at].endpoint());
        match self.peers.get(at) {
            Some(proxy) => start.arg("--advertise").arg(proxy.endpoint().trim_start_matches("http://")),
            None => start,
        }
    }

    fn set(&self, place: Place, at: usize, mode: Mode) {
        match place {
            Place::Store => self.stores[at].set(mode),
            Place::Peer => self.peers[at % self.peers.len()].set(mode),
            Place::AllPeers => self.peers.iter().for_each(|peer| peer.set(mode)),
        }
    }
}

#[tokio::test]
async fn a_fleet_that_is_cut_off_loses_and_doubles_nothing() {
    let (count, seed) = count_and_seed();
    let mut store = Store::minio().await;
    drop(Frazil::gateway(&store).await);
    let addresses: Vec<String> = (0..GATEWAYS).map(|_| free_address()).collect();
    let urls: Vec<String> = addresses.iter().map(|address| format!("http://{address}")).collect();
    let network = Network::start(&mut store, &addresses).await;
    let gateways = addresses.iter().enumerate().map(|(n, address)| {
        let start = Start::new("gateway", &store).listen(address);
        Member::new(format!("gateway {n}"), network.member(n, start))
    });
    let mut fleet = Fleet(gateways.collect());
    let compactor = network.member(GATEWAYS, Start::new("compactor", &store));
    fleet.0.push(Member::new("compactor".to_owned(), compactor));

    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let journal = scratch.path().join("acks.jsonl");
    let mut checker = start_checker(&urls, &journal, 4 + count * 19 / 10);
    let mut random = StdRng::seed_from_u64(seed);
    sleep(Duration::from_secs(1)).await;
    for n in 1..=count {
        sleep(Duration::from_millis(random.random_range(BETWEEN_MS))).await;
        assert!(checker.runs(), "the checker ended before cut {n}: {}", checker.words());
        let victim = random.random_range(0..fleet.0.len());
        let place =
            *[Place::Store, Place::Store, Place::Peer, Place::AllPeers].choose(&mut random).expect("four");
        let mode = *[Mode::Cut, Mode::Stall, Mode::HoldAnswers].choose(&mut random).expect("three");
        let lasts = Duration::from_millis(random.random_range(CUT_MS));
        println!("cut {n} of {count}: {place:?} of {}, {mode:?} for {lasts:?}", fleet.0[victim].name);
        network.set(place, victim, mode);
        sleep(lasts).await;
        network.set(place, victim, Mode::Pass);
        for member in &mut fleet.0 {
            let ended = member.ended();
            assert!(ended.is_none(), "{} ended by itself ({ended:?}, seed {seed})", member.name);
        }
    }
    let acked = checker.verdict(VERDICT_MAX).await;
    check_afterwards(&store, &journal, acked).await;
    println!("fleet: seed {seed}, {count} cuts, acked {acked} lost 0 doubled 0 gaps 0; verified");
}
