//! Makes output the same in every run: what is random or of this computer gets a stable name.
//!
//! A placeholder has the shape and length of what it stands for, so that tables stay straight:
//! the first batch that appears is `00000001`, so its machines are `web-00000001-0` and so on.
//! Scripts use the same placeholders, and [`Normal::real`] turns them back.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// What kind of text a placeholder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// The part of a machine's name that stands for its batch.
    Batch,
    /// A hash, or the id of a simulated machine.
    Hash,
    /// An idempotency key.
    Key,
    /// The id of a plan.
    Uuid,
    /// An address of a simulated machine.
    Address,
}

/// Gives stable names, numbered by first appearance.
#[derive(Default)]
pub struct Normal {
    /// Texts that stand for a place or a name of this computer, longest first.
    fixed: Vec<(String, String)>,
    known: BTreeMap<Kind, Vec<String>>,
}

impl Normal {
    /// Starts with texts that are of this computer.
    pub fn new(fixed: impl IntoIterator<Item = (String, &'static str)>) -> Self {
        let fixed = fixed.into_iter().filter(|(text, _)| !text.is_empty());
        let mut fixed: Vec<_> = fixed.map(|(text, name)| (text, name.to_owned())).collect();
        fixed.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Self {
            fixed,
            known: BTreeMap::new(),
        }
    }

    /// Replaces everything that differs from run to run.
    pub fn stable(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (real, name) in &self.fixed {
            text = text.replace(real, name);
        }
        let numbers = [
            ("process ", "<pid>"),
            ("\"pid\": ", "<pid>"),
            ("Micros\": ", "<n>"),
        ];
        for (before, name) in numbers {
            text = replace_numbers(&text, before, name);
        }
        let text = replace_tokens(&text, |kind, token| {
            let known = self.known.entry(kind).or_default();
            let position = known.iter().position(|known| known == token);
            let number = position.unwrap_or_else(|| {
                known.push(token.to_owned());
                known.len() - 1
            });
            placeholder(kind, number + 1, token.len())
        });
        let lines = text.split_inclusive('\n').map(sort_names);
        lines.collect()
    }

    /// Puts what placeholders stand for back into a line of a script.
    #[track_caller]
    pub fn real(&self, line: &str) -> String {
        replace_tokens(line, |kind, token| {
            let digits: String = token.chars().filter(char::is_ascii_digit).collect();
            let number = match kind {
                Kind::Address => return token.to_owned(),
                _ => digits.parse::<usize>().unwrap_or(0),
            };
            let known = self.known.get(&kind);
            let real = known.and_then(|known| known.get(number.checked_sub(1)?));
            match real {
                Some(real) => real.clone(),
                None => panic!("nothing printed so far is {token}: {line}"),
            }
        })
    }
}

fn placeholder(kind: Kind, number: usize, length: usize) -> String {
    match kind {
        Kind::Batch | Kind::Hash | Kind::Key => format!("{number:0length$}"),
        Kind::Uuid => format!("00000000-0000-0000-0000-{number:012}"),
        Kind::Address => format!("10.0.0.{number}"),
    }
}

/// Sorts the machines that a line names: it names them in the order of their random parts.
fn sort_names(line: &str) -> String {
    let is_name = |word: &str| {
        let parts: Vec<&str> = word.rsplitn(3, '-').collect();
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        matches!(parts[..], [index, batch, _] if digits(index) && batch.len() == 8 && digits(batch))
    };
    let words: Vec<&str> = line.split(' ').collect();
    let bare = |word: &str| word.trim_end_matches([',', ';', '\n']).to_owned();
    let mut sorted: Vec<String> = Vec::new();
    let mut rest = words.as_slice();
    while let Some(word) = rest.first() {
        let more = rest
            .iter()
            .take_while(|word| word.ends_with(',') && is_name(&bare(word)));
        let count = more.count();
        // The last of a list has no comma behind it.
        let count = match rest.get(count) {
            Some(last) if count > 0 && is_name(&bare(last)) => count + 1,
            Some(_) | None => count.max(1),
        };
        let mut names: Vec<String> = rest[..count].iter().map(|word| bare(word)).collect();
        if count == 1 {
            sorted.push((*word).to_owned());
        } else {
            names.sort();
            let after = &rest[count - 1][bare(rest[count - 1]).len()..];
            sorted.push(format!("{}{after}", names.join(", ")));
        }
        rest = &rest[count..];
    }
    sorted.join(" ")
}

/// Replaces the number after each `before`.
fn replace_numbers(text: &str, before: &str, name: &str) -> String {
    let mut parts = text.split(before);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        out.push_str(before);
        out.push_str(if rest.len() < part.len() { name } else { "" });
        out.push_str(rest);
    }
    out
}

