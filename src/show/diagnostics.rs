//! Problems of the input as text, each with its line of the file.

use std::collections::BTreeMap;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::diag::{Diagnostic, Severity, masked};

/// Returns problems as text, with the lines of `sources` that they are in.
pub fn diagnostics(diagnostics: &[Diagnostic], sources: &BTreeMap<String, String>) -> String {
    // The text of a file shows what is wrong with it, and not its secrets to whoever reads a log.
    let sources: BTreeMap<&String, String> = sources
        .iter()
        .map(|(name, text)| (name, masked(text)))
        .collect();
    let renderer = Renderer::styled();
    let mut text = String::new();
    for diagnostic in diagnostics {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let summary = match diagnostic.code {
            Some(code) => format!("{}: {}", diagnostic.summary, code.why()),
            None => diagnostic.summary.clone(),
        };
        let title = level.primary_title(summary.as_str());
        let title = match diagnostic.code {
            Some(code) => title.id(code.as_str()),
            None => title,
        };
        let place = diagnostic.place.as_ref();
        let source = place.and_then(|place| Some((place, sources.get(&place.file)?)));
        let hint = diagnostic.hint.as_deref();
        let mut reports = match source {
            Some((place, source)) => {
                let snippet = title.element(
                    Snippet::source(source.as_str())
                        .path(place.file.as_str())
                        .annotation(
                            AnnotationKind::Primary
                                .span(place.span.clone())
                                .label(place.field.as_str()),
                        ),
                );
                vec![match hint {
                    Some(hint) => snippet.element(Level::HELP.message(hint)),
                    None => snippet,
                }]
            }
            None => vec![Group::with_title(title)],
        };
        if let (None, Some(hint)) = (source, hint) {
            reports.push(Group::with_title(Level::HELP.secondary_title(hint)));
        }
        // Each by itself: between groups the renderer draws a line of the margin.
        for report in reports {
            text.push_str(&renderer.render(&[report]));
            text.push('\n');
        }
        text.push('\n');
    }
    text
}
