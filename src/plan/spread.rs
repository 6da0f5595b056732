//! Spreads machines over zones, moving as few as possible.
//!
//! Invariant: no two zones differ by more than one machine in what is asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::Reason;
use super::verdict::Verdict;
use crate::observed::ObservedMachine;

/// Returns how many machines each zone shall have.
///
/// `standing` says how many each has that could stay. Zones that have more get
/// the odd machines first, so that an uneven number moves nobody; ties go to
/// the zone that the file names first.
pub fn allot(
    replicas: u32,
    zones: &[String],
    standing: &BTreeMap<String, u32>,
) -> BTreeMap<String, u32> {
    let count = u32::try_from(zones.len()).unwrap_or(u32::MAX).max(1);
    let (each, odd) = (replicas / count, replicas % count);
    let mut order: Vec<usize> = (0..zones.len()).collect();
    order.sort_by_key(|&index| {
        let has = standing.get(&zones[index]).copied().unwrap_or(0);
        (std::cmp::Reverse(has), index)
    });
    order
        .into_iter()
        .enumerate()
        .map(|(rank, index)| {
            let extra = u32::from((rank as u64) < u64::from(odd));
            (zones[index].clone(), each + extra)
        })
        .collect()
}

/// Takes machines out that are too many: the least worth first, from the fullest zones, the newest names first.
pub(super) fn take_surplus<'a>(
    judged: &mut Vec<(&'a ObservedMachine, Verdict)>,
    surplus: u32,
    zones: &[String],
) -> Vec<(&'a ObservedMachine, Verdict)> {
    if surplus == 0 {
        return Vec::new();
    }
    let mut by_zone: BTreeMap<&str, u32> = BTreeMap::new();
    let mut classes: BTreeMap<(u8, bool, bool), BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
    judged.sort_by(|(a, _), (b, _)| a.machine.name.cmp(&b.machine.name));
    for (index, (observed, verdict)) in judged.iter().enumerate() {
        let zone = observed.home(zones);
        *by_zone.entry(zone).or_default() += 1;
        classes
            .entry(worth(observed, verdict))
            .or_default()
            .entry(zone)
            .or_default()
            .push(index);
    }
    let mut taken = BTreeSet::new();
    for zones in classes.values_mut() {
        while (taken.len() as u64) < u64::from(surplus) {
            let fullest = zones
                .iter_mut()
                .filter(|(_, left)| !left.is_empty())
                .max_by_key(|(zone, _)| by_zone.get(*zone).copied());
            let Some((zone, left)) = fullest else { break };
            if let Some(count) = by_zone.get_mut(zone) {
                *count -= 1;
            }
            taken.extend(left.pop());
        }
    }
    let mut index = 0;
    judged
        .extract_if(.., |_| {
            index += 1;
            taken.contains(&(index - 1))
        })
        .collect()
}

/// Returns how much a machine is worth keeping; less is removed first. One whose entry is being
/// deleted was meant to go: its successor is there. One that has none may be about to be entered, or
/// to be let go.
fn worth(observed: &ObservedMachine, verdict: &Verdict) -> (u8, bool, bool) {
    let judged = match observed.leaving {
        true => 0,
        false => verdict.worth(),
    };
    (judged, observed.is_available(), !observed.leaving)
}

/// Marks machines for replacement that stand in a zone beyond its `targets`.
pub(super) fn rebalance(
    targets: &BTreeMap<String, u32>,
    standing: &BTreeMap<String, u32>,
    judged: &mut [(&ObservedMachine, Verdict)],
    zones: &[String],
) {
    let mut excess: BTreeMap<&str, u32> = standing
        .iter()
        .map(|(zone, &has)| {
            let wanted = targets.get(zone).copied().unwrap_or(0);
            (zone.as_str(), has.saturating_sub(wanted))
        })
        .collect();
    let mut order: Vec<&mut (&ObservedMachine, Verdict)> = judged.iter_mut().collect();
    order.sort_by_key(|(_, verdict)| matches!(verdict, Verdict::Adopt { .. }));
    for (observed, verdict) in order {
        let Some(left) = excess.get_mut(observed.home(zones)) else {
            continue;
        };
        if *left > 0 && verdict.stays() {
            *left -= 1;
            *verdict = Verdict::Replace {
                reason: Reason::Moved,
                differences: Vec::new(),
            };
        }
    }
}

/// Takes a place in the machine's own zone when it has one, else in the first that has.
pub(super) fn take_room(room: &mut BTreeMap<String, u32>, zone: &str) -> Option<String> {
    let own = room.get(zone).copied().unwrap_or(0) > 0;
    let taken = if own {
        zone.to_owned()
    } else {
        room.iter().find(|(_, left)| **left > 0)?.0.clone()
    };
    *room.get_mut(&taken)? -= 1;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(names: &str) -> Vec<String> {
        names.chars().map(String::from).collect()
    }

    fn counts(pairs: &[(&str, u32)]) -> BTreeMap<String, u32> {
        pairs.iter().map(|(z, n)| ((*z).to_owned(), *n)).collect()
    }

    #[test]
    fn the_odd_machine_stays_where_it_is() {
        let standing = counts(&[("a", 1), ("b", 2)]);
        assert_eq!(
            allot(3, &zones("ab"), &standing),
            counts(&[("a", 1), ("b", 2)])
        );
        assert_eq!(
            allot(3, &zones("ab"), &counts(&[])),
            counts(&[("a", 2), ("b", 1)])
        );
    }

    #[test]
    fn zones_never_differ_by_more_than_one() {
        for replicas in 0..20 {
            for n in 1..5 {
                let zones = zones(&"abcde"[..n]);
                let standing = counts(&[("a", 9), ("c", 1)]);
                let targets = allot(replicas, &zones, &standing);
                let most = targets.values().max().copied().unwrap_or(0);
                let least = targets.values().min().copied().unwrap_or(0);
                assert!(most - least <= 1);
                assert_eq!(targets.values().sum::<u32>(), replicas);
            }
        }
    }
}
