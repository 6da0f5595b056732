//! `meshvm unlock`: breaks the lock of a run that is gone.

use clap::Args;

use super::output::Output;
use super::planning::holder;
use super::{CliError, Exit, Globals, ask, load};
use crate::ledger::Unlocked;

#[derive(Clone, Debug, Args)]
pub struct UnlockArgs {
    /// Break only the lock with this fencing token, as the refusal named it
    #[arg(long, value_name = "N")]
    fence: Option<u64>,
    /// Do not ask
    #[arg(short = 'y', long)]
    yes: bool,
}

pub async fn run(globals: &Globals, args: &UnlockArgs, output: &Output) -> Result<Exit, CliError> {
    let loaded = load::load(globals, output)?;
    let bars = super::progress::Bars::new(output);
    let engine = load::engine(
        globals,
        &loaded.context,
        &loaded.desired,
        bars.provider_progress(),
    )?;
    let Some(held) = engine.ledger.held().await? else {
        output.text("The stack is not locked.\n")?;
        return Ok(Exit::Done);
    };
    let question = format!("The stack is locked by {}. Break the lock?", held.holder);
    if !args.yes && !ask::approve(output, &question, "yes")? {
        return Ok(Exit::Failed);
    }
    let fence = args.fence.or(Some(held.fence));
    match engine.ledger.force_unlock(&holder("unlock"), fence).await? {
        Unlocked::WasFree => output.text("The stack is not locked.\n")?,
        _ => output.text("The lock is broken.\n")?,
    }
    Ok(Exit::Done)
}
