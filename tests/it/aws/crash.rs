//! The program is killed at every single call that changes something.

use meshvm_ec2::Manners;
use serde_json::{Value, json};

use super::ground::{Ground, member};
use crate::support::cloud::{Image, crash};

fn ground() -> Ground {
    Ground::new(Manners {
        lag: 2,
        ..Manners::default()
    })
}

fn fleet(name: &str, replicas: u32, image: Image, tag: &str) -> Value {
    let kernel = image.of("6.1", "6.12");
    let ssm = format!("/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-{kernel}-arm64");
    let block = json!({
        "zones": ["eu-west-1a", "eu-west-1b"],
        "image": {"ssm": ssm},
        "tags": {"team": tag},
    });
    member(name, replicas, &block)
}

#[test]
fn killed_before_each_change() {
    crash::every_call(ground, fleet, false, 6);
}

#[test]
fn killed_after_each_change() {
    crash::every_call(ground, fleet, true, 6);
}
