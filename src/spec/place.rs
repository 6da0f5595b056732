//! Places in files: from byte spans to what a person can look up.
//!
//! Files are kept as text, since every later stage may still have to point into them.
//! Nothing here reads a file.
//!
//! Invariants:
//! 1. A [`Place`] lies inside its file, on character boundaries and within one line.
//! 2. Its `text` is exactly what the file has at its `span`, but for credentials.

use crate::diag::{Place, masked};

use super::Source;

/// A byte span of one of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Mark {
    /// The position of the file in [`Files`].
    pub file: usize,
    /// The first byte.
    pub start: usize,
    /// The byte behind the last.
    pub end: usize,
}

impl Mark {
    /// Returns the empty span where this one begins.
    pub fn begin(self) -> Self {
        Self {
            end: self.start,
            ..self
        }
    }

    /// Returns whether the span holds no text.
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// A span together with the field that stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At {
    /// The span.
    pub mark: Mark,
    /// The field, as a dotted path from the top of the file.
    pub field: String,
}

/// The files that were given, in order.
#[derive(Debug, Default)]
pub(super) struct Files(Vec<Text>);

#[derive(Debug)]
struct Text {
    name: String,
    text: String,
    /// The byte at which each line begins.
    lines: Vec<usize>,
}

/// Some editors put it before the first character; it belongs to no line.
const BYTE_ORDER_MARK: &str = "\u{feff}";

impl Files {
    /// Keeps the files; their positions are those of the iterator.
    pub fn new<'a>(sources: impl IntoIterator<Item = &'a Source>) -> Self {
        let keep = |source: &Source| {
            let first = match source.text.starts_with(BYTE_ORDER_MARK) {
                true => BYTE_ORDER_MARK.len(),
                false => 0,
            };
            let breaks = source.text.match_indices('\n').map(|(at, _)| at + 1);
            Text {
                name: source.name.clone(),
                text: source.text.clone(),
                lines: std::iter::once(first).chain(breaks).collect(),
            }
        };
        Self(sources.into_iter().map(keep).collect())
    }

    /// Returns the place of a span, cut behind its first line.
    pub fn place(&self, at: &At) -> Option<Place> {
        let file = self.0.get(at.mark.file)?;
        let start = floor(&file.text, at.mark.start);
        let end = floor(&file.text, at.mark.end.max(start));
        let first_line = file.text.get(start..end)?.lines().next().unwrap_or("");
        let text = first_line.trim_end();
        let (line, begin) = file.line(start);
        let before = file.text.get(begin..start).unwrap_or("");
        Some(Place {
            file: file.name.clone(),
            line,
            column: before.chars().count() + 1,
            span: start..start + text.len(),
            field: at.field.clone(),
            text: masked(text),
        })
    }

    /// Returns the place of a span as `file:line:column`.
    pub fn name(&self, mark: Mark) -> String {
        let field = String::new();
        match self.place(&At { mark, field }) {
            Some(place) => format!("{}:{}:{}", place.file, place.line, place.column),
            None => String::new(),
        }
    }

    /// Returns the name of a file; empty when there is no such file.
    pub fn file_name(&self, file: usize) -> &str {
        self.0.get(file).map_or("", |file| &file.name)
    }

    /// Returns the text at a span, whole.
    pub fn text(&self, mark: Mark) -> &str {
        let file = self.0.get(mark.file);
        file.and_then(|file| file.text.get(mark.start..mark.end))
            .unwrap_or("")
    }
}

impl Text {
    /// Returns the number of the line with a byte, from 1, and where it begins.
    fn line(&self, byte: usize) -> (usize, usize) {
        let after = self.lines.partition_point(|begin| *begin <= byte);
        let index = after.saturating_sub(1);
        (index + 1, self.lines.get(index).copied().unwrap_or(0))
    }
}

/// Returns the last character boundary at or before a byte.
fn floor(text: &str, byte: usize) -> usize {
    (0..=byte.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, start: usize, end: usize) -> Place {
        let files = Files::new(&[Source {
            name: "f".into(),
            text: text.into(),
        }]);
        let mark = Mark {
            file: 0,
            start,
            end,
        };
        let field = "a.b".into();
        files.place(&At { mark, field }).unwrap()
    }

    #[test]
    fn columns_count_characters() {
        let place = place("a: 1\nüü: x\n", 11, 12);
        assert_eq!((place.line, place.column, &*place.text), (2, 5, "x"));
    }

    #[test]
    fn text_is_cut_behind_its_first_line() {
        let place = place("a: b\r\nc: d\n", 3, 10);
        assert_eq!((&*place.text, place.span), ("b", 3..4));
    }

    #[test]
    fn a_byte_order_mark_takes_no_column() {
        let place = place("\u{feff}a: 1\n", 3, 4);
        assert_eq!((place.line, place.column), (1, 1));
    }

    #[test]
    fn a_span_past_the_end_is_moved_inside() {
        let place = place("a\n", 9, 12);
        assert_eq!((place.line, place.column, &*place.text), (2, 1, ""));
    }
}