/// Replaces every token of a known shape; times all become the same.
fn replace_tokens(text: &str, mut name: impl FnMut(Kind, &str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let starts = !before.is_ascii_alphanumeric();
        if starts && let Some(length) = time(rest) {
            out.push_str("<time>");
            rest = &rest[length..];
            before = 'Z';
            continue;
        }
        if starts && let Some((kind, length)) = token(rest, before) {
            out.push_str(&name(kind, &rest[..length]));
            rest = &rest[length..];
            before = '0';
            continue;
        }
        out.push(first);
        before = first;
        rest = &rest[first.len_utf8()..];
    }
    out
}

/// Returns the length of the RFC 3339 time that the text begins with.
fn time(text: &str) -> Option<usize> {
    let shape = "0000-00-00T00:00:00";
    let head = text.get(..shape.len())?;
    let fits = head.chars().zip(shape.chars()).all(|(c, s)| match s {
        '0' => c.is_ascii_digit(),
        _ => c == s,
    });
    let tail = text[shape.len()..].trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    (fits && tail.starts_with('Z')).then(|| text.len() - tail.len() + 1)
}

/// Returns the kind and length of the token that the text begins with.
fn token(text: &str, before: char) -> Option<(Kind, usize)> {
    let run = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric());
        end.unwrap_or(text.len())
    };
    let hex = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let length = run(text);
    let (word, rest) = text.split_at(length);
    if word.bytes().all(|b| b.is_ascii_digit())
        && let Some(length) = address(text)
    {
        return Some((Kind::Address, length));
    }
    if !hex(word) {
        return None;
    }
    if uuid(text) {
        return Some((Kind::Uuid, 36));
    }
    let in_name = before == '-'
        && rest.strip_prefix('-').is_some_and(|rest| {
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
            digits.is_some_and(|digits| !digits.is_empty())
        });
    match length {
        8 if in_name => Some((Kind::Batch, length)),
        16 => Some((Kind::Hash, length)),
        32 => Some((Kind::Key, length)),
        _ => None,
    }
}

fn uuid(text: &str) -> bool {
    let shape = [8, 4, 4, 4, 12];
    let Some(text) = text.get(..36) else {
        return false;
    };
    let parts: Vec<&str> = text.split('-').collect();
    parts.len() == shape.len()
        && parts.iter().zip(shape).all(|(part, length)| {
            part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit())
        })
}

/// Returns the length of the simulated machine's address that the text begins with.
fn address(text: &str) -> Option<usize> {
    let end = text.find(|c: char| c != '.' && !c.is_ascii_digit());
    let word = text[..end.unwrap_or(text.len())].trim_end_matches('.');
    let address: Ipv4Addr = word.parse().ok()?;
    (address.octets()[0] == 10).then_some(word.len())
}

#[test]
fn placeholders_keep_shape_and_turn_back() {
    let mut normal = Normal::new([("/tmp/x".to_owned(), "$DIR")]);
    let text = "web-0a1b2c3d-12 in /tmp/x/mesh at 10.0.0.77, sim-00ff00ff00ff00ff since \
                2026-11-24T00:12:13.9Z (process 123, `x`) web-deadbeef-0 web-0a1b2c3d-3";
    let stable = normal.stable(text);
    assert_eq!(
        stable,
        "web-00000001-12 in $DIR/mesh at 10.0.0.1, sim-0000000000000001 since <time> \
         (process <pid>, `x`) web-00000002-0 web-00000001-3"
    );
    assert_eq!(
        normal.real("kill web-00000002-0 sim-0000000000000001"),
        "kill web-deadbeef-0 sim-00ff00ff00ff00ff"
    );
    let list = "  - delete web-deadbeef-1, web-0a1b2c3d-0, web-0a1b2c3d-1, at most 1 (why)\n";
    assert_eq!(
        normal.stable(list),
        "  - delete web-00000001-0, web-00000001-1, web-00000002-1, at most 1 (why)\n"
    );
    let sha = "0".repeat(64);
    assert_eq!(normal.stable(&sha), sha);
}
