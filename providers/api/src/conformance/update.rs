//! Rules of `update`.

use super::Harness;
use super::ground::{Ground, fails, ids};
use crate::contract::Update;
use crate::error::ErrorClass;
use crate::labels::{self, Labels};
use crate::machine::Power;

/// Labels are set and removed, on the machines named and no others; so machines are adopted and forgotten.
pub async fn labels_are_set_and_removed(harness: &dyn Harness) {
    let ground = Ground::new(harness).await;
    let mut machines = ground.machines(2).await;
    let bystander = machines.split_off(1);
    let untouched = async || {
        let found = ground.find(&bystander).await.into_iter();
        let what = found.map(|machine| (machine.id, machine.labels, machine.attributes));
        what.collect::<Vec<_>>()
    };
    let before = untouched().await;
    let update = Update {
        set_labels: Labels::from([
            ("team".to_owned(), "b".to_owned()),
            ("new".to_owned(), "1".to_owned()),
        ]),
        ..ground.update(&machines)
    };
    for _ in 0..2 {
        ground.apply(&update).await;
        for machine in ground.find(&machines).await {
            let label = |name: &str| machine.labels.get(name).map(String::as_str);
            assert_eq!((label("team"), label("new")), (Some("b"), Some("1")));
            assert_eq!(
                label(labels::STACK),
                Some(ground.stack.as_str()),
                "others stay"
            );
        }
    }

    let forget = Update {
        remove_labels: labels::ALL.map(str::to_owned).to_vec(),
        ..ground.update(&machines)
    };
    for _ in 0..2 {
        ground.apply(&forget).await;
        assert_eq!(
            ids(&ground.list().await),
            bystander.iter().cloned().collect()
        );
        for machine in ground.find(&machines).await {
            assert_eq!(machine.labels.get("new").map(String::as_str), Some("1"));
        }
    }
    let delete = ground.provider.delete(&ground.stack, &machines).await;
    fails("deleting a forgotten machine", ErrorClass::Conflict, delete);

    let mut adopted = machines.clone();
    let foreign = harness.add_foreign().await;
    adopted.extend(foreign);
    harness.settle().await;
    let adopt = Update {
        set_labels: Labels::from([
            (labels::STACK.to_owned(), ground.stack.clone()),
            (labels::FLEET.to_owned(), "fleet".to_owned()),
        ]),
        ..ground.update(&adopted)
    };
    ground.apply(&adopt).await;
    let expected = adopted.iter().chain(&bystander).cloned().collect();
    assert_eq!(ids(&ground.list().await), expected);
    assert_eq!(untouched().await, before, "who was not named is untouched");
    ground.clear().await;
}

/// Attributes that the provider calls changeable change on the same machine, which then differs in nothing.
pub async fn attributes_change_in_place(harness: &dyn Harness) {
    let Some((template, attributes)) = harness.changed_template() else {
        return;
    };
    let ground = Ground::new(harness).await;
    let machines = ground.machines(1).await;
    let compare = |machine: &_| {
        let differences = harness.kind().compare(&template, machine);
        let names = differences
            .into_iter()
            .map(|difference| difference.attribute);
        names.collect::<Vec<_>>()
    };
    for machine in ground.running(&machines).await {
        let mut expected = attributes.clone();
        expected.sort();
        let mut found = compare(&machine);
        found.sort();
        assert_eq!(found, expected, "the harness names what differs");
    }
    let update = Update {
        template: Some(template.clone()),
        attributes,
        ..ground.update(&machines)
    };
    for _ in 0..2 {
        ground.apply(&update).await;
        harness.settle().await;
        let changed = ground.running(&machines).await;
        assert_eq!(changed.len(), machines.len(), "the machines are the same");
        for machine in changed {
            assert_eq!(compare(&machine), [""; 0], "{} was changed", machine.id);
        }
    }
    ground.clear().await;
}

/// A machine that is stopped runs again when asked to; one that runs keeps running.
pub async fn stopped_machines_start(harness: &dyn Harness) {
    let ground = Ground::new(harness).await;
    let machines = ground.machines(1).await;
    let before = ground.running(&machines).await;
    let start = Update {
        start: true,
        ..ground.update(&machines)
    };
    ground.apply(&start).await;
    ground.running(&machines).await;
    for machine in &machines {
        if harness.stop(machine).await.is_none() {
            return ground.clear().await;
        }
    }
    let power: Vec<_> = ground
        .find(&machines)
        .await
        .iter()
        .map(|m| m.power)
        .collect();
    assert_eq!(
        power,
        [Power::Stopped],
        "a stopped machine is listed as such"
    );
    ground.apply(&ground.update(&machines)).await;
    let power: Vec<_> = ground
        .find(&machines)
        .await
        .iter()
        .map(|m| m.power)
        .collect();
    assert_eq!(power, [Power::Stopped], "it starts only when asked to");
    ground.apply(&start).await;
    harness.settle().await;
    let after = ground.running(&machines).await;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&before.id, &before.name), (&after.id, &after.name));
        assert_eq!(
            (&before.labels, &before.attributes),
            (&after.labels, &after.attributes)
        );
    }
    ground.clear().await;
}

/// Updating a machine that does not exist is `NotFound`.
pub async fn updating_what_is_gone_is_not_found(harness: &dyn Harness) {
    let ground = Ground::new(harness).await;
    let mut machines = ground.machines(2).await;
    ground.delete(&machines[..1]).await;
    harness.settle().await;
    let update = |machines: &[_]| Update {
        set_labels: Labels::from([("new".to_owned(), "1".to_owned())]),
        ..ground.update(machines)
    };
    for machines in [&machines[..1], &machines[..]] {
        let answer = ground.provider.update(&update(machines)).await;
        fails("updating a deleted machine", ErrorClass::NotFound, answer);
    }
    let left = machines.split_off(1);
    assert_eq!(
        ids(&ground.list().await),
        left.into_iter().collect(),
        "none comes back"
    );
    ground.clear().await;
}
