//! Machines that others made are taken over, and let go again.

use std::collections::BTreeMap;

use meshvm_ec2::Manners;
use serde_json::json;

use super::ground::{Ground, REGION, member};

#[test]
fn a_machine_that_others_made_is_adopted_as_it_is_and_changed_as_the_file_says() {
    let ground = Ground::new(Manners::default());
    let image = "ami-0ef3038e9b73a0746";
    let call = [
        ("Action", "RunInstances"),
        ("Version", "2016-11-15"),
        ("ImageId", image),
        ("InstanceType", "m7g.large"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("MetadataOptions.HttpTokens", "required"),
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "billed-by"),
        ("TagSpecification.1.Tag.1.Value", "finance"),
    ];
    ground.ask("ec2", REGION, &call);
    let id = ground.instances()[0].id.clone();
    let block = json!({"image": image, "tags": {"team": "a"}});
    ground.write(&BTreeMap::from([("web", member("web", 1, &block))]));

    let plan = ground.meshvm(&format!("plan --adopt web={id}")).exits(0);
    assert!(plan.stdout.contains("adopt"), "{}", plan.stdout);
    assert!(plan.stdout.contains("tags.team"), "{}", plan.stdout);
    assert_eq!(
        ground.instances()[0].tags.len(),
        1,
        "a plan changes nothing"
    );
    ground
        .meshvm(&format!("apply -y --adopt web={id}"))
        .exits(0);
    let found = ground.instances();
    assert_eq!(found.len(), 1, "it is the fleet's only machine: {found:?}");
    let tags = &found[0].tags;
    assert_eq!(
        (found[0].id.as_str(), tags["team"].as_str()),
        (id.as_str(), "a")
    );
    assert_eq!(tags["billed-by"], "finance", "a tag of others stays");
    assert_eq!(tags["meshvm-fleet"], "web");
    ground.meshvm("plan --detailed-exitcode").exits(0);

    ground.write(&BTreeMap::new());
    ground.meshvm(&format!("apply -y --forget {id}")).exits(0);
    let found = ground.instances();
    assert_eq!(found.len(), 1, "it was let go, not ended");
    let own = found[0].tags.keys().find(|key| key.starts_with("meshvm-"));
    assert_eq!(own, None);
}
