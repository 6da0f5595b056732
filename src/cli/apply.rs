//! `meshvm apply`: makes it so.

use std::path::{Path, PathBuf};

use clap::Args;

use super::mesh::{self, Ask};
use super::output::Output;
use super::planning::{self, Origin, PlanOptions, RunOptions};
use super::{CliError, Exit, Globals, load};
use crate::plan::{FORMAT, Plan};

#[derive(Clone, Debug, Args)]
pub struct ApplyArgs {
    /// A plan saved by `meshvm plan --out`; without one, a new plan is made and shown
    plan: Option<PathBuf>,
    #[command(flatten)]
    what: PlanOptions,
    #[command(flatten)]
    how: RunOptions,
}

pub async fn run(globals: &Globals, args: &ApplyArgs, output: &Output) -> Result<Exit, CliError> {
    let origin = match &args.plan {
        Some(_) if !args.what.is_empty() => {
            return Err(
                CliError::new("a saved plan holds every choice already").with_hint(
                    "leave --target, --replace, --bootstrapped, --adopt, --forget and --another-cluster to `meshvm plan --out`",
                ),
            );
        }
        Some(_) if globals.names_files() => {
            return Err(CliError::new(
                "a saved plan holds the fleet file and its variables already",
            )
            .with_hint("leave -f, --var and --var-file to `meshvm plan --out`"));
        }
        Some(path) => {
            let plan = read(path)?;
            check_simulated(globals, &plan)?;
            mesh::may(
                &plan.context,
                &plan.desired,
                plan.options.destroy,
                &globals.calls,
            )
            .await?;
            mesh::still(&plan, &globals.calls).await?;
            Origin::Saved(Box::new(plan))
        }
        None => {
            let (options, tagged) = (args.what.options()?, args.what.tagged()?);
            let loaded = load::load(globals, output, Ask::Preflight).await?;
            Origin::File(Box::new(loaded), options, tagged)
        }
    };
    planning::run(globals, origin, &args.how, "apply", output).await
}

/// Refuses a plan for real where a simulation was asked for, and the other way round.
fn check_simulated(globals: &Globals, plan: &Plan) -> Result<(), CliError> {
    match (globals.simulate, plan.context.simulate) {
        (true, true) | (false, false) => Ok(()),
        (true, false) => Err(CliError::new(
            "the saved plan is for the clouds, and --simulate asks for none",
        )
        .with_hint("make a plan with `meshvm plan --simulate --out`")),
        (false, true) => Err(CliError::new("the saved plan is for the simulated cloud")
            .with_hint("apply it with --simulate, or make a plan without it")),
    }
}

/// What to do with a file that is no plan.
const NO_PLAN: &str = "`meshvm plan --out` saves plans; fleet files are named with -f";

fn read(path: &Path) -> Result<Plan, CliError> {
    let failed = |cause: String| {
        let mut failure = CliError::new(format!("cannot read the plan {}", path.display()));
        failure.causes.push(cause);
        failure
    };
    let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let value: serde_json::Value = serde_json::from_slice(&text)
        .map_err(|error| failed(error.to_string()).with_hint(NO_PLAN))?;
    let Some(format) = value.get("format").and_then(serde_json::Value::as_u64) else {
        return Err(failed("it is not a saved plan".to_owned()).with_hint(NO_PLAN));
    };
    if format != u64::from(FORMAT) {
        return Err(
            failed("it was made by another version of meshvm".to_owned())
                .with_hint("make the plan again with this version"),
        );
    }
    serde_json::from_value(value).map_err(|error| failed(error.to_string()))
}
