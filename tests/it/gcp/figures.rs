//! What a fleet costs: calls by name, processor time and memory of the program.
//!
//! `MESHVM_FIGURES=100,1000` measures fleets of those sizes, for the tables of docs/gcp.md.

use std::collections::BTreeMap;

use meshvm_gce::Manners;
use serde_json::json;

use super::ground::{Ground, member};
use crate::support::cloud::Cloud;
use crate::support::cloud::figures::measured;

/// The fleet that is measured by default.
const SIZE: u32 = 100;
/// The machines of a page.
const PAGE: u32 = 500;
/// The zones that the fleet is spread over.
const ZONES: u64 = 3;

#[test]
fn calls_grow_with_batches_and_pages_and_only_deleting_takes_one_a_machine() {
    let sizes = std::env::var("MESHVM_FIGURES").unwrap_or_else(|_| SIZE.to_string());
    for size in sizes.split(',').map(|size| size.parse::<u32>().unwrap()) {
        let ground = Ground::new(Manners::default());
        ground.write(&BTreeMap::from([("web", member("web", size, &json!({})))]));
        println!("{size} machines");
        let made = measured(&ground, "apply -y", Ground::calls);
        let planned = measured(&ground, "plan --detailed-exitcode", Ground::calls);
        let destroyed = measured(&ground, "destroy -y", Ground::calls);
        let (size, pages) = (u64::from(size), u64::from(size.div_ceil(PAGE)));
        // The image, the region, and the machines.
        assert_eq!(planned.total(), 2 + pages, "{:?}", planned.calls);
        assert_eq!(made.of("instances.bulkInsert"), ZONES, "{:?}", made.calls);
        assert!(made.total() <= 20 + 12 * pages, "{:?}", made.calls);
        assert_eq!(destroyed.of("instances.delete"), size);
        let others = destroyed.total() - size;
        assert!(others <= 20 + size / 4, "{:?}", destroyed.calls);
    }
}
