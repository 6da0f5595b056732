//! What a person sees of plans, stacks and problems, as text. Pure.
//!
//! The texts carry ANSI colours; printing strips them where nobody wants them.

pub mod diagnostics;
pub mod outcome;
pub mod plan;
pub mod reference;
pub mod status;

use anstyle::{AnsiColor, Style};

pub use crate::many::few;

/// For what comes.
pub const ADD: Style = AnsiColor::Green.on_default();
/// For what changes.
pub const CHANGE: Style = AnsiColor::Yellow.on_default();
/// For what goes, and for errors.
pub const REMOVE: Style = AnsiColor::Red.on_default();
/// For headings.
pub const STRONG: Style = Style::new().bold();
/// For what matters less.
pub const FAINT: Style = Style::new().dimmed();
/// For hints.
pub const HINT: Style = AnsiColor::Cyan.on_default();

/// Returns text in a style.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Returns a count with its noun, in the plural where it must be.
pub fn counted(count: impl Into<u64>, noun: &str) -> String {
    let count = count.into();
    if count == 1 {
        return format!("1 {noun}");
    }
    match noun.strip_suffix('y') {
        Some(stem) => format!("{count} {stem}ies"),
        None => format!("{count} {noun}s"),
    }
}
