//! Progress while a run works: bars on a terminal, lines elsewhere.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use meshvm_provider_api::Progress as ProviderProgress;

use super::output::Output;
use crate::apply::Progress;
use crate::apply::worker::SharedListener;
use crate::show::outcome::describe;
use crate::show::{ADD, REMOVE, paint};
use crate::steps::Step;

/// Where progress goes.
#[derive(Clone)]
pub struct Bars(Arc<Kind>);

enum Kind {
    /// A person at a terminal.
    Terminal(Terminal),
    /// A person reading a log.
    Lines,
    /// Nobody.
    Silent,
}

impl Bars {
    /// Chooses by who reads.
    pub fn new(output: &Output) -> Self {
        Self(Arc::new(if output.is_interactive() {
            Kind::Terminal(Terminal {
                all: MultiProgress::new(),
                steps: Mutex::default(),
                has_colour: AutoStream::choice(&std::io::stderr()) != ColorChoice::Never,
            })
        } else if output.is_human() {
            Kind::Lines
        } else {
            Kind::Silent
        }))
    }

    /// Returns what providers tell their long calls to.
    pub fn provider_progress(&self) -> ProviderProgress {
        let bars = self.clone();
        ProviderProgress::new(move |line| bars.say(&format!("  {line}")))
    }

    /// Returns what a run tells its steps to.
    pub fn listener(&self) -> SharedListener {
        let bars = self.clone();
        Arc::new(move |progress: Progress<'_>| bars.tell(&progress))
    }

    /// Tells a line, above the bars that stand on the terminal.
    pub fn say(&self, line: &str) {
        match self.0.as_ref() {
            Kind::Terminal(terminal) => terminal.say(line),
            Kind::Lines => anstream::eprintln!("{line}"),
            Kind::Silent => {}
        }
    }

    /// Clears what is left on the terminal.
    pub fn finish(&self) {
        if let Kind::Terminal(terminal) = self.0.as_ref() {
            terminal.all.clear().ok();
        }
    }

    fn tell(&self, progress: &Progress<'_>) {
        match self.0.as_ref() {
            Kind::Terminal(terminal) => terminal.tell(progress),
            Kind::Lines => match progress {
                Progress::Started(step) => anstream::eprintln!("… {}", describe(&step.op)),
                Progress::Waiting { step, ready, of } => {
                    anstream::eprintln!("  {}: {ready}/{of} ready", describe(&step.op));
                }
                Progress::Done(step) => {
                    anstream::eprintln!("{} {}", paint(ADD, "✓"), describe(&step.op));
                }
                Progress::Failed(step, _) => {
                    anstream::eprintln!("{} {}", paint(REMOVE, "✗"), describe(&step.op));
                }
            },
            Kind::Silent => {}
        }
    }
}

/// Bars at the end of a terminal, one for each step at work.
struct Terminal {
    all: MultiProgress,
    steps: Mutex<BTreeMap<String, ProgressBar>>,
    has_colour: bool,
}

impl Terminal {
    fn say(&self, line: &str) {
        let line = match self.has_colour {
            true => line.to_owned(),
            false => strip_str(line).to_string(),
        };
        self.all.println(line).ok();
    }

    fn tell(&self, progress: &Progress<'_>) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        match progress {
            Progress::Started(step) => {
                let bar = self.all.add(ProgressBar::new_spinner());
                bar.set_style(style("{spinner} {prefix} {elapsed}"));
                bar.set_prefix(describe(&step.op));
                bar.enable_steady_tick(Duration::from_millis(100));
                steps.insert(step.id.clone(), bar);
            }
            Progress::Waiting { step, ready, of } => {
                if let Some(bar) = steps.get(&step.id) {
                    bar.set_style(style(
                        "{spinner} {prefix} {bar:20} {pos}/{len} ready {elapsed}",
                    ));
                    bar.set_length(*of as u64);
                    bar.set_position(*ready as u64);
                }
            }
            Progress::Done(step) => self.end(step, steps.remove(&step.id), paint(ADD, "✓")),
            Progress::Failed(step, _) => {
                self.end(step, steps.remove(&step.id), paint(REMOVE, "✗"));
            }
        }
    }

    fn end(&self, step: &Step, bar: Option<ProgressBar>, sign: String) {
        if let Some(bar) = bar {
            let took = bar.elapsed().as_secs();
            bar.finish_and_clear();
            self.say(&format!("{sign} {} ({took}s)", describe(&step.op)));
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .progress_chars("━━─")
}
