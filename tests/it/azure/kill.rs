//! The program is killed at random moments on a cloud with Azure's manners: listings lag, replies
//! are lost, calls are throttled, and one size is short of room.

use meshvm_arm::Manners;
use serde_json::{Value, json};

use super::ground::{Ground, member};
use crate::support::cloud::kill::{Wanted, series};

/// How often the series kills.
const KILLS: u32 = 12;

fn fleet(name: &str, wanted: Wanted) -> Value {
    let image = json!({
        "publisher": "Debian", "offer": "debian-12", "sku": "12-gen2",
        "version": wanted.image.of("0.20260909.9", "0.20261010.10"),
    });
    let block = json!({
        "vmSize": ["Standard_D2s_v5", "Standard_D2as_v5"],
        "zones": ["1", "2"],
        "image": image,
        "tags": {"team": wanted.tag},
    });
    member(name, wanted.replicas, &block)
}

#[test]
fn killed_at_random_moments_nothing_is_orphaned_and_nothing_doubled() {
    let mut manners = Manners {
        lag: 3,
        lose_every: 5,
        pending: 2,
        room: [("Standard_D2s_v5".to_owned(), 9)].into(),
        ..Manners::default()
    };
    for operation in [
        "VirtualMachines.create_or_update",
        "VirtualMachines.delete",
        "VirtualMachines.list",
    ] {
        manners.throttle_every.insert(operation.to_owned(), 7);
    }
    let ground = Ground::new(manners);
    series(&ground, KILLS, fleet);
    assert_eq!(ground.arm.parts(), [""; 0]);
}
