//! `meshvm validate`: checks the fleet file; touches nothing.

use serde::Serialize;

use super::mesh::Ask;
use super::output::Output;
use super::{CliError, Exit, Globals, load};
use crate::diag::Diagnostic;
use crate::show::counted;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Valid<'a> {
    stack: &'a str,
    fleets: usize,
    machines: u32,
    warnings: &'a [Diagnostic],
}

pub async fn run(globals: &Globals, output: &Output) -> Result<Exit, CliError> {
    let loaded = load::load(globals, output, Ask::Nobody).await?;
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
