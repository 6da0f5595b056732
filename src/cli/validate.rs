//! `meshvm validate`: checks the fleet file, and with --online its mesh; touches nothing.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::mesh::Ask;
use super::output::Output;
use super::{CliError, Exit, Globals, load};
use crate::diag::Diagnostic;
use crate::preflight::sarif::sarif;
use crate::show::counted;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Valid<'a> {
    stack: &'a str,
    fleets: usize,
    machines: u32,
    warnings: &'a [Diagnostic],
}

#[derive(Clone, Debug, Args)]
pub struct ValidateArgs {
    /// Also ask the mesh what would be in the way
    #[arg(long)]
    online: bool,
    /// Write what was found into this file, as SARIF
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
}

pub async fn run(
    globals: &Globals,
    args: &ValidateArgs,
    output: &Output,
) -> Result<Exit, CliError> {
    let ask = match args.online {
        true => Ask::Advice,
        false => Ask::Nobody,
    };
    let loaded = load::load(globals, output, ask).await;
    if let Some(path) = &args.sarif {
        let found = match &loaded {
            Ok(loaded) => &loaded.spec.warnings,
            Err(error) => &error.diagnostics,
        };
        let here = std::env::current_dir().map_err(|error| CliError::of(&error))?;
        write(path, &sarif(found, &here).to_string())?;
    }
    let loaded = loaded?;
    let desired = &loaded.desired;
    let valid = Valid {
        stack: &desired.stack,
        fleets: desired.fleets.len(),
        machines: desired.fleets.values().map(|fleet| fleet.replicas).sum(),
        warnings: &loaded.spec.warnings,
    };
    let text = || {
        format!(
            "The fleet file is valid: stack {}, {}, {}.\n",
            valid.stack,
            counted(valid.fleets as u64, "fleet"),
            counted(valid.machines, "machine")
        )
    };
    output.result(text, &valid)?;
    Ok(Exit::Done)
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    std::fs::write(path, text).map_err(|error| {
        let mut failure = CliError::new(format!("cannot write {}", path.display()));
        failure.causes.push(error.to_string());
        failure
    })
}
