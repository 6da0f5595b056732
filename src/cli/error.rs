//! Errors as a person sees them: a summary, its causes, and what to do.

use std::error::Error;

use serde::Serialize;

use super::Exit;
use crate::diag::{Diagnostic, Severity};
use crate::engine::EngineError;
use crate::ledger::LedgerError;
use crate::observe::ObserveError;
use crate::plan::PlanError;
use crate::plan::policy::Refusal;
use crate::show::counted;

/// Why a command failed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CliError {
    /// How the command ends.
    #[serde(skip)]
    pub exit: Exit,
    /// What happened.
    pub summary: String,
    /// Why, from near to far.
    pub causes: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Problems of the input, each with its place.
    pub diagnostics: Vec<Diagnostic>,
    /// Why a plan was refused.
    pub refusals: Vec<Refusal>,
}

impl CliError {
    /// Makes a plain failure.
    pub fn new(summary: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failed,
            summary: summary.into(),
            causes: Vec::new(),
            hint: None,
            diagnostics: Vec::new(),
            refusals: Vec::new(),
        }
    }

    /// Makes a failure of an error and its causes; one that was told with what it caused is not
    /// told again.
    pub fn of(error: &dyn Error) -> Self {
        let mut told = vec![error.to_string()];
        let mut next = error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if told.iter().all(|before| !before.contains(&text)) {
                told.push(text);
            }
            next = cause.source();
        }
        Self {
            causes: told.split_off(1),
            ..Self::new(told.remove(0))
        }
    }

    /// Makes a failure of problems in the input; warnings among them are told, and are none.
    pub fn input(diagnostics: Vec<Diagnostic>) -> Self {
        let errors = diagnostics
            .iter()
            .filter(|it| it.severity == Severity::Error);
        let problems = counted(errors.count() as u64, "problem");
        Self {
            diagnostics,
            ..Self::new(format!("found {problems}, and nothing was touched"))
        }
    }

    /// Makes a refusal by policy.
    pub fn refused(refusals: Vec<Refusal>) -> Self {
        Self {
            exit: Exit::Refused,
            refusals,
            ..Self::new("the plan is refused, and nothing was touched")
        }
    }

    /// Adds what to do about it.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets how the command ends.
    pub fn exiting(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }
}

impl From<LedgerError> for CliError {
    fn from(error: LedgerError) -> Self {
        let exit = match &error {
            LedgerError::Locked(_) => Exit::Locked,
            _ => Exit::Failed,
        };
        let hint = error.hint();
        Self {
            exit,
            hint,
            ..Self::of(&error)
        }
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        let outer = Self::of(&error);
        match error {
            // The ledger's own words say it all; "cannot use the ledger" adds nothing to "locked".
            EngineError::Ledger(error) => error.into(),
            EngineError::Run { .. } => {
                outer.with_hint("finish the run with the version of meshvm that began it")
            }
            EngineError::Unjoinable(_) => outer.with_hint("`meshvm validate --online` says why"),
            EngineError::Settle(error) => Self {
                hint: error.source.hint,
                ..outer
            },
            EngineError::Unready(fleets) => {
                let causes = fleets.iter();
                let causes = causes.map(|(fleet, error)| format!("fleet `{fleet}`: {error}"));
                let hints = fleets.iter().filter_map(|(_, error)| error.hint.as_deref());
                let hints: Vec<&str> = hints.collect();
                Self {
                    causes: causes.collect(),
                    hint: (!hints.is_empty()).then(|| hints.join("; ")),
                    ..outer
                }
            }
            EngineError::Resolve { source, .. }
            | EngineError::Observe(ObserveError::Scope { source, .. }) => Self {
                hint: source.hint,
                ..outer
            },
            EngineError::Observe(ObserveError::Mesh(source)) | EngineError::Check(source) => Self {
                hint: source.hint(),
                ..outer
            },
            EngineError::Plan(error) => Self {
                hint: plan_hint(&error),
                ..outer
            },
            EngineError::Apply(_) => {
                outer.with_hint("apply again: the next run settles what this one left")
            }
        }
    }
}

fn plan_hint(error: &PlanError) -> Option<String> {
    match error {
        PlanError::UnknownFleet(_) | PlanError::UnknownMachine(_) => {
            Some("`meshvm status` lists fleets and machines".to_owned())
        }
        PlanError::NotTargeted(_, fleet) => {
            Some(format!("add `--target {fleet}`, or leave --target out"))
        }
        PlanError::NothingTagged(..) => Some(
            "`*` stands for any text; machines of other stacks are left alone".to_owned(),
        ),
        PlanError::NothingToAdopt(..)
        | PlanError::Owned(..)
        | PlanError::TwoFleets(..)
        | PlanError::Contradiction(_)
        | PlanError::BothWays(_) => None,
        PlanError::NoRoom(_, fleet) => Some(format!("raise `fleets.{fleet}.replicas`")),
        PlanError::NotAdoptable(..) => Some(
            "make the fleet file say what the machine is, or let the fleet create a new one"
                .to_owned(),
        ),
        PlanError::NoEntryName(..) => Some(
            "names in the mesh are at most 63 of a-z, 0-9, - and .; with `autoRegister` the control \
             plane names the entries itself"
                .to_owned(),
        ),
        PlanError::MeshLeft { .. } => Some(
            "put `mesh` back as it was; to leave or move it, first apply the file with that mesh and \
             without memberships"
                .to_owned(),
        ),
        PlanError::OtherCluster { .. } => Some(
            "name the right cluster's context as `mesh.kubernetes.context`; where the cluster was made \
             anew, go on with --another-cluster"
                .to_owned(),
        ),
        PlanError::MissingProvider(..) => {
            Some("use the released binary, or build with `--features all`".to_owned())
        }
    }
}
