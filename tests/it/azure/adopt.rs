//! Machines that others made are taken over, and let go again.

use std::collections::BTreeMap;

use meshvm_arm::Manners;
use serde_json::json;

use super::ground::{Ground, member};
use crate::support::cloud::Cloud;

#[test]
fn a_machine_that_others_made_is_adopted_as_it_is_and_changed_as_the_file_says() {
    let ground = Ground::new(Manners::default());
    ground.arm.make("db-1", &json!({"billed-by": "finance"}));
    let block = json!({"tags": {"team": "a"}});
    ground.write(&BTreeMap::from([("web", member("web", 1, &block))]));

    let plan = ground.meshvm("plan --adopt web=db-1").exits(0);
    assert!(plan.stdout.contains("adopt"), "{}", plan.stdout);
    assert!(plan.stdout.contains("tags.team"), "{}", plan.stdout);
    assert_eq!(ground.machines()[0].tags.len(), 1, "a plan changes nothing");
    ground.meshvm("apply -y --adopt web=db-1").exits(0);
    let found = ground.machines();
    assert_eq!(found.len(), 1, "it is the fleet's only machine: {found:?}");
    let tags = &found[0].tags;
    assert_eq!(
        (found[0].name.as_str(), tags["team"].as_str()),
        ("db-1", "a")
    );
    assert_eq!(tags["billed-by"], "finance", "a tag of others stays");
    assert_eq!(tags["meshvm-fleet"], "web");
    ground.meshvm("plan --detailed-exitcode").exits(0);

    ground.write(&BTreeMap::new());
    ground.meshvm("apply -y --forget db-1").exits(0);
    let found = ground.machines();
    assert_eq!(found.len(), 1, "it was let go, not ended");
    let own = found[0].tags.keys().find(|key| key.starts_with("meshvm-"));
    assert_eq!(own, None);
}
