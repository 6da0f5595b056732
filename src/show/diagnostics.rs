//! Problems of the input as text, each with its line of the file.

use std::collections::BTreeMap;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::few;
use crate::diag::{Diagnostic, Severity, masked};
use crate::many::alike;

/// Returns problems as text, with the lines of `sources` that they are in. Of many that are alike
/// the first is shown, and the others are named.
pub fn diagnostics(diagnostics: &[Diagnostic], sources: &BTreeMap<String, String>) -> String {
    // The text of a file shows what is wrong with it, and not its secrets to whoever reads a log.
    let sources: BTreeMap<&String, String> = sources
        .iter()
        .map(|(name, text)| (name, masked(text)))
        .collect();
    let renderer = Renderer::styled();
    let mut text = String::new();
    let told = alike(diagnostics.iter().collect(), |found| {
        found.about.as_ref()?;
        // A class holds more than one thing; what is to be done tells them apart.
        let hint = found.code.is_class().then_some(&found.hint);
        Some((found.severity, found.code, hint))
    });
    for group in told {
        for report in reports(&group, &renderer, &sources) {
            text.push_str(&report);
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

/// Returns what there is to say of problems that are alike.
fn reports(
    alike: &[&Diagnostic],
    renderer: &Renderer,
    sources: &BTreeMap<&String, String>,
) -> Vec<String> {
    let Some((diagnostic, others)) = alike.split_first() else {
        return Vec::new();
    };
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let code = diagnostic.code;
    // What is true of a whole class says nothing more of what was found.
    let summary = match code.is_class() {
        true => diagnostic.summary.clone(),
        false => format!("{}: {}", diagnostic.summary, code.why()),
    };
    let title = level.primary_title(summary.as_str()).id(code.as_str());
    let names: Vec<&str> = others.iter().filter_map(|o| o.about.as_deref()).collect();
    let more = match names.len() {
        0 => None,
        count => Some(format!("{count} more like it: {}", few(names.into_iter()))),
    };
    let place = diagnostic.place.as_ref();
    let source = place.and_then(|place| Some((place, sources.get(&place.file)?)));
    let hint = diagnostic.hint.as_deref();
    let mut groups = match source {
        Some((place, source)) => {
            let mut snippet = title.element(
                Snippet::source(source.as_str())
                    .path(place.file.as_str())
                    .annotation(
                        AnnotationKind::Primary
                            .span(place.span.clone())
                            .label(place.field.as_str()),
                    ),
            );
            if let Some(more) = &more {
                snippet = snippet.element(Level::NOTE.message(more.as_str()));
            }
            if let Some(hint) = hint {
                snippet = snippet.element(Level::HELP.message(hint));
            }
            vec![snippet]
        }
        None => vec![Group::with_title(title)],
    };
    if source.is_none() {
        let more = more.as_deref().map(|more| (Level::NOTE, more));
        let hint = hint.map(|hint| (Level::HELP, hint));
        for (level, text) in more.into_iter().chain(hint) {
            groups.push(Group::with_title(level.secondary_title(text)));
        }
    }
    // Each by itself: between groups the renderer draws a line of the margin.
    groups
        .into_iter()
        .map(|group| renderer.render(&[group]))
        .collect()
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;
    use crate::diag::Code;

    fn same_address(count: usize) -> Vec<Diagnostic> {
        let found = |n| {
            let text = format!("vm/a and vm/b{n} both have the address 10.0.0.1");
            Diagnostic::warning(Code::SameAddress, text)
                .about(format!("vm/b{n}"))
                .with_hint("delete the one whose machine is gone")
        };
        (0..count).map(found).collect()
    }

    fn told(found: &[Diagnostic]) -> String {
        strip_str(&diagnostics(found, &BTreeMap::new())).to_string()
    }

    #[test]
    fn many_that_are_alike_are_told_once_with_their_count_and_first_names() {
        let mut found = same_address(300);
        found.push(Diagnostic::error(Code::Value, "something else"));
        let text = told(&found);
        assert_eq!(text.matches("MV302").count(), 1, "{text}");
        assert_eq!(text.matches("help:").count(), 1, "{text}");
        let more = "note: 299 more like it: vm/b1, vm/b2, vm/b3, vm/b4, vm/b5, vm/b6 and 293 more";
        assert!(text.contains(more), "{text}");
        assert!(text.contains(": something else"), "{text}");
    }

    #[test]
    fn a_few_are_told_one_by_one() {
        let text = told(&same_address(3));
        assert_eq!(text.matches("MV302").count(), 3, "{text}");
        assert!(!text.contains("more like it"), "{text}");
    }
}
