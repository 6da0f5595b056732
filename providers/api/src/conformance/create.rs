//! Rules of `create`.

use std::collections::BTreeSet;

use super::Harness;
use super::ground::{Ground, done, fails, ids};
use crate::error::ErrorClass;
use crate::private::NoPrivateFiles;

/// Creating under one key again, at once or later, makes no further machine.
pub async fn a_key_makes_one_set(harness: &dyn Harness) {
    let ground = Ground::new(harness).await;
    let batch = ground.batch(harness.several());
    let first = ids(&ground.create(&batch).await);
    // At once: listings may not show the machines yet.
    assert_eq!(ids(&ground.create(&batch).await), first, "at once");
    assert_eq!(ids(&ground.list().await), first, "as listed");
    assert_eq!(ids(&ground.create(&batch).await), first, "later");
    // From a connection that remembers nothing.
    let again = done("opening", harness.open().await);
    let created = done("creating", again.create(&batch, &NoPrivateFiles).await);
    assert_eq!(ids(&created.machines), first, "by another process");
    assert_eq!(ids(&ground.list().await), first, "as listed in the end");
    ground.clear().await;
}

/// Another request under a used key is a conflict, and makes nothing.
pub async fn a_key_means_one_request(harness: &dyn Harness) {
    let ground = Ground::new(harness).await;
    let batch = ground.batch(1);
    let first = ids(&ground.create(&batch).await);
    let mut more = batch.clone();
    more.count += 1;
    let mut other = batch.clone();
    other.user_data.push_str("# other\n");
    for (what, batch) in [("count", more), ("user-data", other)] {
        let rule = format!("another {what} under a used key");
        let answer = ground.provider.create(&batch, &NoPrivateFiles).await;
        fails(rule, ErrorClass::Conflict, answer);
    }
    assert_eq!(ids(&ground.list().await), first);
    ground.clear().await;
}

/// Creating again after a machine of the batch was deleted makes at most what was asked for.
///
/// Whether the missing machine is made again is the cloud's choice.
pub async fn a_key_makes_no_more_than_asked(harness: &dyn Harness) {
    let ground = Ground::new(harness).await;
    let batch = ground.batch(2);
    let first: Vec<_> = ids(&ground.create(&batch).await).into_iter().collect();
    harness.settle().await;
    let (deleted, kept) = first.split_at(1);
    ground.delete(deleted).await;
    harness.settle().await;
    let again = done(
        "creating",
        ground.provider.create(&batch, &NoPrivateFiles).await,
    );
    let found = ids(&again.machines);
    assert!(found.len() <= 2, "{found:?} for a batch of 2");
    assert!(
        kept.iter().all(|id| found.contains(id)),
        "survivors are returned"
    );
    assert_eq!(
        found.len() < 2,
        again.shortfall.is_some(),
        "fewer has a reason"
    );
    assert_eq!(ids(&ground.list().await), found);
    ground.clear().await;
}

/// A new machine stands in its zone and differs from its template in nothing.
pub async fn a_machine_is_what_its_template_asks_for(harness: &dyn Harness) {
    let ground = Ground::new(harness).await;
    let batch = ground.batch(1);
    let mut seen = ground.create(&batch).await;
    seen.extend(ground.list().await);
    seen.extend(
        ground
            .running(&ids(&seen).into_iter().collect::<Vec<_>>())
            .await,
    );
    for machine in &seen {
        assert_eq!(machine.zone, batch.zone);
        let differences = harness.kind().compare(&batch.template, machine);
        assert_eq!(differences, [], "{} is new", machine.id);
    }
    ground.clear().await;
}

/// Machines have names that are DNS labels and addresses of their own.
pub async fn machines_are_told_apart(harness: &dyn Harness) {
    let ground = Ground::new(harness).await;
    let mut made = ground.machines(harness.several()).await;
    made.extend(ground.machines(1).await);
    let machines = ground.running(&made).await;
    let names: BTreeSet<_> = machines.iter().map(|machine| &machine.name).collect();
    assert_eq!(names.len(), machines.len(), "{names:?}");
    for name in names {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fits = (1..=63).contains(&name.len()) && name.chars().all(inner);
        assert!(
            fits && !name.starts_with('-') && !name.ends_with('-'),
            "{name}"
        );
    }
    let addresses: Vec<_> = machines
        .iter()
        .filter_map(|machine| machine.address)
        .collect();
    let distinct: BTreeSet<_> = addresses.iter().collect();
    assert_eq!(distinct.len(), addresses.len(), "{addresses:?}");
    ground.clear().await;
}
