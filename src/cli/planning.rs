//! What `plan`, `apply` and `destroy` have in common: their arguments, and the way to a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use meshvm_provider_api::MachineId;
use serde::Serialize;

use super::load::{self, Loaded};
use super::output::Output;
use super::progress::Bars;
use super::{CliError, Exit, Globals, ask, mesh};
use crate::apply::{Alive, Outcome, Stop};
use crate::desired::Desired;
use crate::diag::Diagnostic;
use crate::engine::{ApplySettings, Engine, Hold, Tagged};
use crate::ledger::Holder;
use crate::plan::policy::{self, Allowed};
use crate::plan::{Context, Options, Plan};
use crate::providers::Metrics;
use crate::show;

/// What names machines to adopt by a tag.
const TAG: &str = "tag:";

/// What to plan.
#[derive(Clone, Debug, Default, Args)]
pub struct PlanOptions {
    /// Look at this fleet only; may be repeated
    #[arg(long, value_name = "FLEET")]
    target: Vec<String>,
    /// Replace this machine, by name or id; may be repeated
    #[arg(long, value_name = "MACHINE")]
    replace: Vec<String>,
    /// Keep this machine, which ran its fleet's bootstrap of now in place, by name or id; may be
    /// repeated
    #[arg(long, value_name = "MACHINE")]
    bootstrapped: Vec<String>,
    /// Take an existing machine over into a fleet, by id, or all with a tag, as in
    /// web=tag:Name=web-*; may be repeated
    #[arg(long, value_name = "FLEET=ID")]
    adopt: Vec<String>,
    /// Let a machine go without deleting it, by name or id; may be repeated
    #[arg(long, value_name = "MACHINE")]
    forget: Vec<String>,
    /// Go on though the cluster is another than the one with the stack's objects; those stay there
    #[arg(long)]
    another_cluster: bool,
}

impl PlanOptions {
    /// Returns the options as the planner takes them.
    pub fn options(&self) -> Result<Options, CliError> {
        let set = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
        let mut adopt = BTreeMap::new();
        for pair in &self.adopt {
            let (fleet, id) = pair.split_once('=').ok_or_else(|| {
                CliError::new(format!("--adopt {pair} names no machine"))
                    .with_hint("write --adopt FLEET=ID, or FLEET=tag:NAME=VALUE")
            })?;
            if id.starts_with(TAG) {
                continue;
            }
            match adopt.insert(MachineId::from(id), fleet.to_owned()) {
                Some(other) if other != fleet => {
                    return Err(CliError::new(format!(
                        "--adopt takes machine `{id}` into two fleets, `{other}` and `{fleet}`"
                    )));
                }
                Some(_) | None => {}
            }
        }
        Ok(Options {
            targets: set(&self.target),
            replace: set(&self.replace),
            bootstrapped: set(&self.bootstrapped),
            adopt,
            forget: set(&self.forget),
            destroy: false,
            refresh_only: false,
            another_cluster: self.another_cluster,
            force_conflicts: false,
        })
    }

    /// Returns the machines to adopt that are named by a tag.
    pub fn tagged(&self) -> Result<Vec<Tagged>, CliError> {
        let by_tag = self.adopt.iter().filter_map(|pair| {
            let (fleet, tag) = pair.split_once('=')?;
            Some((pair, fleet, tag.strip_prefix(TAG)?))
        });
        let tagged = |(pair, fleet, tag): (&String, &str, &str)| {
            let parts = tag.split_once('=').filter(|(name, _)| !name.is_empty());
            let (name, pattern) = parts.ok_or_else(|| {
                CliError::new(format!("--adopt {pair} names no tag"))
                    .with_hint("write --adopt FLEET=tag:NAME=VALUE; `*` stands for any text")
            })?;
            Ok(Tagged {
                fleet: fleet.to_owned(),
                name: name.to_owned(),
                pattern: pattern.to_owned(),
            })
        };
        by_tag.map(tagged).collect()
    }

    /// Returns whether anything was asked for.
    pub fn is_empty(&self) -> bool {
        let Self {
            target,
            replace,
            bootstrapped,
            adopt,
            forget,
            another_cluster,
        } = self;
        target.is_empty()
            && replace.is_empty()
            && bootstrapped.is_empty()
            && adopt.is_empty()
            && forget.is_empty()
            && !another_cluster
    }
}

/// How to run.
#[derive(Clone, Debug, Args)]
pub struct RunOptions {
    /// Do not ask
    #[arg(short = 'y', long)]
    yes: bool,
    /// The most steps at the same time
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    parallelism: u16,
    /// Destroy and replace machines of protected fleets, too
    #[arg(long)]
    allow_protected: bool,
    /// Destroy and replace more machines than the budgets allow
    #[arg(long)]
    override_budgets: bool,
    /// Take fields of objects in the mesh that others have set
    #[arg(long)]
    force_conflicts: bool,
}

impl RunOptions {
    fn allowed(&self) -> Allowed {
        Allowed {
            protected: self.allow_protected,
            over_budget: self.override_budgets,
        }
    }
}

/// What a run shows a pipeline.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    plan: &'a Plan,
    outcome: &'a Outcome,
    warnings: &'a [Diagnostic],
    metrics: Metrics,
}

/// Where a plan to apply comes from.
pub enum Origin {
    /// The fleet file; machines to adopt that are named by a tag are added to the options.
    File(Box<Loaded>, Options, Vec<Tagged>),
    /// A saved plan.
    Saved(Box<Plan>),
}

