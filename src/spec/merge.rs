//! Lays one tree over another: several files, and `defaults` under fleets.
//!
//! Maps merge; lists and scalars replace. Every span stays in its own file.

use super::tree::{Allowance, Entry, Map, Node, Value};

/// Lays a later file over an earlier one: the later wins, and null removes what was there.
pub(super) fn overlay(base: &mut Node, over: Node) {
    let Value::Map(over_map) = over.value else {
        *base = over;
        return;
    };
    let Some(base_map) = base.map_mut() else {
        base.value = Value::Map(over_map);
        base.mark = over.mark;
        return;
    };
    for (key, entry) in over_map {
        if entry.node.value == Value::Null && !entry.node.broken {
            base_map.remove(&key);
            continue;
        }
        match base_map.get_mut(&key) {
            Some(base_entry) if both_maps(&base_entry.node, &entry.node) => {
                overlay(&mut base_entry.node, entry.node);
            }
            Some(base_entry) => *base_entry = entry,
            None => {
                base_map.insert(key, entry);
            }
        }
    }
}

/// Lays defaults under a fleet: what the fleet says wins, also when it says null.
///
/// Returns false, with the rest undone, when the copies are more than what is allowed.
pub(super) fn underlay(fleet: &mut Map, defaults: &Map, copies: &mut Allowance) -> bool {
    for (key, entry) in defaults {
        match fleet.get_mut(key) {
            Some(own) => {
                if let (Some(own), Some(default)) = (own.node.map_mut(), entry.node.map())
                    && !underlay(own, default, copies)
                {
                    return false;
                }
            }
            None => {
                if !copies.take(entry.node.weight()) {
                    return false;
                }
                fleet.insert(key.clone(), Entry::clone(entry));
            }
        }
    }
    true
}

fn both_maps(a: &Node, b: &Node) -> bool {
    a.map().is_some() && b.map().is_some()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value as Json, json};

    use super::super::place::Files;
    use super::super::problems::Problems;
    use super::super::{Source, yaml};
    use super::*;

    fn read(file: usize, text: &str) -> Node {
        let source = |name: &str| Source {
            name: name.to_owned(),
            text: text.to_owned(),
        };
        let files = Arc::new(Files::new(&[source("a"), source("b")]));
        yaml::read(file, text, &mut Problems::new(files)).unwrap()
    }

    fn overlaid(base: &str, over: &str) -> Json {
        let mut base = read(0, base);
        overlay(&mut base, read(1, over));
        base.json()
    }

    #[test]
    fn maps_merge_and_the_rest_replaces() {
        let merged = overlaid("a: {b: 1, c: [1, 2]}\nd: x", "a: {c: [3]}\nd: {e: 1}");
        assert_eq!(merged, json!({"a": {"b": 1, "c": [3]}, "d": {"e": 1}}));
    }

    #[test]
    fn null_removes() {
        let merged = overlaid("a: {b: 1, c: 2}\nd: 1", "a: {b: null}\nd:\nz: null");
        assert_eq!(merged, json!({"a": {"c": 2}}));
    }

    #[test]
    fn an_empty_key_takes_the_map_of_a_later_file() {
        assert_eq!(overlaid("a:", "a: {b: 1}"), json!({"a": {"b": 1}}));
        assert_eq!(overlaid("", "a: {b: 1}"), json!({"a": {"b": 1}}));
    }

    #[test]
    fn spans_keep_their_file() {
        let mut base = read(0, "a: {b: 1, c: 2}");
        overlay(&mut base, read(1, "a: {c: 3}"));
        assert_eq!(base.at(&["a"]).unwrap().mark.file, 0);
        assert_eq!(base.at(&["a", "b"]).unwrap().mark.file, 0);
        assert_eq!(base.at(&["a", "c"]).unwrap().mark.file, 1);
    }

    #[test]
    fn a_fleet_wins_over_defaults() {
        let mut fleet = read(0, "{a: {b: 1}, c: null, l: [1]}");
        let defaults = read(0, "{a: {b: 2, d: 3}, c: 4, e: 5, l: [2, 3]}");
        let mut copies = Allowance::new();
        assert!(underlay(
            fleet.map_mut().unwrap(),
            defaults.map().unwrap(),
            &mut copies
        ));
        let expected = json!({"a": {"b": 1, "d": 3}, "c": null, "e": 5, "l": [1]});
        assert_eq!(fleet.json(), expected);
    }
}
