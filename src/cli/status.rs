//! `meshvm status`: the stack's machines and their membership, as they stand.

use super::output::Output;
use super::progress::Bars;
use super::{CliError, Exit, Globals, load};
use crate::plan::Options;
use crate::show;

pub async fn run(globals: &Globals, output: &Output) -> Result<Exit, CliError> {
    let loaded = load::load(globals, output)?;
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
    output.result(|| show::status::table(&status), &status)?;
    if let Some(held) = engine.ledger.held().await? {
        output.note(format!("Locked by {}.", held.holder));
    }
    output.metrics(&engine.connections.metrics());
    Ok(Exit::Done)
}
