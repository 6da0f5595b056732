//! Compiles a rollout into waves: how many machines go and come before each wait. Pure.
//!
//! Invariants, after every single machine that comes or goes, as long as the
//! start kept them:
//! 1. There are at most `replicas + max_surge` machines.
//! 2. At least `replicas - max_unavailable` machines are available.
//!
//! Waves, not one chain a machine: a wave is a few batched calls however many
//! machines it has.

use std::collections::{BTreeMap, VecDeque};

use crate::plan::FleetPlan;

/// Where a rollout starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// How many machines there shall be.
    pub replicas: u32,
    /// The most above that.
    pub max_surge: u32,
    /// The most of them that may be unavailable.
    pub max_unavailable: u32,
    /// Machines that stay and are available.
    pub available: u32,
    /// Machines that stay and will be available once waited for.
    pub coming: u32,
    /// Machines that go and are available.
    pub old_available: u32,
    /// Machines that go and are not available.
    pub old_down: u32,
    /// Machines to create.
    pub create: u32,
}

/// One round: machines go, then machines come, then everything is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wave {
    /// How many of the machines that go; those that are down first.
    pub delete: u32,
    /// How many machines to create.
    pub create: u32,
}

/// Returns the waves that bring a fleet from its start to its end.
pub fn waves(start: Start) -> Vec<Wave> {
    let Start {
        replicas,
        max_surge,
        max_unavailable,
        mut available,
        mut coming,
        mut old_available,
        mut old_down,
        mut create,
    } = start;
    let floor = replicas.saturating_sub(max_unavailable);
    let ceiling = replicas.saturating_add(max_surge);
    let mut waves = Vec::new();
    while create > 0 || old_available > 0 || old_down > 0 {
        let spare = (available + old_available).saturating_sub(floor);
        let going = old_available.min(spare);
        let delete = old_down + going;
        old_down = 0;
        old_available -= going;
        let total = available + coming + old_available;
        let making = create.min(ceiling.saturating_sub(total));
        create -= making;
        if delete == 0 && making == 0 && coming == 0 {
            // Nothing can move: only a start that no plan makes gets here, and
            // standing still is the safe side.
            break;
        }
        available += coming + making;
        coming = 0;
        waves.push(Wave {
            delete,
            create: making,
        });
    }
    waves
}

/// Returns the zones of the machines to create, in turns, so that every wave is spread.
pub fn places(changes: &FleetPlan) -> VecDeque<String> {
    let mut left: BTreeMap<&str, u32> = BTreeMap::new();
    for change in &changes.changes {
        for (zone, count) in &change.zones {
            *left.entry(zone).or_default() += count;
        }
    }
    let mut zones = VecDeque::new();
    while !left.is_empty() {
        left.retain(|zone, count| {
            if *count > 0 {
                zones.push_back((*zone).to_owned());
                *count -= 1;
            }
            *count > 0
        });
    }
    zones
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replace(replicas: u32, max_surge: u32, max_unavailable: u32) -> Vec<(u32, u32)> {
        let start = Start {
            replicas,
            max_surge,
            max_unavailable,
            old_available: replicas,
            create: replicas,
            ..Start::default()
        };
        waves(start).iter().map(|w| (w.delete, w.create)).collect()
    }

    #[test]
    fn surge_alone_adds_before_it_takes() {
        assert_eq!(replace(3, 1, 0), [(0, 1), (1, 1), (1, 1), (1, 0)]);
        assert_eq!(replace(4, 4, 0), [(0, 4), (4, 0)]);
    }

    #[test]
    fn unavailable_alone_takes_before_it_adds() {
        assert_eq!(replace(3, 0, 1), [(1, 1), (1, 1), (1, 1)]);
    }

    #[test]
    fn both_together_move_a_window() {
        assert_eq!(replace(6, 1, 1), [(1, 2), (2, 2), (2, 2), (1, 0)]);
    }

    #[test]
    fn what_is_down_goes_at_once() {
        let start = Start {
            replicas: 3,
            max_surge: 1,
            available: 1,
            old_down: 2,
            create: 2,
            ..Start::default()
        };
        assert_eq!(
            waves(start),
            [Wave {
                delete: 2,
                create: 2
            }]
        );
    }

    #[test]
    fn every_start_ends_and_keeps_the_bounds() {
        let few = 0..4u32;
        for replicas in 0..6 {
            for surge in few.clone() {
                for unavailable in few.clone() {
                    for available in 0..=replicas {
                        for coming in 0..=(replicas - available) {
                            for old_available in few.clone() {
                                for old_down in few.clone() {
                                    if surge + unavailable == 0 {
                                        continue;
                                    }
                                    check(Start {
                                        replicas,
                                        max_surge: surge,
                                        max_unavailable: unavailable,
                                        available,
                                        coming,
                                        old_available,
                                        old_down,
                                        create: replicas - available - coming,
                                    });
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn check(start: Start) {
        let all = waves(start);
        let created: u32 = all.iter().map(|w| w.create).sum();
        let deleted: u32 = all.iter().map(|w| w.delete).sum();
        assert_eq!(created, start.create, "{start:?}");
        assert_eq!(deleted, start.old_available + start.old_down, "{start:?}");

        let floor = start.replicas.saturating_sub(start.max_unavailable);
        let floor = floor.min(start.available + start.old_available);
        let mut total = start.available + start.coming + start.old_available + start.old_down;
        let ceiling = (start.replicas + start.max_surge).max(total);
        let (mut available, mut coming) = (start.available, start.coming);
        let (mut old, mut down) = (start.old_available, start.old_down);
        for wave in all {
            let dead = wave.delete.min(down);
            down -= dead;
            old -= wave.delete - dead;
            total -= wave.delete;
            assert!(available + old >= floor, "{start:?}");
            total += wave.create;
            coming += wave.create;
            assert!(total <= ceiling, "{start:?}");
            available += coming;
            coming = 0;
        }
        assert_eq!(available + coming, start.replicas, "{start:?}");
    }
}
