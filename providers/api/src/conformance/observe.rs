//! Rules of `observe`.

use super::Harness;
use super::ground::{Ground, ids};
use crate::contract::Query;
use crate::labels::{self, Labels};

/// From the first listing that shows a machine, it carries every label.
pub async fn labels_are_complete_from_the_first(harness: &dyn Harness) {
    let ground = Ground::new(harness).await;
    let batch = ground.batch(harness.several());
    let made = ground.create(&batch).await;
    let expected = batch.all_labels();
    let info = harness.kind().info();
    let mut looks = 0;
    let mut seen = made.clone();
    loop {
        for machine in &seen {
            for (label, value) in &expected {
                assert_eq!(
                    machine.labels.get(label),
                    Some(value),
                    "{label} of {}",
                    machine.id
                );
            }
        }
        seen = ground.observe(&Query::Stack(ground.stack.clone())).await;
        if seen.len() == made.len() || looks == info.polls {
            break;
        }
        looks += 1;
        tokio::time::sleep(info.poll).await;
    }
    assert_eq!(ids(&ground.list().await), ids(&made));
    ground.clear().await;
}

/// Listing a stack shows the machines with its label and no others.
pub async fn a_stack_sees_only_its_own(harness: &dyn Harness) {
    let (one, two) = (Ground::new(harness).await, Ground::new(harness).await);
    let foreign = harness.add_foreign().await;
    assert_eq!(one.list().await, [], "a new stack is empty");
    let of_one = one.machines(1).await;
    let of_two = two.machines(1).await;
    for (ground, expected) in [(&one, &of_one), (&two, &of_two)] {
        let found = ground.list().await;
        assert_eq!(ids(&found), expected.iter().cloned().collect());
        let stack = found
            .iter()
            .map(|machine| machine.labels.get(labels::STACK));
        assert!(stack.into_iter().all(|stack| stack == Some(&ground.stack)));
    }
    // A name that another begins with is another stack.
    let longer = format!("{}-x", one.stack);
    let shorter = &one.stack[..one.stack.len() - 1];
    assert_eq!(one.list_stack(&longer).await, []);
    assert_eq!(one.list_stack(shorter).await, []);
    if let Some(foreign) = foreign {
        harness.remove_foreign(&foreign).await;
    }
    one.clear().await;
    two.clear().await;
}

/// Listing by id shows machines whatever their labels are, and leaves out what does not exist.
pub async fn machines_are_found_by_id(harness: &dyn Harness) {
    let (one, two) = (Ground::new(harness).await, Ground::new(harness).await);
    let deleted = one.machines(1).await;
    one.delete(&deleted).await;
    let mut machines = one.machines(1).await;
    machines.extend(two.machines(1).await);
    let foreign = harness.add_foreign().await;
    machines.extend(foreign.clone());
    let asked: Vec<_> = deleted.iter().chain(&machines).cloned().collect();
    assert_eq!(ids(&one.find(&asked).await), machines.into_iter().collect());
    assert_eq!(
        one.find(&deleted).await,
        [],
        "a deleted machine is not shown"
    );
    assert_eq!(one.find(&[]).await, [], "nothing is asked for");
    if let Some(foreign) = foreign {
        harness.remove_foreign(&foreign).await;
    }
    one.clear().await;
    two.clear().await;
}

/// Listing by labels shows the machines that carry all of them with values that fit, whoever's
/// they are.
pub async fn machines_are_found_by_label(harness: &dyn Harness) {
    let (one, two) = (Ground::new(harness).await, Ground::new(harness).await);
    let own = one.machines(harness.several()).await;
    let others = two.machines(1).await;
    let find = async |stack: &str, team: &str| {
        let patterns = [(labels::STACK, stack), ("team", team)];
        let patterns = patterns.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let query = Query::Labelled(Labels::from(patterns));
        ids(&two.observe(&query).await)
    };
    let own = own.into_iter().collect();
    assert_eq!(find(&one.stack, "a").await, own);
    assert_eq!(find(&one.stack, "*").await, own);
    let begins = format!("{}*", &one.stack[..one.stack.len() - 1]);
    assert!(find(&begins, "a*").await.is_superset(&own));
    assert_eq!(find(&two.stack, "*").await, others.into_iter().collect());
    for nobody in ["b", "a?", "*b", "a*b"] {
        assert_eq!(find(&one.stack, nobody).await, [].into(), "{nobody}");
    }
    one.clear().await;
    two.clear().await;
}

/// Listing several machines takes as many requests as listing one, while they fit a page.
pub async fn observing_costs_pages(harness: &dyn Harness) {
    let ground = Ground::new(harness).await;
    let cost = async |query: &Query| {
        let total = || harness.context().requests.snapshot().values().sum::<u64>();
        let before = total();
        let found = ground.observe(query).await.len();
        (found, total() - before)
    };
    let stack = Query::Stack(ground.stack.clone());
    let mut machines = ground.machines(1).await;
    let one = cost(&stack).await;
    let one_by_id = cost(&Query::Machines(machines.clone())).await;
    machines.extend(ground.machines(harness.several()).await);
    let all = cost(&stack).await;
    let all_by_id = cost(&Query::Machines(machines.clone())).await;
    assert_eq!((one.0, all.0), (1, machines.len()));
    assert_eq!(one.1, all.1, "requests to list a stack");
    assert_eq!(one_by_id.1, all_by_id.1, "requests to list by id");
    ground.clear().await;
}
