//! One machine of the world: what it is now, what it was, and what lies before it.

use std::net::IpAddr;

use meshvm_provider_api::{Attributes, Labels, Power, Readiness, Scope};
use serde::{Deserialize, Serialize};

use crate::event::EventKind;
use crate::faults::Death;

/// What the machines of a batch have in common; kept once for all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Shape {
    /// The scope that they are listed in.
    pub scope: Scope,
    /// Their zone.
    pub zone: String,
    /// Their labels.
    pub labels: Labels,
    /// Their attributes.
    pub attributes: Attributes,
}

/// A machine, with as much of its past as a lagging listing may show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Stored {
    pub name: String,
    pub address: Option<IpAddr>,
    /// The clock when it was created.
    pub born: u64,
    pub now: Version,
    /// What it was before, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<Version>,
    pub life: Life,
    /// The clock when it was deleted or vanished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<u64>,
}

/// What a machine is from one clock to the next version's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Version {
    pub since: u64,
    /// The position of its shape in the world's list.
    pub shape: usize,
    pub power: Power,
    pub readiness: Readiness,
}

/// What lies before a machine, drawn when it is created or started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Life {
    /// The clock when it runs.
    pub starts: u64,
    /// The clock when its bootstrap reports; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<u64>,
    /// Whether the bootstrap reports failure.
    #[serde(default, skip_serializing_if = "is_false")]
    pub fails: bool,
    /// How it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dies: Option<Doom>,
}

/// The end of a machine that dies by itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Doom {
    pub at: u64,
    pub how: Death,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

impl Stored {
    /// Returns what a listing that shows the world as it was at `clock` has of the machine.
    pub fn at(&self, clock: u64) -> Option<&Version> {
        if self.born > clock || self.gone.is_some_and(|gone| gone <= clock) {
            return None;
        }
        if self.now.since <= clock {
            return Some(&self.now);
        }
        let known = self.past.iter().rev().find(|old| old.since <= clock);
        // The past is cut to the longest lag; under a plan with a longer one the oldest has to do.
        known.or(self.past.first()).or(Some(&self.now))
    }

    /// Returns all that is known of what the machine is and was.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        self.past.iter().chain([&self.now])
    }

    /// Returns the same to be changed.
    pub fn versions_mut(&mut self) -> impl Iterator<Item = &mut Version> {
        self.past.iter_mut().chain([&mut self.now])
    }

    /// Changes the machine now, keeping what it was for listings up to `keep` calls late.
    pub fn change(&mut self, clock: u64, keep: u64, change: impl FnOnce(&mut Version)) {
        let before = self.now.clone();
        change(&mut self.now);
        self.now.since = clock;
        // A state that came and went within one call was never to be seen.
        if before.since < clock && keep > 0 {
            self.past.push(before);
        }
        let oldest = clock.saturating_sub(keep);
        let ends = self.past.iter().skip(1).chain([&self.now]);
        let stale = ends.take_while(|next| next.since <= oldest).count();
        self.past.drain(..stale.min(self.past.len()));
    }

    /// Takes the next step of the machine's life that is due, if any.
    pub fn step(&mut self, clock: u64, keep: u64) -> Option<EventKind> {
        if self.gone.is_some() {
            return None;
        }
        match self.now.power {
            Power::Starting if self.life.starts <= clock => {
                self.change(clock, keep, |now| now.power = Power::Running);
                Some(EventKind::Running)
            }
            Power::Running if self.is_reporting(clock) => {
                let (readiness, event) = if self.life.fails {
                    let reason = "the simulation's fault plan says so".to_owned();
                    (Readiness::Failed { reason }, EventKind::BootstrapFailed)
                } else {
                    (Readiness::Ready, EventKind::Ready)
                };
                self.change(clock, keep, |now| now.readiness = readiness);
                Some(event)
            }
            Power::Running => match self.life.dies {
                Some(doom) if doom.at <= clock => Some(self.die(clock, keep, doom.how)),
                Some(_) | None => None,
            },
            Power::Starting | Power::Stopped | Power::Broken | Power::Gone => None,
        }
    }

    /// Ends the machine.
    pub fn die(&mut self, clock: u64, keep: u64, how: Death) -> EventKind {
        match how {
            Death::Gone => {
                self.gone = Some(clock);
                EventKind::Vanished
            }
            Death::Broken => {
                self.change(clock, keep, |now| now.power = Power::Broken);
                EventKind::Broke
            }
            Death::Stopped => {
                self.change(clock, keep, |now| now.power = Power::Stopped);
                EventKind::Stopped
            }
        }
    }

    /// Starts or restarts the machine into a new life.
    pub fn boot(&mut self, clock: u64, keep: u64, life: Life) {
        let readiness = match life.ready {
            Some(_) => Readiness::Waiting,
            None => Readiness::Unknown,
        };
        self.life = life;
        self.change(clock, keep, |now| {
            now.power = Power::Starting;
            now.readiness = readiness;
        });
    }

    /// Returns the clock of the next step of its life.
    pub fn next_step(&self) -> Option<u64> {
        if self.gone.is_some() {
            return None;
        }
        match self.now.power {
            Power::Starting => Some(self.life.starts),
            Power::Running => {
                let dies = self.life.dies.map(|doom| doom.at);
                let ready = self
                    .life
                    .ready
                    .filter(|_| self.now.readiness == Readiness::Waiting);
                ready.into_iter().chain(dies).min()
            }
            Power::Stopped | Power::Broken | Power::Gone => None,
        }
    }

    fn is_reporting(&self, clock: u64) -> bool {
        self.now.readiness == Readiness::Waiting
            && self.life.ready.is_some_and(|ready| ready <= clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Stored {
        Stored {
            name: "m".into(),
            address: None,
            born: 1,
            now: Version {
                since: 1,
                shape: 0,
                power: Power::Starting,
                readiness: Readiness::Waiting,
            },
            past: Vec::new(),
            life: Life {
                starts: 3,
                ready: Some(6),
                ..Life::default()
            },
            gone: None,
        }
    }

    #[test]
    fn a_late_look_sees_what_was() {
        let mut machine = machine();
        let keep = 4;
        assert_eq!(machine.step(2, keep), None);
        assert_eq!(machine.step(3, keep), Some(EventKind::Running));
        assert_eq!(machine.step(6, keep), Some(EventKind::Ready));
        machine.die(8, keep, Death::Gone);
        let seen = |clock| machine.at(clock).map(|v| (v.power, v.readiness.clone()));
        assert_eq!(seen(0), None);
        assert_eq!(seen(2), Some((Power::Starting, Readiness::Waiting)));
        assert_eq!(seen(5), Some((Power::Running, Readiness::Waiting)));
        assert_eq!(seen(7), Some((Power::Running, Readiness::Ready)));
        assert_eq!(seen(8), None);
    }

    #[test]
    fn the_past_is_cut_to_the_lag() {
        let mut machine = machine();
        for clock in 2..100 {
            machine.change(clock, 3, |now| now.shape += 1);
        }
        assert_eq!(machine.past.len(), 3);
        assert_eq!(machine.at(96).map(|v| v.since), Some(96));
        machine.change(100, 1, |now| now.shape += 1);
        assert_eq!(machine.past.len(), 1);
        assert_eq!(machine.at(99).map(|v| v.since), Some(99));
        for clock in 101..200 {
            machine.change(clock, 0, |now| now.shape += 1);
        }
        assert!(machine.past.is_empty());
    }
}
