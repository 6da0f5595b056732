//! Machines that others made are taken over, and let go again.

use std::collections::BTreeMap;

use meshvm_ec2::Manners;
use serde_json::json;

use super::ground::{Ground, REGION, member};
use crate::support::cloud::Cloud;

const IMAGE: &str = "ami-0ef3038e9b73a0746";

/// Makes a machine as others would.
fn run(ground: &Ground, tags: &[(&str, &str)]) {
    let mut call: Vec<(String, String)> = [
        ("Action", "RunInstances"),
        ("Version", "2016-11-15"),
        ("ImageId", IMAGE),
        ("InstanceType", "m7g.large"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("MetadataOptions.HttpTokens", "required"),
        ("TagSpecification.1.ResourceType", "instance"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    for (index, (key, value)) in tags.iter().enumerate() {
        let tag = format!("TagSpecification.1.Tag.{}", index + 1);
        call.push((format!("{tag}.Key"), (*key).to_owned()));
        call.push((format!("{tag}.Value"), (*value).to_owned()));
    }
    let call: Vec<(&str, &str)> = call.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    ground.ask("ec2", REGION, &call);
}

#[test]
fn all_machines_with_a_tag_are_adopted_and_those_of_others_are_not() {
    let ground = Ground::new(Manners::default());
    for name in ["web-1", "web-2", "web-3", "db-1"] {
        run(&ground, &[("Name", name)]);
    }
    let other = [
        ("Name", "web-9"),
        ("meshvm-stack", "other"),
        ("meshvm-fleet", "web"),
    ];
    run(&ground, &other);
    // The server puts all that say nothing else into one zone.
    let zone = ground.instances()[0].zone.clone();
    let block = json!({"image": IMAGE, "zones": [zone], "tags": {"team": "a"}});
    ground.write(&BTreeMap::from([("web", member("web", 3, &block))]));

    ground.calls();
    let plan = ground.meshvm("plan --adopt web=tag:Name=web-*").exits(0);
    assert!(plan.stdout.contains("3 to adopt"), "{}", plan.stdout);
    assert!(
        plan.stdout.contains("+ tags.team: \"a\""),
        "{}",
        plan.stdout
    );
    // By the tag, of the stack, and by the ids that were found.
    assert_eq!(ground.calls()["DescribeInstances"], 3);
    let line = "apply -y --adopt web=tag:Name=web-*";
    ground.meshvm(line).exits(0);
    let owned = || {
        let own = ground.instances().into_iter();
        let own = own.filter(|it| it.tags.get("meshvm-stack").is_some_and(|is| is == "shop"));
        let mut names: Vec<String> = own.map(|it| it.tags["Name"].clone()).collect();
        names.sort();
        names
    };
    assert_eq!(owned(), ["web-1", "web-2", "web-3"]);
    assert_eq!(ground.instances().len(), 5, "none was made or ended");
    // Again, there is nothing left to adopt, which is no error.
    let again = ground.meshvm(line).exits(0);
    assert!(again.stdout.contains("No changes"), "{}", again.all());
    assert_eq!(owned().len(), 3);

    let none = ground
        .meshvm("plan --adopt web=tag:Name=nothing-*")
        .exits(1);
    assert!(none.stderr.contains("Name=nothing-*"), "{}", none.all());
    let unnamed = ground.meshvm("plan --adopt web=tag:Name").exits(1);
    assert!(unnamed.stderr.contains("names no tag"), "{}", unnamed.all());
}

#[test]
fn a_machine_that_others_made_is_adopted_as_it_is_and_changed_as_the_file_says() {
    let ground = Ground::new(Manners::default());
    run(&ground, &[("billed-by", "finance")]);
    let id = ground.instances()[0].id.clone();
    let block = json!({"image": IMAGE, "tags": {"team": "a"}});
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
