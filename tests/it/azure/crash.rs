//! The program is killed at every single call that changes something.

use meshvm_arm::Manners;
use serde_json::{Value, json};

use super::ground::{Ground, member};
use crate::support::cloud::{Image, crash};

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
