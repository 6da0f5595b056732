//! Waits until machines are ready, and the mesh lets traffic to them.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use meshvm_provider_api::{
    ErrorClass, Machine, MachineId, Provider, ProviderError, Query, Readiness,
};
use tokio::time::Instant;

use crate::spec::scalars;

/// What to wait for.
pub struct Request<'a> {
    /// The fleet, for messages.
    pub fleet: &'a str,
    /// The machines.
    pub ids: &'a [MachineId],
    /// The time between two looks.
    pub poll: Duration,
    /// How many looks a machine may be missing from the listing, or shown as it was.
    pub polls: u32,
    /// How long they must stay ready.
    pub min_ready: Duration,
    /// How long they may take.
    pub timeout: Duration,
    /// Tells whether a machine is shown as it was before it was changed.
    pub is_stale: &'a (dyn Fn(&Machine) -> bool + Sync),
    /// Tells whether somebody asked the run to stop.
    pub is_stopped: &'a (dyn Fn() -> bool + Sync),
}

/// What keeps traffic from machines that are up, in words.
pub type Troubles = BTreeMap<MachineId, String>;

/// Asks the mesh about machines that are up.
pub type AskMesh<'a, E> =
    dyn Fn(Vec<Machine>) -> BoxFuture<'a, Result<Troubles, E>> + Send + Sync + 'a;

/// Waits until all machines are available and `mesh` knows no trouble of any, and both stay so for
/// `min_ready`. The mesh is asked when all are available, and not before.
///
/// `told` hears how many are, whenever that changes.
///
/// # Errors
/// As soon as one has failed or vanished, or when the time is over; the message
/// names the machines and what each was doing.
pub async fn until_ready<E: From<ProviderError>>(
    provider: &dyn Provider,
    request: &Request<'_>,
    mesh: &AskMesh<'_, E>,
    told: &(dyn Fn(usize) + Sync),
) -> Result<Vec<Machine>, E> {
    if request.ids.is_empty() {
        return Ok(Vec::new());
    }
    let begun = Instant::now();
    let mut ready_since: Option<Instant> = None;
    let mut unseen = 0;
    let mut stale_looks = 0;
    let mut last_told = None;
    loop {
        let query = Query::Machines(request.ids.to_vec());
        let machines = provider.observe(&query).await?;
        let (stale, current): (Vec<&Machine>, Vec<&Machine>) = machines
            .iter()
            .partition(|machine| stale_looks < request.polls && (request.is_stale)(machine));
        stale_looks += u32::from(!stale.is_empty());
        check_failed(request, &current)?;
        let mut available = current.iter().filter(|m| m.is_available()).count();
        let mut troubles = Troubles::new();
        if available == request.ids.len() {
            troubles = mesh(machines.clone()).await?;
            available -= troubles.len();
        }
        if last_told.replace(available) != Some(available) {
            told(available);
        }
        unseen = if machines.len() < request.ids.len() {
            unseen + 1
        } else {
            0
        };
        if unseen > request.polls {
            return Err(vanished(request, &machines).into());
        }
        if available == request.ids.len() {
            let since = *ready_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= request.min_ready {
                return Ok(machines);
            }
        } else {
            ready_since = None;
            if (request.is_stopped)() {
                return Err(stopped(request).into());
            }
            if begun.elapsed() >= request.timeout {
                return Err(timed_out(request, &machines, &troubles).into());
            }
        }
        tokio::time::sleep(request.poll).await;
    }
}

fn stopped(request: &Request<'_>) -> ProviderError {
    let message = format!(
        "stopped waiting for the machines of fleet `{}`",
        request.fleet
    );
    ProviderError::new(ErrorClass::Unavailable, message).with_hint("apply again to go on waiting")
}

fn check_failed(request: &Request<'_>, machines: &[&Machine]) -> Result<(), ProviderError> {
    let failed: Vec<String> = machines
        .iter()
        .filter_map(|machine| Some(format!("{} {}", machine.name, machine.failure()?)))
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{} of {} machines of fleet `{}` did not come up: {}",
        failed.len(),
        request.ids.len(),
        request.fleet,
        few(failed)
    );
    Err(ProviderError::new(ErrorClass::Unavailable, message)
        .with_hint("mend the cause, then apply again: failed machines are replaced"))
}

fn vanished(request: &Request<'_>, machines: &[Machine]) -> ProviderError {
    let gone: Vec<String> = request
        .ids
        .iter()
        .filter(|id| machines.iter().all(|machine| machine.id != **id))
        .map(ToString::to_string)
        .collect();
    let message = format!(
        "machines of fleet `{}` vanished while they were waited for: {}",
        request.fleet,
        few(gone)
    );
    ProviderError::new(ErrorClass::NotFound, message).with_hint("apply again to replace them")
}

fn timed_out(request: &Request<'_>, machines: &[Machine], troubles: &Troubles) -> ProviderError {
    let by_id: BTreeMap<&MachineId, &Machine> = machines.iter().map(|m| (&m.id, m)).collect();
    let late: Vec<String> = request
        .ids
        .iter()
        .filter_map(|id| match (by_id.get(id), troubles.get(id)) {
            (Some(machine), Some(trouble)) => Some(format!("{}: {trouble}", machine.name)),
            (Some(machine), None) if machine.is_available() => None,
            (Some(machine), None) => Some(format!("{} {}", machine.name, doing(machine))),
            (None, _) => Some(format!("{id} is not listed")),
        })
        .collect();
    let message = format!(
        "{} of {} machines of fleet `{}` were not ready within {}: {}",
        late.len(),
        request.ids.len(),
        request.fleet,
        scalars::Duration(request.timeout),
        few(late)
    );
    let hint = if troubles.is_empty() {
        "apply again to go on waiting, or raise `rollout.readyTimeout`"
    } else {
        "`meshvm status` shows what each sidecar reports; docs/troubleshooting.md says what to look at"
    };
    ProviderError::new(ErrorClass::Unavailable, message).with_hint(hint)
}

fn doing(machine: &Machine) -> &'static str {
    match machine.readiness {
        Readiness::Waiting => "is still at its bootstrap",
        Readiness::Unknown | Readiness::Ready | Readiness::Failed { .. } => "is still starting",
    }
}

/// Joins names for a message, the first few of many.
fn few(mut names: Vec<String>) -> String {
    const MOST: usize = 5;
    let more = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    let mut text = names.join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
