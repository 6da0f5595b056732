//! What recent runs did, against listings that do not show it yet.
//!
//! A listing shows each machine as it was some time ago, and never goes back; the machines may
//! go back and forth meanwhile. So that it shows what was done last proves nothing while more
//! than one thing was done lately.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use meshvm_provider_api::{Info, Machine, MachineId, Power, Provider, ProviderError, Query};

use super::is_of;
use crate::observed::{Expectation, Expected};

/// What recent runs did, as far as a listing shows it.
pub struct Late {
    /// What did happen.
    happened: Expected,
    /// Machines to ask for by id, and what to see of each before it is believed.
    wanted: BTreeMap<MachineId, Wanted>,
}

/// What to see of a machine that a listing does not show.
struct Wanted {
    /// What did happen to it.
    before: Option<Expectation>,
    /// What may have happened to it after that.
    after: Option<Begun>,
    /// Whether it was seen as it was before, so that whatever else is seen came later.
    is_past: bool,
}

/// What a run left open.
enum Begun {
    /// A change to such a look.
    Change(Expectation),
    /// A deletion, or a release, begun then.
    End(Timestamp),
}

/// What a look at a wanted machine tells.
enum Verdict {
    /// That this is so.
    Is(Expectation),
    /// That it is not the stack's since then.
    Gone(Timestamp),
    /// That one has to look again.
    Unknown,
}

impl Late {
    /// Finds out; `expected` did happen, `begun` came after it and may have happened.
    pub fn of(listed: &[Machine], expected: &Expected, begun: &Expected) -> Self {
        let by_id: BTreeMap<&MachineId, &Machine> = listed.iter().map(|m| (&m.id, m)).collect();
        let mut late = Self {
            happened: Expected {
                absent: expected.absent.clone(),
                ..Expected::default()
            },
            wanted: BTreeMap::new(),
        };
        let ids = expected.present.keys().chain(begun.present.keys());
        for id in ids.chain(begun.absent.keys()) {
            let change = begun.present.get(id).cloned().map(Begun::Change);
            let end = begun.absent.get(id).copied().map(Begun::End);
            let wanted = Wanted {
                before: expected.present.get(id).cloned(),
                after: change.or(end),
                is_past: false,
            };
            let sole = match (&wanted.before, &wanted.after) {
                (Some(only), None) | (None, Some(Begun::Change(only))) => Some(only),
                // The listing may be so late that it shows what was before `before`, and that
                // may have looked like what was begun last.
                (Some(_), Some(_)) | (None, Some(Begun::End(_)) | None) => None,
            };
            let listed = by_id.get(id);
            match sole.filter(|only| listed.is_some_and(|machine| only.look.is_of(machine))) {
                Some(only) => late.happened.expect(id, only.clone()),
                None => {
                    late.wanted.insert(id.clone(), wanted);
                }
            }
        }
        late
    }

    /// Asks by id until everything wanted is seen, or the provider's patience is over: what is
    /// not seen then did not happen, or was undone since. Returns what did happen.
    pub async fn catch_up(
        self,
        machines: &mut Vec<Machine>,
        provider: &dyn Provider,
        info: &Info,
        stack: &str,
    ) -> Result<Expected, ProviderError> {
        let Self {
            mut happened,
            mut wanted,
        } = self;
        machines.retain(|machine| !happened.absent.contains_key(&machine.id));
        let mut known: BTreeMap<MachineId, Machine> =
            machines.drain(..).map(|m| (m.id.clone(), m)).collect();
        for look in 0..=info.polls {
            if wanted.is_empty() {
                break;
            }
            if look > 0 {
                tokio::time::sleep(info.poll).await;
            }
            let query = Query::Machines(wanted.keys().cloned().collect());
            for id in wanted.keys() {
                known.remove(id);
            }
            let mut gone = BTreeSet::new();
            for machine in provider.observe(&query).await? {
                if machine.power == Power::Gone {
                    gone.insert(machine.id);
                } else if is_of(stack, &machine) {
                    known.insert(machine.id.clone(), machine);
                }
            }
            wanted.retain(|id, wanted| {
                // Whatever was done to it: the cloud says how that ended.
                if gone.contains(id) {
                    if let Some(Begun::End(since)) = wanted.after {
                        happened.expect_gone(id, since);
                    }
                    return false;
                }
                let machine = known.get(id);
                match wanted.look_at(machine, look == info.polls) {
                    Verdict::Is(expectation) => happened.expect(id, expectation),
                    Verdict::Gone(since) => happened.expect_gone(id, since),
                    Verdict::Unknown => return true,
                }
                false
            });
        }
        machines.extend(known.into_values());
        Ok(happened)
    }
}

impl Wanted {
    /// Judges what was seen by id; the last look is never late.
    fn look_at(&mut self, machine: Option<&Machine>, is_last: bool) -> Verdict {
        let shows = |expectation: &Expectation| {
            let machine = machine.filter(|machine| expectation.look.is_of(machine))?;
            let mut expectation = expectation.clone();
            // The plan counts on it, so a later listing may not fall behind it.
            expectation.look.available |= machine.is_available();
            Some(expectation)
        };
        let before = self.before.as_ref().and_then(shows);
        let after = match &self.after {
            Some(Begun::Change(change)) => shows(change).map(Verdict::Is),
            // One that was made so lately may not be seen by id yet.
            Some(Begun::End(since)) => machine.is_none().then_some(Verdict::Gone(*since)),
            None => return before.map_or(Verdict::Unknown, Verdict::Is),
        };
        let is_sure = is_last || self.is_past || self.before.is_none();
        self.is_past |= before.is_some() && after.is_none();
        match (after, before) {
            (Some(after), _) if is_sure => after,
            (None, Some(before)) if is_last => Verdict::Is(before),
            (Some(_) | None, _) => Verdict::Unknown,
        }
    }
}
