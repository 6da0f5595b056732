//! `meshvm unlock`: breaks the lock of a run that is gone.

use clap::Args;
use serde::Serialize;

use super::mesh::Ask;
use super::output::Output;
use super::planning::holder;
use super::{CliError, Exit, Globals, ask, load};
use crate::ledger::{Held, LedgerError, Unlocked};

#[derive(Clone, Debug, Args)]
pub struct UnlockArgs {
    /// Break only the lock with this fencing token, as the refusal named it
    #[arg(long, value_name = "N")]
    fence: Option<u64>,
    /// Do not ask
    #[arg(short = 'y', long)]
    yes: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    /// Whether a lock was broken.
    unlocked: bool,
    /// The lock that was found.
    held: Option<&'a Held>,
}

pub async fn run(globals: &Globals, args: &UnlockArgs, output: &Output) -> Result<Exit, CliError> {
    let loaded = load::load(globals, output, Ask::Nobody).await?;
    let bars = super::progress::Bars::new(output);
    let engine = load::engine(
        globals,
        &loaded.context,
        &loaded.desired,
        bars.provider_progress(),
    )?;
    let held = match engine.ledger.held().await {
        Ok(None) => return tell(output, false, None),
        Ok(Some(held)) => Some(held),
        // A lock whose text is damaged can only be broken unread.
        Err(LedgerError::Unreadable { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let question = match &held {
        Some(held) => format!("The stack is locked by {}. Break the lock?", held.holder),
        None => "The stack has a lock that cannot be read. Break it?".to_owned(),
    };
    if !args.yes && !ask::approve(output, &question, "yes")? {
        output.note("Nothing was done.");
        return Ok(Exit::Failed);
    }
    let fence = args.fence.or(held.as_ref().map(|held| held.fence));
    let unlocked = engine.ledger.force_unlock(&holder("unlock"), fence).await?;
    tell(output, unlocked != Unlocked::WasFree, held.as_ref())
}

fn tell(output: &Output, unlocked: bool, held: Option<&Held>) -> Result<Exit, CliError> {
    let text = || match held {
        Some(held) if unlocked => format!("The lock of {} is broken.\n", held.holder),
        None if unlocked => "The lock is broken.\n".to_owned(),
        Some(_) | None => "The stack is not locked.\n".to_owned(),
    };
    output.result(text, &Report { unlocked, held })?;
    Ok(Exit::Done)
}
