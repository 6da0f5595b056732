//! The program is killed at every single call that changes something.

use meshvm_gce::Manners;
use serde_json::{Value, json};

use super::ground::{Ground, NEW, OLD, member};
use crate::support::cloud::{Image, crash};

fn ground() -> Ground {
    Ground::new(Manners {
        lag: 2,
        ..Manners::default()
    })
}

fn fleet(name: &str, replicas: u32, image: Image, tag: &str) -> Value {
    let image = format!("projects/debian-cloud/global/images/{}", image.of(OLD, NEW));
    let block = json!({
        "zones": ["europe-west1-b", "europe-west1-c"],
        "image": image,
        "labels": {"team": tag},
    });
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
