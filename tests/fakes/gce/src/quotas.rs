//! What a region tells of its quotas.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::instances::last;
use crate::manners::Manners;
use crate::things;

/// The limit of a quota that nobody set.
const LIMIT: u32 = 1_000_000;
/// Quotas that are told though nothing uses them.
const TOLD: [&str; 8] = [
    "CPUS",
    "DISKS_TOTAL_GB",
    "INSTANCES",
    "IN_USE_ADDRESSES",
    "N2_CPUS",
    "PREEMPTIBLE_CPUS",
    "SSD_TOTAL_GB",
    "T2A_CPUS",
];

/// Returns the quotas of a region, with what its machines and disks use of them.
pub fn of<'a>(
    manners: &Manners,
    machines: impl Iterator<Item = &'a Value>,
    disks: impl Iterator<Item = &'a Value>,
) -> Value {
    let mut used: BTreeMap<&str, u64> = TOLD.map(|metric| (metric, 0)).into();
    let mut add = |metric: &'static str, by: u64| *used.entry(metric).or_default() += by;
    for machine in machines {
        add("INSTANCES", 1);
        let kind = last(&machine["machineType"]);
        let metric = match kind.split('-').next().unwrap_or_default() {
            "n2" => Some("N2_CPUS"),
            "t2a" => Some("T2A_CPUS"),
            "e2" | "n1" => Some("CPUS"),
            // Those of newer families are no quota of a region's.
            _ => None,
        };
        if let Some(metric) = metric {
            add(metric, things::processors(kind));
        }
        if machine["networkInterfaces"][0]["accessConfigs"].is_array() {
            add("IN_USE_ADDRESSES", 1);
        }
    }
    for disk in disks {
        let metric = match last(&disk["type"]) {
            "pd-standard" => "DISKS_TOTAL_GB",
            _ => "SSD_TOTAL_GB",
        };
        let size = disk["sizeGb"].as_str().unwrap_or_default();
        add(metric, size.parse().unwrap_or_default());
    }
    let quotas = used.into_iter().map(|(metric, used)| {
        let limit = match metric {
            "INSTANCES" => manners.quota,
            // None was asked for.
            "PREEMPTIBLE_CPUS" if !manners.limits.contains_key(metric) => 0,
            metric => manners
                .limits
                .get(metric)
                .map_or(LIMIT as usize, |it| *it as usize),
        };
        json!({"metric": metric, "limit": limit, "usage": used})
    });
    quotas.collect()
}
