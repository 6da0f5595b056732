//! Reads one YAML 1.2 document into a [`Node`].
//!
//! What YAML has and a fleet file must not is reported here, with its place: several
//! documents, keys that are not text, merge keys, tags of one's own, a key twice. Reading
//! goes on behind each, so that all are found; only a syntax error and what could exhaust
//! memory end it.
//!
//! Invariant: neither the depth of the tree nor what its aliases copy grows beyond a bound.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use crate::diag::Code;

use super::place::{At, Mark};
use super::problems::Problems;
use super::tags;
use super::tree::{Allowance, Entry, Map, Node, Value};

/// The most levels of maps and lists. An honest file has about ten.
const DEEPEST: usize = 64;
const TOO_DEEP: &str = "no field of a fleet file is so deep";

/// Reads a document; an empty one is null.
///
/// Returns `None` after a syntax error, and when reading was given up; both are reported.
pub(super) fn read(file: usize, text: &str, problems: &mut Problems) -> Option<Node> {
    let mut reader = Reader {
        file,
        offsets: Offsets::new(text),
        problems,
        stack: Vec::new(),
        root: None,
        anchors: BTreeMap::new(),
        copies: Allowance::new(),
    };
    let mut documents = 0;
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        let (event, span) = match next {
            Ok(event) => event,
            Err(error) => {
                reader.syntax(text, &error);
                return None;
            }
        };
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
            if documents > 1 {
                let at = reader.at(span);
                let hint = "put the second into a file of its own, and give both with -f";
                reader.problems.error(
                    Code::Syntax,
                    &at,
                    "a fleet file holds one YAML document, and here a second begins",
                    hint,
                );
                break;
            }
        }
        reader.event(event, span)?;
    }
    let nothing = || {
        Node::new(
            Value::Null,
            Mark {
                file,
                ..Mark::default()
            },
        )
    };
    Some(reader.root.unwrap_or_else(nothing))
}

struct Reader<'a> {
    file: usize,
    offsets: Offsets,
    problems: &'a mut Problems,
    stack: Vec<Frame>,
    root: Option<Node>,
    anchors: BTreeMap<usize, Anchored>,
    copies: Allowance,
}

/// A map or list that is not complete yet.
struct Frame {
    start: usize,
    anchor: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map { map: Map, key: Key },
}

/// The key whose value comes next.
enum Key {
    /// The key itself comes next.
    Missing,
    Text(String, Mark),
    /// A key was refused: its value is read and dropped.
    Refused,
}

struct Anchored {
    node: Node,
    weight: usize,
    depth: usize,
}