/// Plans or takes the saved plan, asks, and runs it.
pub async fn run(
    globals: &Globals,
    mut origin: Origin,
    how: &RunOptions,
    command: &str,
    output: &Output,
) -> Result<Exit, CliError> {
    let options = match &mut origin {
        Origin::File(_, options, _) => options,
        Origin::Saved(plan) => &mut plan.options,
    };
    options.force_conflicts = how.force_conflicts;
    let (context, desired): (&Context, &Desired) = match &origin {
        Origin::File(loaded, ..) => (&loaded.context, &loaded.desired),
        Origin::Saved(plan) => (&plan.context, &plan.desired),
    };
    let mut warnings = match &origin {
        Origin::File(loaded, ..) => loaded.spec.warnings.clone(),
        Origin::Saved(_) => Vec::new(),
    };
    let bars = Bars::new(output);
    let mut engine = load::engine(globals, context, desired, bars.provider_progress())?;
    engine.mesh = mesh::open(context, how.force_conflicts, &globals.calls);
    let mut hold = engine.hold(holder(command)).await?;
    for settled in hold.settled() {
        output.note(format!(
            "Settled an interrupted run: {} of fleet {} in zone {}.",
            show::counted(settled.machines.len() as u64, "machine"),
            settled.batch.fleet,
            settled.batch.zone
        ));
    }
    let decided = decide(&engine, &mut hold, origin, how, output, &mut warnings).await;
    let plan = match decided {
        Ok(Some(plan)) => plan,
        Ok(None) => {
            hold.release().await?;
            output.note("Nothing was done.");
            return Ok(Exit::Failed);
        }
        Err(error) => {
            // The first error is the one to tell; an unreleased lock ends by itself.
            hold.release().await.ok();
            return Err(error);
        }
    };
    let (shown, outcome) = carry_out(hold, plan, how, bars).await?;
    let metrics = load::metrics(globals, &engine);
    output.metrics(&metrics);
    if !output.is_human() {
        let report = Report {
            plan: &shown,
            outcome: &outcome,
            warnings: &warnings,
            metrics,
        };
        output.result(String::new, &report)?;
    } else if !shown.is_empty() {
        output.outcome(&shown, &outcome)?;
    }
    Ok(if outcome.is_complete() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// Returns the plan to run; `None` when the person said no.
async fn decide(
    engine: &Engine,
    hold: &mut Hold<'_>,
    origin: Origin,
    how: &RunOptions,
    output: &Output,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Option<Plan>, CliError> {
    let (plan, was_seen) = match origin {
        Origin::File(loaded, mut options, tagged) => {
            let adopt = &mut options.adopt;
            engine.tagged(&loaded.desired, &tagged, adopt).await?;
            let Loaded {
                desired, lacking, ..
            } = *loaded;
            let plan = hold.plan(desired, options).await;
            let plan = plan.map_err(|error| lacking.explain(error))?;
            let unjoined = lacking.warnings(&plan);
            output.warnings(&unjoined);
            warnings.extend(unjoined);
            (plan, false)
        }
        Origin::Saved(plan) => {
            let outdated = hold.outdated(&plan).await?;
            if !outdated.is_empty() {
                let what = outdated.iter().map(String::as_str);
                return Err(CliError::new(format!(
                    "the saved plan is out of date: {} changed since it was made",
                    show::few(what)
                ))
                .with_hint("make a new plan with `meshvm plan --out`")
                .exiting(Exit::OutOfDate));
            }
            (*plan, true)
        }
    };
    if output.is_human() {
        output.text(&show::plan::plan(&plan))?;
    }
    let refusals = policy::check(&plan, how.allowed());
    if !refusals.is_empty() {
        return Err(CliError::refused(refusals));
    }
    // Whoever saved a plan has looked at it; asking again is the pipeline's choice.
    if plan.is_empty() || how.yes || was_seen {
        return Ok(Some(plan));
    }
    let yes = if plan.options.destroy {
        ask::approve(
            output,
            "Everything of the stack will be deleted.",
            &plan.desired.stack,
        )?
    } else {
        ask::approve(output, "Apply this plan?", "yes")?
    };
    Ok(yes.then_some(plan))
}

/// Applies a plan, and returns it with how that ended.
async fn carry_out(
    hold: Hold<'_>,
    plan: Plan,
    how: &RunOptions,
    bars: Bars,
) -> Result<(Plan, Outcome), CliError> {
    let stop = Arc::new(Stop::default());
    let signals = tokio::spawn(listen(Arc::clone(&stop), bars.clone()));
    let shown = plan.clone();
    let settings = ApplySettings {
        parallelism: usize::from(how.parallelism),
        listener: bars.listener(),
        stop: &stop,
        fate: &Alive,
    };
    let result = hold.apply(plan, &settings).await;
    signals.abort();
    bars.finish();
    Ok((shown, result?))
}

/// Turns Ctrl-C, and SIGTERM of a pipeline, into requests to stop.
async fn listen(stop: Arc<Stop>, bars: Bars) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return;
    };
    for asked in 1.. {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stop.ask();
        if asked == 1 {
            bars.say("Finishing what is in flight; once more stops at once.");
        }
    }
}

/// Describes this run to whoever finds the stack locked.
pub fn holder(command: &str) -> Holder {
    let who = std::env::var("USER").unwrap_or_else(|_| nix::unistd::geteuid().to_string());
    let host = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "unknown".to_owned());
    Holder::this_process(who, host, format!("meshvm {command}"), Timestamp::now())
}
