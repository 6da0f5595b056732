//! The only printer: people and pipelines get the same data, each in its own way.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

use anstream::ColorChoice;
use meshvm_provider_api::layers::OperationMetrics;
use serde::Serialize;

use super::{CliError, Color, Format};
use crate::apply::Outcome;
use crate::diag::Diagnostic;
use crate::plan::Plan;
use crate::providers::Metrics;
use crate::show::{self, FAINT, HINT, REMOVE, counted, paint};

/// Prints what commands have to say.
pub struct Output {
    format: Format,
    verbose: bool,
    /// The texts of the fleet files, to show problems in their lines.
    sources: RefCell<BTreeMap<String, String>>,
}

impl Output {
    /// Prepares to print.
    pub fn new(format: Format, color: Color, verbose: bool) -> Self {
        match color {
            Color::Auto => {}
            Color::Always => ColorChoice::Always.write_global(),
            Color::Never => ColorChoice::Never.write_global(),
        }
        Self {
            format,
            verbose,
            sources: RefCell::default(),
        }
    }

    /// Returns whether a person reads.
    pub fn is_human(&self) -> bool {
        self.format == Format::Human
    }

    /// Returns whether a person is at the keyboard and reads.
    pub fn is_interactive(&self) -> bool {
        self.is_human() && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Keeps the text of a fleet file, to show problems in its lines.
    pub fn remember_source(&self, name: &str, text: &str) {
        self.sources
            .borrow_mut()
            .insert(name.to_owned(), text.to_owned());
    }

    /// Prints a result: `text` for people, `data` for pipelines.
    pub fn result(
        &self,
        text: impl FnOnce() -> String,
        data: &impl Serialize,
    ) -> Result<(), CliError> {
        match self.format {
            Format::Human => self.text(&text()),
            Format::Json => {
                let mut json = serde_json::to_string_pretty(data).map_err(|e| CliError::of(&e))?;
                json.push('\n');
                self.text(&json)
            }
        }
    }

    /// Prints text as it is to standard output.
    pub fn text(&self, text: &str) -> Result<(), CliError> {
        let mut out = anstream::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        match written {
            // Whoever reads has seen enough, as `head` does: nothing is wrong.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|error| CliError::of(&error)),
        }
    }

    /// Tells a person something beside the result.
    pub fn note(&self, text: impl AsRef<str>) {
        if self.is_human() {
            anstream::eprintln!("{}", text.as_ref());
        }
    }

    /// Tells warnings; pipelines find them in the result.
    pub fn warnings(&self, warnings: &[Diagnostic]) {
        if self.is_human() && !warnings.is_empty() {
            anstream::eprint!(
                "{}",
                show::diagnostics::diagnostics(warnings, &self.sources.borrow())
            );
        }
    }

    /// Tells an error.
    pub fn error(&self, error: &CliError) {
        if self.format == Format::Json {
            #[derive(Serialize)]
            struct Wrapped<'a> {
                error: &'a CliError,
            }
            if self.result(String::new, &Wrapped { error }).is_ok() {
                return;
            }
        }
        if !error.diagnostics.is_empty() {
            let sources = self.sources.borrow();
            anstream::eprint!(
                "{}",
                show::diagnostics::diagnostics(&error.diagnostics, &sources)
            );
        }
        anstream::eprintln!("{} {}", paint(REMOVE.bold(), "Error:"), error.summary);
        for cause in &error.causes {
            anstream::eprintln!("  {} {cause}", paint(FAINT, "caused by:"));
        }
        for refusal in &error.refusals {
            anstream::eprintln!("  {refusal}");
            anstream::eprintln!("  {} {}", paint(HINT, "hint:"), refusal.hint());
        }
        if let Some(hint) = &error.hint {
            anstream::eprintln!("{} {hint}", paint(HINT, "hint:"));
        }
    }

    /// Tells how a run ended.
    pub fn outcome(&self, plan: &Plan, outcome: &Outcome) -> Result<(), CliError> {
        let (troubles, end) = show::outcome::outcome(plan, outcome);
        anstream::eprint!("{troubles}");
        self.text(&end)
    }

    /// Tells what the providers and the cluster were asked, when the user wants to know.
    pub fn metrics(&self, metrics: &Metrics) {
        if !self.verbose || !self.is_human() {
            return;
        }
        let tell = |what: String, m: &OperationMetrics| {
            let retries: u64 = m.retries.values().sum();
            let text = format!(
                "{what}: {}, {} failed, {}, {} ms in all, {} ms the longest",
                counted(m.operations, "call"),
                m.failed,
                counted(retries, "retry"),
                m.total_micros / 1000,
                m.longest_micros / 1000
            );
            anstream::eprintln!("{}", paint(FAINT, text));
        };
        for (provider, operations) in &metrics.operations {
            for (operation, m) in operations {
                tell(format!("{provider} {operation}"), m);
            }
        }
        for (kind, verbs) in &metrics.cluster {
            for (verb, m) in verbs {
                tell(format!("cluster {verb} {kind}"), m);
            }
        }
        for (request, count) in &metrics.requests {
            anstream::eprintln!("{}", paint(FAINT, format!("requests {request}: {count}")));
        }
    }
}
