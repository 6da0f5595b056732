//! The program is killed at random moments on a cloud with EC2's manners: listings lag, replies are
//! lost, calls are throttled, and one type is short of room.

use meshvm_ec2::{Bucket, Manners};
use serde_json::{Value, json};

use super::ground::{Ground, member};
use crate::support::cloud::kill::{Wanted, series};

/// How often the series kills.
const KILLS: u32 = 50;

fn fleet(name: &str, wanted: Wanted) -> Value {
    let kernel = wanted.image.of("6.1", "6.12");
    let ssm = format!("/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-{kernel}-arm64");
    let block = json!({
        "instanceType": ["m7g.large", "m6g.large"],
        "zones": ["eu-west-1a", "eu-west-1b"],
        "image": {"ssm": ssm},
        "tags": {"team": wanted.tag},
    });
    member(name, wanted.replicas, &block)
}

#[test]
fn killed_at_random_moments_nothing_is_orphaned_and_nothing_doubled() {
    let mut manners = Manners {
        lag: 3,
        lose_every: 5,
        room: [("m7g.large".to_owned(), 9)].into(),
        ..Manners::default()
    };
    for action in ["RunInstances", "TerminateInstances", "CreateTags"] {
        manners.buckets.insert(action.to_owned(), Bucket::new(3, 5));
    }
    series(&Ground::new(manners), KILLS, fleet);
}
