//! How badly the cloud behaves: data, and the decisions that follow from it.

use std::collections::BTreeMap;

use meshvm_provider_api::ErrorClass;
use serde::{Deserialize, Serialize};

use crate::draw::{Probability, Span, draw};
use crate::machine::{Doom, Life};

/// A kind of wire request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Call {
    /// One page of a listing.
    List,
    /// The creation of one batch.
    Create,
    /// A change of existing machines.
    Update,
    /// A deletion.
    Delete,
}

impl Call {
    /// Returns the name under which the request is counted.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// How badly the cloud behaves. The default is a perfect cloud: everything happens at once.
///
/// Whatever is counted in calls is counted in wire requests of any kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FaultPlan {
    /// What every draw is made from.
    pub seed: u64,
    /// Calls until the listing of a stack shows that a machine was created, changed or deleted.
    pub list_lag: Span,
    /// The same for a listing by id.
    pub by_id_lag: Span,
    /// Calls until a created or started machine runs.
    pub start_after: Span,
    /// Calls until the bootstrap of a running machine reports; without user-data it never does.
    pub ready_after: Span,
    /// The most machines in a scope.
    pub quota: Option<u32>,
    /// The most machines in a zone, for zones that have a limit.
    pub capacity: BTreeMap<String, u32>,
    /// When calls are refused to slow the caller down.
    pub throttle: Throttle,
    /// How likely a call fails with no effect.
    pub unavailable: Probability,
    /// How likely the reply to a call that is not a listing is lost, after the call had its effect.
    pub lost_reply: Probability,
    /// Which machines' bootstrap fails.
    pub fail_bootstrap: FailBootstrap,
    /// How running machines die.
    pub death: SpontaneousDeath,
    /// Faults at exact calls; they come before all others.
    pub script: Vec<Scripted>,
}

/// When calls are refused to slow the caller down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Throttle {
    /// Refuses every so-many-th call; 0 refuses none.
    pub every: u64,
    /// How likely any other call is refused.
    pub probability: Probability,
}

/// Which machines' bootstrap fails.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FailBootstrap {
    /// How likely it is for any machine.
    pub probability: Probability,
    /// Names, or how names begin, of machines for which it is certain.
    pub names: Vec<String>,
}

/// How running machines die by themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SpontaneousDeath {
    /// How likely it is for one machine in one call.
    pub probability: Probability,
    /// What may become of them, equally likely; empty means that they vanish.
    pub how: Vec<Death>,
}

/// What becomes of a machine that dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Death {
    /// It vanishes.
    Gone,
    /// It stays, broken for good.
    Broken,
    /// It stops, and can be started.
    Stopped,
}

/// A fault at an exact call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scripted {
    /// The kind of call.
    pub call: Call,
    /// Which one of that kind, from 1, counted over the whole life of the cloud.
    pub nth: u64,
    /// What it fails with; `ReplyLost` fails after the effect, all others instead of it.
    pub fault: ErrorClass,
}

impl FaultPlan {
    /// Returns the longest lag of any listing.
    pub fn longest_lag(&self) -> u64 {
        self.list_lag.longest().max(self.by_id_lag.longest())
    }

    /// Returns what the `nth` call of a kind fails with.
    pub(crate) fn fault(&self, call: Call, nth: u64, clock: u64) -> Option<ErrorClass> {
        let scripted = self
            .script
            .iter()
            .find(|fault| fault.call == call && fault.nth == nth);
        if let Some(fault) = scripted {
            return Some(fault.fault);
        }
        let draw = |what: &'static str| move || draw(self.seed, clock, what, call.as_str());
        let every = self.throttle.every;
        if (every > 0 && clock.is_multiple_of(every))
            || self.throttle.probability.happens(draw("throttle"))
        {
            Some(ErrorClass::Throttled)
        } else if self.unavailable.happens(draw("unavailable")) {
            Some(ErrorClass::Unavailable)
        } else if call != Call::List && self.lost_reply.happens(draw("lostReply")) {
            Some(ErrorClass::ReplyLost)
        } else {
            None
        }
    }

    /// Draws what lies before a machine that is created or started now.
    pub(crate) fn life(&self, clock: u64, id: &str, name: &str, bootstraps: bool) -> Life {
        let draw = |what: &'static str| move || draw(self.seed, clock, what, id);
        let starts = clock.saturating_add(self.start_after.pick(draw("startAfter")));
        let FailBootstrap { probability, names } = &self.fail_bootstrap;
        let SpontaneousDeath {
            probability: dies,
            how,
        } = &self.death;
        Life {
            starts,
            ready: bootstraps
                .then(|| starts.saturating_add(self.ready_after.pick(draw("readyAfter")))),
            fails: bootstraps
                && (names.iter().any(|prefix| name.starts_with(prefix))
                    || probability.happens(draw("failBootstrap"))),
            dies: dies.tries(draw("death")).map(|tries| {
                let last = how.len().saturating_sub(1) as u64;
                let index = Span { min: 0, max: last }.pick(draw("deathHow"));
                let how = usize::try_from(index).ok().and_then(|index| how.get(index));
                Doom {
                    at: starts.saturating_add(tries),
                    how: how.copied().unwrap_or(Death::Gone),
                }
            }),
        }
    }

    /// Returns how far the listing of a stack lags behind for a machine.
    pub(crate) fn list_lag(&self, id: &str) -> u64 {
        self.list_lag.pick(|| draw(self.seed, 0, "listLag", id))
    }

    /// Returns how far a listing by id lags behind for a machine.
    pub(crate) fn by_id_lag(&self, id: &str) -> u64 {
        self.by_id_lag.pick(|| draw(self.seed, 0, "byIdLag", id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_as_it_is_documented() {
        let text = r#"{
            "seed": 7, "listLag": {"min": 2, "max": 5}, "readyAfter": {"min": 3},
            "capacity": {"a": 10}, "throttle": {"every": 9, "probability": 0.1},
            "failBootstrap": {"names": ["ratings-"]},
            "death": {"probability": 0.01, "how": ["gone", "stopped"]},
            "script": [{"call": "create", "nth": 2, "fault": "replyLost"}]
        }"#;
        let plan: FaultPlan = serde_json::from_str(text).unwrap();
        assert_eq!(plan.longest_lag(), 5);
        assert_eq!(plan.ready_after.longest(), 3);
        assert_eq!(plan.fault(Call::Create, 2, 1), Some(ErrorClass::ReplyLost));
        assert_eq!(plan.fault(Call::List, 1, 9), Some(ErrorClass::Throttled));
        let again = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<FaultPlan>(&again).unwrap(), plan);

        let certain: FaultPlan = serde_json::from_str(r#"{"unavailable": 1}"#).unwrap();
        assert_eq!(certain.unavailable, Probability::ALWAYS);

        assert!(serde_json::from_str::<FaultPlan>(r#"{"qouta": 1}"#).is_err());
        assert!(serde_json::from_str::<FaultPlan>(r#"{"unavailable": 1.5}"#).is_err());
    }
}
