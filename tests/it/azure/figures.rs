//! What a fleet costs: calls by name, processor time and memory of the program.
//!
//! `MESHVM_FIGURES=100,1000` measures fleets of those sizes, for the tables of docs/azure.md.

use std::collections::BTreeMap;

use meshvm_arm::Manners;
use serde_json::json;

use super::ground::{Ground, member};
use crate::support::cloud::Cloud;
use crate::support::cloud::figures::measured;

/// The fleet that is measured by default.
const SIZE: u32 = 25;
/// The machines of a page on the double.
const PAGE: u32 = 250;

#[test]
fn calls_grow_with_machines_where_they_are_made_and_with_pages_where_they_are_seen() {
    let sizes = std::env::var("MESHVM_FIGURES").unwrap_or_else(|_| SIZE.to_string());
    for size in sizes.split(',').map(|size| size.parse::<u32>().unwrap()) {
        let ground = Ground::new(Manners::default());
        let fleet = member("web", size, &json!({"zones": ["1", "2", "3"]}));
        ground.write(&BTreeMap::from([("web", fleet)]));
        println!("{size} machines");
        let made = measured(&ground, "apply -y", Ground::calls);
        let planned = measured(&ground, "plan --detailed-exitcode", Ground::calls);
        let destroyed = measured(&ground, "destroy -y", Ground::calls);
        let (size, pages) = (u64::from(size), u64::from(size.div_ceil(PAGE)));
        assert!(planned.total() <= 3 * pages + 2, "{:?}", planned.calls);
        assert_eq!(made.calls["VirtualMachines.create_or_update"], size);
        assert_eq!(destroyed.calls["VirtualMachines.delete"], size);
        // Two calls for each machine, to make it and to see that it is made.
        assert!(made.total() <= 2 * size + 60 * pages, "{:?}", made.calls);
        assert!(
            destroyed.total() <= 2 * size + 60 * pages,
            "{:?}",
            destroyed.calls
        );
    }
}
