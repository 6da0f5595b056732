//! Texts in the style that each needs: plain where it can be, in single quotes where only its
//! characters forbid that, in double quotes where it would be read as something else or has what
//! must be escaped, and as a literal block where it has lines.

use super::{INDENT, pad, plain};

/// A text goes on on another line at the first blank behind so many characters of a line.
const WIDTH: usize = 80;

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// Writes a key.
pub fn key(text: &str, out: &mut String) {
    match style(text) {
        Style::Literal => write(text, Style::Double, None, out),
        style => write(text, style, None, out),
    }
}

/// Writes a text whose further lines, if any, are indented.
pub fn text(text: &str, indent: usize, out: &mut String) {
    write(text, style(text), Some(indent), out);
}

fn style(text: &str) -> Style {
    let has_break = text.contains('\n');
    if text.chars().any(is_special) || text.contains(" \n") || (has_break && text.ends_with(' ')) {
        return Style::Double;
    }
    if has_break {
        return Style::Literal;
    }
    match (plain::is_something_else(text), can_be_plain(text)) {
        (true, _) => Style::Double,
        (false, true) => Style::Plain,
        (false, false) => Style::Single,
    }
}

/// Returns whether a character has to be escaped, or is a line end of YAML 1.1 alone.
fn is_special(c: char) -> bool {
    let is_printable = matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{fffd}');
    !is_printable || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}')
}

/// Returns whether the characters of a text of one line let it stand without quotes.
fn can_be_plain(text: &str) -> bool {
    const FIRST: &str = "#,[]{}&*!|>'\"%@`";
    let lone = |c: char| {
        text.strip_prefix(c)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    !(text.starts_with(|c| FIRST.contains(c))
        || text.starts_with("---")
        || text.starts_with("...")
        || ['-', '?', ':'].into_iter().any(lone)
        || text.starts_with(' ')
        || text.ends_with([' ', ':'])
        || text.contains(": ")
        || text.contains(" #"))
}

fn write(text: &str, style: Style, indent: Option<usize>, out: &mut String) {
    match style {
        Style::Plain => folded(text, style, indent, out),
        Style::Single => {
            out.push('\'');
            folded(text, style, indent, out);
            out.push('\'');
        }
        Style::Double => {
            out.push('"');
            folded(text, style, indent, out);
            out.push('"');
        }
        Style::Literal => literal(text, indent.unwrap_or(INDENT), out),
    }
}

/// Writes a text of one line, on several where it is long and may be.
fn folded(text: &str, style: Style, indent: Option<usize>, out: &mut String) {
    let line = out.rfind('\n').map_or(0, |at| at + 1);
    let mut column = out[line..].chars().count();
    let mut after_space = false;
    let mut chars = text.chars().enumerate().peekable();
    while let Some((index, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let room = c == ' ' && !after_space && column > WIDTH && index > 0;
        let may_fold = match style {
            Style::Double => room && next.is_some(),
            Style::Plain | Style::Single | Style::Literal => room && next.is_some_and(|c| c != ' '),
        };
        after_space = c == ' ';
        match indent {
            Some(indent) if may_fold => {
                out.push('\n');
                pad(indent, out);
                column = indent;
                if next == Some(' ') {
                    out.push('\\');
                    column += 1;
                }
            }
            _ => {
                let before = out.len();
                character(c, style, out);
                column += out[before..].chars().count();
            }
        }
    }
}

fn character(c: char, style: Style, out: &mut String) {
    match (style, c) {
        (Style::Single, '\'') => out.push_str("''"),
        (Style::Double, '"' | '\\') => out.extend(['\\', c]),
        (Style::Double, c) if c == '\n' || is_special(c) => escaped(c, out),
        _ => out.push(c),
    }
}

fn escaped(c: char, out: &mut String) {
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ => {
            let code = u32::from(c);
            let long = match code {
                0..=0xff => format!("\\x{code:02X}"),
                0x100..=0xffff => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            };
            out.push_str(&long);
            return;
        }
    };
    out.extend(['\\', short]);
}

/// Writes a text of several lines as a literal block.
fn literal(text: &str, indent: usize, out: &mut String) {
    out.push('|');
    if text.starts_with([' ', '\n']) {
        // Where the block begins cannot be seen from its first line.
        out.push_str(&INDENT.to_string());
    }
    let ends = text.len() - text.trim_end_matches('\n').len();
    match ends {
        0 => out.push('-'),
        1 if text.len() > 1 => {}
        _ => out.push('+'),
    }
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(indent, out);
            out.push_str(line);
        }
    }
    if ends > 0 {
        out.push('\n');
    }
}
