//! Listing machines: in pages, with their states.

use meshvm_provider_api::{ErrorClass, Power, Query};
use serde_json::json;

use crate::ground::{Ground, STACK, address, counts, ids, on_gce};

#[test]
fn every_page_is_read_and_no_machine_is_asked_for() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&json!({})).await;
        ground.gce.behave(|now| now.page = 5);
        ground.make(&template, 11).await;
        ground.calls();
        assert_eq!(ground.list(&template).await.len(), 11);
        assert_eq!(ground.calls(), counts(&[("instances.aggregatedList", 3)]));
    });
}

#[test]
fn each_state_is_told() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&json!({})).await;
        let made = ground.make(&template, 3).await;
        ground.others("POST", &made[0], "/stop", None);
        ground.others("DELETE", &made[1], "", None);
        let listed = ground.list(&template).await;
        let power = |index: usize| {
            let machine = listed.iter().find(|machine| machine.id == made[index].id);
            machine.map(|machine| machine.power)
        };
        let seen = [power(0), power(1), power(2)];
        assert_eq!(seen, [Some(Power::Stopped), None, Some(Power::Running)]);
        assert!(listed.iter().all(|machine| machine.address.is_some()));
    });
}

#[test]
fn one_that_was_deleted_is_known_to_be_gone_and_one_that_never_was_is_not() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&json!({})).await;
        let made = ground.make(&template, 3).await;
        ground.others("DELETE", &made[0], "", None);
        // Not shown yet, which says nothing.
        ground.gce.hide(2);
        let mut ids = ids(&made);
        ids.push("12345".into());
        ids.push("db-1".into());
        let provider = ground.open(&template).await;
        let found = provider.observe(&Query::Machines(ids)).await.unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|it| (&it.id, &it.name, it.power))
            .collect();
        assert_eq!(found, [(&made[0].id, &made[0].name, Power::Gone)]);
    });
}

#[test]
fn one_that_is_being_deleted_is_left_out_and_one_that_stops_is_not() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&json!({})).await;
        let made = ground.make(&template, 2).await;
        ground.gce.behave(|now| now.slow = 1000);
        ground
            .gce
            .begin("DELETE", &address(&made[0].zone, &made[0].name));
        let stop = format!("{}/stop", address(&made[1].zone, &made[1].name));
        ground.gce.begin("POST", &stop);
        let listed = ground.list(&template).await;
        let listed: Vec<_> = listed.iter().map(|it| (&it.id, it.power)).collect();
        assert_eq!(listed, [(&made[1].id, Power::Stopped)]);
        let query = Query::Machines(ids(&made));
        let provider = ground.open(&template).await;
        let found = provider.observe(&query).await.unwrap();
        let gone = found.iter().filter(|it| it.power == Power::Gone);
        assert_eq!(gone.count(), 1);
    });
}

#[test]
fn what_a_listing_does_not_reach_is_not_taken_for_gone() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&json!({})).await;
        ground.make(&template, 2).await;
        let zone = template.zones[0].clone();
        ground
            .gce
            .behave(|now| now.unreachable = [zone.clone()].into());
        let query = Query::Stack(STACK.to_owned());
        let provider = ground.open(&template).await;
        let error = provider.observe(&query).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Unavailable);
        assert!(error.message.contains(&zone), "{}", error.message);
        // A zone of another region is nobody's here.
        ground
            .gce
            .behave(|now| now.unreachable = ["us-east1-b".to_owned()].into());
        assert_eq!(ground.list(&template).await.len(), 2);
    });
}

#[test]
fn a_region_has_its_own_machines() {
    on_gce(async || {
        let ground = Ground::new().await;
        let here = ground.template(&json!({})).await;
        let there = ground.template(&json!({"region": "us-east1"})).await;
        let mine = ground.make(&here, 2).await;
        ground.make(&there, 1).await;
        let mut listed = ids(&ground.list(&here).await);
        listed.sort();
        let mut mine = ids(&mine);
        mine.sort();
        assert_eq!(listed, mine);
        assert_eq!(ground.list(&there).await.len(), 1);
    });
}
