//! Wording that the stages share: names that were meant, lists, cut values.

/// Returns the candidate that a misspelt name most likely means.
///
/// `max_surge` means `maxSurge`; beyond that, about one typing error in three letters is forgiven.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wanted = plain(name);
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&wanted, &plain(candidate));
            (distance, candidate)
        })
        .filter(|(distance, candidate)| {
            let letters = wanted.chars().count().max(candidate.chars().count());
            *distance <= letters / 3
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// Names longer than this are compared by their beginning: nobody mistypes so much.
const LONGEST_COMPARED: usize = 64;

fn plain(name: &str) -> String {
    name.chars()
        .take(LONGEST_COMPARED)
        .filter(|c| !matches!(c, '-' | '_' | '.' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Returns the names in backquotes, with commas.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// The most characters of a value that a message repeats; its place shows the rest.
const LONGEST_VALUE: usize = 60;

/// Returns a text as a message shows it: escaped, in double quotes, cut when long.
pub(super) fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(LONGEST_VALUE).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{:?}{more}", cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_were_meant() {
        let known = ["replicas", "rollout", "maxSurge", "protect"];
        assert_eq!(nearest("replcas", known), Some("replicas"));
        assert_eq!(nearest("max_surge", known), Some("maxSurge"));
        assert_eq!(nearest("MAXSURGE", known), Some("maxSurge"));
        assert_eq!(nearest("zebra", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(quoted("a\nb"), r#""a\nb""#);
        assert_eq!(quoted(&"x".repeat(70)), format!("\"{}\"…", "x".repeat(60)));
    }
}
