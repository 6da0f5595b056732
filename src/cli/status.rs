//! `meshvm status`: the stack's machines and their membership, as they stand.

use serde::Serialize;

use super::mesh::Ask;
use super::output::Output;
use super::progress::Bars;
use super::{CliError, Exit, Globals, load};
use crate::diag::Diagnostic;
use crate::ledger::Held;
use crate::plan::Options;
use crate::providers::Metrics;
use crate::show;
use crate::show::status::Status;

/// What a pipeline sees.
#[derive(Serialize)]
struct Report<'a> {
    status: &'a Status,
    /// Who works on the stack.
    locked: Option<&'a Held>,
    warnings: &'a [Diagnostic],
    metrics: Metrics,
}

pub async fn run(globals: &Globals, output: &Output) -> Result<Exit, CliError> {
    let loaded = load::load(globals, output, Ask::Mesh).await?;
    let bars = Bars::new(output);
    let engine = load::engine(
        globals,
        &loaded.context,
        &loaded.desired,
        bars.provider_progress(),
    )?;
    let desired = loaded.desired.clone();
    let (plan, observed) = engine.look(loaded.desired, Options::default()).await?;
    let status = show::status::status(&desired, &observed, &plan);
    let locked = engine.ledger.held().await?;
    let report = Report {
        status: &status,
        locked: locked.as_ref(),
        warnings: &loaded.spec.warnings,
        metrics: engine.connections.metrics(),
    };
    output.result(|| show::status::table(&status), &report)?;
    if let Some(held) = &locked {
        output.note(format!("Locked by {}.", held.holder));
    }
    output.metrics(&report.metrics);
    Ok(Exit::Done)
}
