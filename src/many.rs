//! What is alike is told once, with how often and the first few names. Pure.

use std::collections::BTreeMap;

/// So many that are alike are still told one by one.
const MOST_SINGLE: usize = 3;

/// So many names are told of many.
const MOST_NAMES: usize = 6;

/// Puts together what has the same key, in the place of the first of each; what has no key, or is
/// one of a few, stays by itself.
pub fn alike<T, K: Ord>(items: Vec<T>, key: impl Fn(&T) -> Option<K>) -> Vec<Vec<T>> {
    let mut counts: BTreeMap<K, usize> = BTreeMap::new();
    for key in items.iter().filter_map(&key) {
        *counts.entry(key).or_default() += 1;
    }
    counts.retain(|_, count| *count > MOST_SINGLE);
    let mut groups: Vec<Vec<T>> = Vec::new();
    let mut begun: BTreeMap<K, usize> = BTreeMap::new();
    for item in items {
        match key(&item).filter(|key| counts.contains_key(key)) {
            Some(key) => match begun.get(&key) {
                Some(&at) => groups[at].push(item),
                None => {
                    begun.insert(key, groups.len());
                    groups.push(vec![item]);
                }
            },
            None => groups.push(vec![item]),
        }
    }
    groups
}

/// Joins the first few names of many.
pub fn few<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(MOST_NAMES);
    let mut text = names.take(MOST_NAMES).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_a_few_are_put_together_and_all_others_keep_their_places() {
        let items = vec!["a1", "b1", "a2", "c", "a3", "b2", "a4"];
        let groups = alike(items, |item| (*item != "c").then(|| item.chars().next()));
        let expected = [
            vec!["a1", "a2", "a3", "a4"],
            vec!["b1"],
            vec!["c"],
            vec!["b2"],
        ];
        assert_eq!(groups, expected);
    }

    #[test]
    fn the_first_names_are_told_and_the_others_counted() {
        let names: Vec<String> = (0..8).map(|n| format!("web-{n}")).collect();
        let names = names.iter().map(String::as_str);
        let expected = "web-0, web-1, web-2, web-3, web-4, web-5 and 2 more";
        assert_eq!(few(names), expected);
    }
}
