//! The program is killed at every single call that changes something.

use std::collections::BTreeMap;

use meshvm_arm::{Manners, Refusal};
use serde_json::{Value, json};

use super::ground::{Ground, member};
use crate::support::cloud::crash::{Ended, kill_at};
use crate::support::cloud::{Cloud, Image, crash};

fn ground() -> Ground {
    Ground::new(Manners {
        lag: 2,
        pending: 1,
        ..Manners::default()
    })
}

fn fleet(name: &str, replicas: u32, image: Image, tag: &str) -> Value {
    let image = json!({
        "publisher": "Debian", "offer": "debian-12", "sku": "12-gen2",
        "version": image.of("0.20260909.9", "0.20261010.10"),
    });
    let block = json!({"zones": ["1", "2"], "image": image, "tags": {"team": tag}});
    member(name, replicas, &block)
}

#[test]
fn killed_before_each_change() {
    crash::every_call(ground, fleet, false, 10);
}

#[test]
fn killed_after_each_change() {
    crash::every_call(ground, fleet, true, 10);
}

#[test]
fn killed_while_it_clears_up_after_a_machine_that_was_refused() {
    let mut kills = 0;
    for change in 1.. {
        let mut came_there = false;
        for is_done in [false, true] {
            let ground = Ground::new(Manners::default());
            let sizes = ["Standard_D2s_v5", "Standard_D4s_v5"];
            let block = json!({"publicAddress": true, "vmSize": sizes});
            ground.write(&BTreeMap::from([("web", member("web", 1, &block))]));
            let mut refusal = Refusal::new(
                "VirtualMachines.create_or_update",
                409,
                "OperationNotAllowed",
                "Exceeding approved standardDSv5Family Cores quota.",
            );
            refusal.leaves_interface = true;
            ground.arm.behave(|now| now.refusals.push(refusal));
            let place = format!("call {change}, is_done {is_done}");

            let ended = kill_at(&ground, &["apply", "-y"], change, is_done);
            ground.meshvm("apply -y").exits(0);
            assert_eq!(ground.machines().len(), 1, "{place}");
            let parts = ground.arm.parts();
            assert_eq!(parts.len(), 4, "{place}: {parts:?}");
            ground.meshvm("destroy -y").exits(0);
            assert_eq!(ground.arm.parts(), [""; 0], "{place}");
            came_there |= ended == Ended::Killed;
            kills += u32::from(ended == Ended::Killed);
        }
        if !came_there {
            break;
        }
    }
    // The machine; then its interface changes, and its address and it go.
    assert!(kills >= 8, "{kills} kills");
}