impl Reader<'_> {
    /// Takes one event; `None` gives up reading.
    fn event(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let mark = self.mark(span);
                let merges = style == ScalarStyle::Plain && tag.is_none() && text == "<<";
                let node = self.scalar(text, style, tag, mark);
                self.keep(anchor, &node);
                self.deliver(node, merges);
            }
            Event::SequenceStart(anchor, tag) => {
                self.container_tag(tag, "seq", span);
                self.open(anchor, span, Items::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                self.container_tag(tag, "map", span);
                let (map, key) = (Map::new(), Key::Missing);
                self.open(anchor, span, Items::Map { map, key })?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(anchor) => {
                let node = self.alias(anchor, span)?;
                self.deliver(node, false);
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
        Some(())
    }

    fn open(&mut self, anchor: usize, span: Span, items: Items) -> Option<()> {
        if self.stack.len() >= DEEPEST {
            return self.too_deep(span);
        }
        let start = self.mark(span).start;
        self.stack.push(Frame {
            start,
            anchor,
            items,
        });
        Some(())
    }

    fn close(&mut self, span: Span) {
        let Some(frame) = self.stack.pop() else {
            return;
        };
        let end = self.mark(span);
        // A block collection ends where the next token begins, which is far behind its text.
        let last = match &frame.items {
            Items::List(items) => items.last().map(|item| item.mark),
            Items::Map { map, .. } => map.values().map(|entry| entry.node.mark).max(),
        };
        let end = match (end.is_empty(), last) {
            (false, _) => end.end,
            (true, Some(last)) => last.end,
            (true, None) => frame.start,
        };
        let mark = Mark {
            file: self.file,
            start: frame.start,
            end: end.max(frame.start),
        };
        let node = match frame.items {
            Items::List(items) => Node::new(Value::List(items), mark),
            Items::Map { map, .. } => Node::new(Value::Map(map), mark),
        };
        self.keep(frame.anchor, &node);
        self.deliver(node, false);
    }

    fn keep(&mut self, anchor: usize, node: &Node) {
        if anchor > 0 {
            let anchored = Anchored {
                node: node.clone(),
                weight: node.weight(),
                depth: node.depth(),
            };
            self.anchors.insert(anchor, anchored);
        }
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Option<Node> {
        let mark = self.mark(span);
        let Some(anchored) = self.anchors.get(&anchor) else {
            let at = self.at(span);
            let hint = "a value cannot contain itself: write it out";
            self.problems.error(
                Code::Syntax,
                &at,
                "this alias stands inside of what it names",
                hint,
            );
            let broken = true;
            return Some(Node {
                broken,
                ..Node::new(Value::Null, mark)
            });
        };
        if self.stack.len() + anchored.depth > DEEPEST {
            return self.too_deep(span);
        }
        if !self.copies.take(anchored.weight) {
            let at = self.at(span);
            let summary = format!(
                "the aliases of this file make more than {} MiB of it",
                Allowance::BYTES >> 20
            );
            let hint = "use fewer aliases of aliases; `defaults` serve every fleet";
            self.problems.error(Code::Syntax, &at, summary, hint);
            return None;
        }
        Some(Node {
            mark,
            ..anchored.node.clone()
        })
    }

    fn too_deep<T>(&mut self, span: Span) -> Option<T> {
        let at = self.at(span);
        let summary = format!("nested more than {DEEPEST} levels deep");
        self.problems.error(Code::Syntax, &at, summary, TOO_DEEP);
        None
    }

    /// Hands a complete node to what it is part of.
    fn deliver(&mut self, node: Node, merges: bool) {
        let Some(frame) = self.stack.last_mut() else {
            self.root.get_or_insert(node);
            return;
        };
        let (map, key) = match &mut frame.items {
            Items::List(items) => return items.push(node),
            Items::Map { map, key } => (map, key),
        };
        match std::mem::replace(key, Key::Missing) {
            Key::Refused => {}
            Key::Text(text, mark) => {
                map.insert(text, Entry { key: mark, node });
            }
            Key::Missing => {
                let first = match &node.value {
                    Value::Text(text) => map.get(text).map(|entry| entry.key),
                    Value::Null
                    | Value::Bool(_)
                    | Value::Number(..)
                    | Value::List(_)
                    | Value::Map(_) => None,
                };
                *key = judge_key(node, merges, first, self.problems);
            }
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        tag: Option<Cow<'_, Tag>>,
        mark: Mark,
    ) -> Node {
        let (value, mistake) = tags::scalar(&text, style, tag.as_deref());
        let mut node = Node::new(value, mark);
        if let Some(mistake) = mistake {
            node.broken = true;
            let at = At {
                mark,
                field: String::new(),
            };
            let hint = mistake.hint();
            self.problems
                .error(Code::Syntax, &at, mistake.to_string(), hint);
        }
        node
    }

    fn container_tag(&mut self, tag: Option<Cow<'_, Tag>>, own: &str, span: Span) {
        if let Some(mistake) = tag.and_then(|tag| tags::container(&tag, own)) {
            let hint = mistake.hint();
            let at = self.at(span);
            self.problems
                .error(Code::Syntax, &at, mistake.to_string(), hint);
        }
    }

    fn syntax(&mut self, text: &str, error: &ScanError) {
        let start = self.offsets.byte(error.marker().index());
        let rest = text.get(start..).unwrap_or("");
        let length = rest.chars().next().map_or(0, char::len_utf8);
        let at = At {
            mark: Mark {
                file: self.file,
                start,
                end: start + length,
            },
            field: String::new(),
        };
        let info = error.info();
        let hint = if info.starts_with("tabs ") || rest.starts_with('\t') {
            "indent with spaces: YAML allows no tabs there"
        } else if info.contains("quoted scalar") {
            "a closing quote is missing"
        } else if info.contains("recursion limit") {
            TOO_DEEP
        } else if info.contains("unknown anchor") {
            "name an anchor (`&name`) that stands above; a text that begins with * needs quotes"
        } else if info.contains("mapping values") || info.contains("unexpected character") {
            "a text with `: ` in it, or beginning with a special character, needs quotes"
        } else {
            "look at the indentation and brackets here and in the lines above"
        };
        self.problems
            .error(Code::Syntax, &at, format!("not valid YAML: {info}"), hint);
    }

    fn mark(&self, span: Span) -> Mark {
        let start = self.offsets.byte(span.start.index());
        Mark {
            file: self.file,
            start,
            end: self.offsets.byte(span.end.index()).max(start),
        }
    }

    fn at(&self, span: Span) -> At {
        At {
            mark: self.mark(span),
            field: String::new(),
        }
    }
}

/// Judges a key; `first` is where the map already has it.
fn judge_key(node: Node, merges: bool, first: Option<Mark>, problems: &mut Problems) -> Key {
    let at = At {
        mark: node.mark,
        field: String::new(),
    };
    if merges {
        let hint = "YAML 1.2 has none: use `defaults`, or an alias for a whole value";
        problems.error(
            Code::Syntax,
            &at,
            "merge keys (`<<`) are not supported",
            hint,
        );
        return Key::Refused;
    }
    let Value::Text(text) = node.value else {
        let hint = match &node.value {
            Value::Number(_, written) => format!("put it in quotes: \"{written}\""),
            Value::Bool(flag) => format!("put it in quotes: \"{flag}\""),
            Value::Null | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                "write a name".to_owned()
            }
        };
        let summary = format!("a key must be text, and this is {}", node.described());
        problems.error(Code::Syntax, &at, summary, hint);
        return Key::Refused;
    };
    if let Some(first) = first {
        let place = problems.files.name(first);
        let hint = format!("it is set first at {place}: remove one of the two");
        problems.error(
            Code::Syntax,
            &at,
            format!("`{text}` is set twice in the same map"),
            hint,
        );
        return Key::Refused;
    }
    Key::Text(text, node.mark)
}

/// Turns positions in characters, which the parser counts, into positions in bytes.
struct Offsets {
    length: usize,
    /// The byte of each character; empty when each character is one byte.
    bytes: Vec<usize>,
}

impl Offsets {
    fn new(text: &str) -> Self {
        let bytes = match text.is_ascii() {
            true => Vec::new(),
            false => text.char_indices().map(|(byte, _)| byte).collect(),
        };
        Self {
            length: text.len(),
            bytes,
        }
    }

    fn byte(&self, character: usize) -> usize {
        match self.bytes.is_empty() {
            true => character.min(self.length),
            false => self.bytes.get(character).copied().unwrap_or(self.length),
        }
    }
}
