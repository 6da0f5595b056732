//! What a text without quotes would be read as: the rules of YAML 1.1 as `yaml.v2` has them.

/// Returns whether a text without quotes would be read as something else than a text.
pub fn is_something_else(text: &str) -> bool {
    match text.chars().next() {
        None => true,
        Some('~' | 'y' | 'Y' | 'n' | 'N' | 't' | 'T' | 'f' | 'F' | 'o' | 'O') => is_word(text),
        Some('.') => is_word(text) || is_finite(&without_separators(text)),
        Some('+' | '-' | '0'..='9') => {
            let digits = text.replace('_', "");
            is_word(text)
                || is_time(text)
                || is_whole(&digits)
                || is_decimal(&digits)
                || is_base_60(text)
        }
        // The library leaves it plain, and then reads it as a merge of maps.
        Some('<') => text == "<<",
        Some(_) => false,
    }
}

/// Returns whether a text is a word for nothing, for a truth value or for no number.
fn is_word(text: &str) -> bool {
    const WORDS: [&str; 10] = [
        "y", "yes", "true", "on", "n", "no", "false", "off", "null", "~",
    ];
    let cased = |word: &str| {
        let mut chars = word.chars();
        let capital: String = chars
            .next()
            .into_iter()
            .flat_map(char::to_uppercase)
            .collect();
        text == word || text == capital + chars.as_str() || text == word.to_uppercase()
    };
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    WORDS.iter().any(|word| cased(word))
        || matches!(unsigned, ".inf" | ".Inf" | ".INF")
        || matches!(text, ".nan" | ".NaN" | ".NAN")
}

/// Returns a text without the underscores that stand between digits.
fn without_separators(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_digit = |index: Option<usize>| {
        let byte = index.and_then(|index| bytes.get(index));
        byte.is_some_and(u8::is_ascii_digit)
    };
    text.char_indices()
        .filter(|&(at, c)| !(c == '_' && is_digit(at.checked_sub(1)) && is_digit(Some(at + 1))))
        .map(|(_, c)| c)
        .collect()
}

fn is_finite(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Returns whether a text is a whole number of 64 bits in one of Go's bases.
fn is_whole(text: &str) -> bool {
    let (sign, unsigned) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (&text[..1], rest),
        None => ("", text),
    };
    let of_base = |digits: &str, base: u32| {
        let is_digits = !digits.is_empty() && digits.chars().all(|c| c.is_digit(base));
        let signed = format!("{sign}{digits}");
        is_digits
            && (i64::from_str_radix(&signed, base).is_ok()
                || (sign.is_empty() && u64::from_str_radix(digits, base).is_ok()))
    };
    let lower = unsigned.to_ascii_lowercase();
    match lower.as_bytes() {
        [b'0', b'x', ..] => of_base(&lower[2..], 16),
        // A second sign is read, too.
        [b'0', b'b', b'+' | b'-', ..] if sign.is_empty() && unsigned.starts_with("0b") => {
            i64::from_str_radix(&lower[2..], 2).is_ok()
        }
        [b'0', b'b', ..] => of_base(&lower[2..], 2),
        [b'0', b'o', ..] => of_base(&lower[2..], 8),
        [b'0', _, ..] => of_base(&lower[1..], 8),
        _ => of_base(&lower, 10),
    }
}

/// Returns whether a text is a number with a fraction or an exponent.
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') && is_finite(unsigned)
}

/// Returns whether a text is a number of minutes and seconds, which only YAML 1.1 knows.
fn is_base_60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut parts = whole.split(':');
    let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '_');
    let first = parts.next().unwrap_or_default();
    let is_part = |part: &str| match part.as_bytes() {
        [ones] => ones.is_ascii_digit(),
        [tens, ones] => (b'0'..=b'5').contains(tens) && ones.is_ascii_digit(),
        _ => false,
    };
    let mut rest = parts.peekable();
    first.starts_with(|c: char| c.is_ascii_digit())
        && is_number(first)
        && rest.peek().is_some()
        && rest.all(is_part)
        && is_number(fraction)
}

/// Returns whether a text is a day, or a moment in one of the forms that the library reads.
fn is_time(text: &str) -> bool {
    let Some(at) = text.find(['T', 't', ' ']) else {
        return is_day(text);
    };
    let (date, time) = (&text[..at], &text[at + 1..]);
    let clock = match &text[at..=at] {
        " " => Some(time),
        _ => without_zone(time),
    };
    is_day(date) && clock.is_some_and(is_clock)
}

fn is_day(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts[..] else {
        return false;
    };
    let (Some(year), Some(month), Some(day)) = (
        number(year, 4..=4),
        number(month, 1..=2),
        number(day, 1..=2),
    ) else {
        return false;
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 31,
    };
    (1..=12).contains(&month) && (1..=days).contains(&day)
}

fn is_clock(text: &str) -> bool {
    let (clock, fraction) = match text.find(['.', ',']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let parts: Vec<&str> = clock.split(':').collect();
    let [hour, minute, second] = parts[..] else {
        return false;
    };
    let below = |text: &str, limit| number(text, 1..=2).is_some_and(|value| value < limit);
    let is_fraction = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    below(hour, 24) && below(minute, 60) && below(second, 60) && fraction.is_none_or(is_fraction)
}

fn without_zone(text: &str) -> Option<&str> {
    if let Some(clock) = text.strip_suffix('Z') {
        return Some(clock);
    }
    let (clock, zone) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (hour, minute) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
    let is_zone = number(hour, 2..=2)? <= 24 && number(minute, 2..=2)? <= 60;
    is_zone.then_some(clock)
}

/// Returns the number that a text of so many digits is.
fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let is_number = digits.contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}
