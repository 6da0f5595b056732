//! The fleet in meshvm.

use std::error::Error;

use serde_json::json;

use crate::measure::{Run, Stage};
use crate::tool::{IMAGE, REGION, Step, TEAMS, TYPE, Tool};

const PROGRAM: &str = env!("CARGO_BIN_EXE_meshvm");

/// meshvm, without a mesh: Terraform has none either.
pub struct Meshvm;

impl Meshvm {
    fn write(stage: &Stage, size: u32, team: &str) -> Result<(), Box<dyn Error>> {
        let file = json!({
            "apiVersion": "meshvm/v1",
            "stack": "bench",
            "budgets": {"destroy": "100%"},
            "fleets": {"web": {
                "replicas": size,
                "aws": {
                    "region": REGION,
                    "instanceType": TYPE,
                    "image": {"ssm": IMAGE},
                    "tags": {"team": team},
                },
            }},
        });
        let path = stage.folder().join("meshvm.yaml");
        Ok(std::fs::write(path, serde_json::to_vec_pretty(&file)?)?)
    }
}

impl Tool for Meshvm {
    fn name(&self) -> &'static str {
        "meshvm"
    }

    fn set_up(&self, stage: &Stage, size: u32) -> Result<(), Box<dyn Error>> {
        Self::write(stage, size, TEAMS[0])
    }

    fn run(&self, stage: &Stage, size: u32, step: Step) -> Result<Option<Run>, Box<dyn Error>> {
        let (arguments, codes): (&[&str], &'static [i32]) = match step {
            Step::FirstApply => (&["apply", "-y"], &[0]),
            Step::PlanWithoutChange => (&["plan", "--detailed-exitcode"], &[0]),
            Step::PlanWithOneGone => (&["plan", "--detailed-exitcode"], &[2]),
            Step::AnotherTag => {
                Self::write(stage, size, TEAMS[1])?;
                (&["apply", "-y"], &[0])
            }
            Step::Destroy => (&["destroy", "-y"], &[0]),
        };
        Ok(Some(Run {
            program: PROGRAM.into(),
            arguments: arguments.iter().map(Into::into).collect(),
            codes,
        }))
    }

    fn is_killed(&self) -> bool {
        true
    }

    fn known(&self, stage: &Stage) -> Result<Vec<String>, Box<dyn Error>> {
        // What carries the stack's label is what meshvm goes by.
        let own = stage.instances()?.into_iter().filter(|instance| {
            let owner = instance.tags.get("meshvm-stack");
            owner.is_some_and(|stack| stack == "bench")
        });
        Ok(own.map(|instance| instance.id).collect())
    }
}
