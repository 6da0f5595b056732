//! What a tool is asked to do.

use std::error::Error;

use crate::measure::{Run, Stage};

/// What is measured, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All machines are made.
    FirstApply,
    /// Nothing changed.
    PlanWithoutChange,
    /// Somebody terminated a machine.
    PlanWithOneGone,
    /// A tag of all machines changes, and the missing one is made.
    AnotherTag,
    /// All machines go.
    Destroy,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::FirstApply,
        Self::PlanWithoutChange,
        Self::PlanWithOneGone,
        Self::AnotherTag,
        Self::Destroy,
    ];

    /// Returns what it is called in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstApply => "first apply",
            Self::PlanWithoutChange => "plan without a change",
            Self::PlanWithOneGone => "plan with one machine gone",
            Self::AnotherTag => "another tag on all",
            Self::Destroy => "destroy",
        }
    }
}

/// The tags that a fleet has before and after the change.
pub const TEAMS: [&str; 2] = ["blue", "green"];
/// Where the fleets are.
pub const REGION: &str = "eu-west-1";
/// The type of the machines.
pub const TYPE: &str = "m7g.large";
/// The parameter that names their image.
pub const IMAGE: &str = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64";

/// A tool under measurement.
pub trait Tool {
    /// Returns what it is called in tables.
    fn name(&self) -> &'static str;

    /// Writes its files; what it does once for all runs is not measured.
    fn set_up(&self, stage: &Stage, size: u32) -> Result<(), Box<dyn Error>>;

    /// Prepares a step; `None` when the tool cannot do it.
    fn run(&self, stage: &Stage, size: u32, step: Step) -> Result<Option<Run>, Box<dyn Error>>;

    /// Checks that a step did what it should.
    ///
    /// A figure of a run that did something else would be worth nothing.
    fn check(&self, stage: &Stage, size: u32, step: Step) -> Result<(), Box<dyn Error>> {
        let machines = stage.instances()?;
        let expected = match step {
            Step::FirstApply | Step::PlanWithoutChange | Step::AnotherTag => size as usize,
            Step::PlanWithOneGone => size as usize - 1,
            Step::Destroy => 0,
        };
        match machines.len() == expected {
            true => Ok(()),
            false => Err(format!(
                "{}: {} left {} machines, {expected} were expected",
                self.name(),
                step.name(),
                machines.len()
            )
            .into()),
        }
    }

    /// Returns whether its runs are killed as well.
    fn is_killed(&self) -> bool;

    /// Returns the ids of the machines that it knows.
    fn known(&self, stage: &Stage) -> Result<Vec<String>, Box<dyn Error>>;
}
