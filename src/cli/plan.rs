//! `meshvm plan`: shows what would change; changes nothing.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::mesh::Ask;
use super::output::Output;
use super::planning::PlanOptions;
use super::progress::Bars;
use super::{CliError, Exit, Globals, load};
use crate::diag::Diagnostic;
use crate::plan::Plan;
use crate::providers::Metrics;
use crate::show;

#[derive(Clone, Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    what: PlanOptions,
    /// Save the plan, for `meshvm apply FILE`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only look for what changed outside meshvm
    #[arg(long, conflicts_with = "destroy")]
    refresh_only: bool,
    /// Plan to delete everything
    #[arg(long)]
    destroy: bool,
    /// Exit with 2 when changes or drift are pending
    #[arg(long)]
    detailed_exitcode: bool,
}

/// What a pipeline sees.
#[derive(Serialize)]
struct Report<'a> {
    plan: &'a Plan,
    /// Whether there is something to apply, or drift was found.
    pending: bool,
    warnings: &'a [Diagnostic],
    metrics: Metrics,
}

pub async fn run(globals: &Globals, args: &PlanArgs, output: &Output) -> Result<Exit, CliError> {
    let ask = match args.out {
        // What goes is told nothing of the mesh, and nothing is in its way.
        _ if args.destroy => Ask::Nobody,
        // A saved plan may be applied where the file is not.
        Some(_) => Ask::Obstacles,
        None => Ask::Plan,
    };
    let loaded = load::load(globals, output, ask).await?;
    let mut options = args.what.options()?;
    options.refresh_only = args.refresh_only;
    options.destroy = args.destroy;
    let bars = Bars::new(output);
    let engine = load::engine(
        globals,
        &loaded.context,
        &loaded.desired,
        bars.provider_progress(),
    )?;
    let tagged = args.what.tagged()?;
    let adopt = &mut options.adopt;
    engine.tagged(&loaded.desired, &tagged, adopt).await?;
    let (plan, _) = engine.look(loaded.desired, options).await?;
    let lacking = loaded.lacking;
    let checked = engine.check(&plan).await;
    checked.map_err(|error| lacking.explain(error))?;
    let unjoined = lacking.warnings(&plan);
    output.warnings(&unjoined);
    let mut warnings = loaded.spec.warnings;
    warnings.extend(unjoined);
    if let Some(path) = &args.out {
        save(&plan, path)?;
    }
    let pending = !plan.is_empty() || !plan.drift.is_empty();
    let report = Report {
        plan: &plan,
        pending,
        warnings: &warnings,
        metrics: load::metrics(globals, &engine),
    };
    output.result(|| show::plan::plan(&plan), &report)?;
    if let Some(path) = &args.out {
        output.note(format!(
            "Saved: `meshvm apply {}` applies exactly this.",
            path.display()
        ));
    }
    output.metrics(&report.metrics);
    Ok(if pending && args.detailed_exitcode {
        Exit::Pending
    } else {
        Exit::Done
    })
}

fn save(plan: &Plan, path: &Path) -> Result<(), CliError> {
    let text = serde_json::to_vec(plan).map_err(|error| CliError::of(&error))?;
    std::fs::write(path, text).map_err(|error| {
        let mut failure = CliError::new(format!("cannot save the plan to {}", path.display()));
        failure.causes.push(error.to_string());
        failure
    })
}
