//! The wire requests of the cloud: what each decides, and what it answers.
//!
//! Deciding is pure: it looks at the world and returns effects. The answer is
//! read from the world after they happened.

mod create;
mod delete;
mod list;
mod update;

use meshvm_provider_api::{ErrorClass, MachineId, ProviderError};

use crate::faults::{Call, FaultPlan};
use crate::record::Effect;
use crate::world::World;

pub(crate) use create::Create;
pub(crate) use delete::Delete;
pub(crate) use list::{List, Listed, PAGE, Page};
pub(crate) use update::{Compare, Update};

/// A wire request.
pub(crate) trait Request: Send + 'static {
    /// What must be known to answer.
    type Decided;
    /// The answer.
    type Answer: Send + 'static;
    /// Its kind.
    const CALL: Call;

    /// Decides what happens; an error means that nothing does.
    fn decide(
        &self,
        world: &World,
        plan: &FaultPlan,
    ) -> Result<(Vec<Effect>, Self::Decided), ProviderError>;

    /// Answers, after it happened.
    fn answer(
        &self,
        world: &World,
        plan: &FaultPlan,
        decided: Self::Decided,
    ) -> Result<Self::Answer, ProviderError>;
}

/// Refuses a request that names too many machines for one call.
fn check_size(machines: usize, max_batch: u32) -> Result<(), ProviderError> {
    if usize::try_from(max_batch).is_ok_and(|most| machines > most) {
        let message =
            format!("{machines} machines in one request, at most {max_batch} are allowed");
        return Err(ProviderError::new(ErrorClass::Invalid, message));
    }
    Ok(())
}

/// Names a few machines in a message.
fn names(machines: &[MachineId]) -> String {
    let mut text: Vec<&str> = machines.iter().take(3).map(|id| id.0.as_str()).collect();
    let more = machines.len().saturating_sub(text.len());
    let rest = format!("{more} more");
    if more > 0 {
        text.push(&rest);
    }
    text.join(", ")
}
