//! The program is killed at random moments on a cloud with Compute Engine's manners: listings lag,
//! operations are slow, replies are lost, calls are throttled, and one type is short of room.

use meshvm_gce::Manners;
use serde_json::{Value, json};

use super::ground::{Ground, NEW, OLD, member};
use crate::support::cloud::kill::{Wanted, series};

/// How often the series kills.
const KILLS: u32 = 30;

fn fleet(name: &str, wanted: Wanted) -> Value {
    let image = wanted.image.of(OLD, NEW);
    let block = json!({
        "machineType": ["n2-standard-2", "e2-medium"],
        "zones": ["europe-west1-b", "europe-west1-c"],
        "image": format!("projects/debian-cloud/global/images/{image}"),
        "labels": {"team": wanted.tag},
    });
    member(name, wanted.replicas, &block)
}

#[test]
fn killed_at_random_moments_nothing_is_orphaned_and_nothing_doubled() {
    let ground = Ground::new(Manners {
        lag: 3,
        slow: 4,
        lose_every: 5,
        throttle_every: 7,
        room: [("n2-standard-2".to_owned(), 9)].into(),
        ..Manners::default()
    });
    series(&ground, KILLS, fleet);
}
