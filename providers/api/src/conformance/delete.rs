//! Rules of `delete`.

use std::collections::BTreeSet;

use super::Harness;
use super::ground::{Ground, fails, ids};
use crate::error::ErrorClass;

/// Deleting what is deleted, or nothing, succeeds; the others of the stack stay.
pub async fn deleting_is_repeatable(harness: &dyn Harness) {
    let ground = Ground::new(harness).await;
    let machines = ground.machines(harness.several()).await;
    let (first, rest) = machines.split_at(1);
    ground.delete(&[]).await;
    ground.delete(first).await;
    ground.delete(first).await;
    assert_eq!(ids(&ground.list().await), rest.iter().cloned().collect());
    ground.delete(first).await;
    // All of them: one is gone, the others are not.
    ground.delete(&machines).await;
    assert_eq!(ground.list().await, []);
    assert_eq!(ground.find(&machines).await, []);
    ground.clear().await;
}

/// Deleting under another stack's name, or what no stack owns, is a conflict, and deletes nothing at all.
pub async fn deleting_spares_other_stacks(harness: &dyn Harness) {
    let (one, two) = (Ground::new(harness).await, Ground::new(harness).await);
    let own = one.machines(1).await;
    let mut others = two.machines(1).await;
    let foreign = harness.add_foreign().await;
    harness.settle().await;
    others.extend(foreign.clone());
    for other in &others {
        let mixed = [own[0].clone(), other.clone()];
        for machines in [&mixed[1..], &mixed[..]] {
            let answer = one.provider.delete(&one.stack, machines).await;
            fails(format!("deleting {other}"), ErrorClass::Conflict, answer);
        }
    }
    assert_eq!(ids(&one.list().await), own.iter().cloned().collect());
    assert_eq!(ids(&one.find(&others).await), others.into_iter().collect());
    if let Some(foreign) = foreign {
        harness.remove_foreign(&foreign).await;
    }
    one.clear().await;
    two.clear().await;
}

/// A new machine never has the id of an earlier one.
pub async fn ids_are_never_used_again(harness: &dyn Harness) {
    let ground = Ground::new(harness).await;
    let mut seen = BTreeSet::new();
    for _ in 0..2 {
        let machines = ground.machines(1).await;
        for machine in &machines {
            assert!(seen.insert(machine.clone()), "{machine} was used before");
        }
        ground.delete(&machines).await;
    }
    ground.clear().await;
}
