//! The same fleets in Terraform and in meshvm, on the same server in one run.
//!
//! `cargo bench --bench terraform --features aws` prints tables; numbers after `--` are the sizes
//! to measure in place of 10, 100, 500 and 1,000, `kill` leaves the tables out and only kills.
//! It takes `tests/ec2/moto`, and `terraform` with its `aws` provider on the `PATH` or in a folder
//! that `MESHVM_TERRAFORM_PLUGINS` names; without these it says so and measures meshvm alone.
//!
//! The server is moto: its time is most of a wall time, and it boots machines in none. What can
//! be compared is the calls, and the CPU time and memory of the tool.

mod kill;
mod measure;
mod meshvm;
mod report;
mod terraform;
mod tool;

use std::error::Error;

use meshvm_ec2::Moto;

use measure::Stage;
use tool::{Step, Tool};

/// The sizes to measure.
const SIZES: [u32; 4] = [10, 100, 500, 1_000];
/// How large the fleet is of which runs are killed, and how often.
const KILLED: (u32, u32) = (100, 3);
/// The argument that leaves the tables out.
const ONLY_KILL: &str = "kill";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((first, rest)) = arguments.split_first()
        && first == measure::MEASURE
    {
        return measure::child(rest);
    }
    let mut sizes: Vec<u32> = arguments.iter().filter_map(|it| it.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = SIZES.to_vec();
    }
    let tools = tools();
    if !arguments.iter().any(|it| it == ONLY_KILL) {
        for size in sizes {
            report::table(size, &measured(size, &tools)?);
        }
    }
    let (size, times) = KILLED;
    let mut ended = Vec::new();
    for tool in tools.iter().filter(|tool| tool.is_killed()) {
        for _ in 0..times {
            ended.push((tool.name(), kill::run(tool.as_ref(), size)?));
        }
    }
    report::kills(size, &ended);
    Ok(())
}

/// Returns the tools that are here, and says what is missing of the others.
fn tools() -> Vec<Box<dyn Tool>> {
    let mut tools: Vec<Box<dyn Tool>> = vec![Box::new(meshvm::Meshvm)];
    match terraform::Plugins::find() {
        Ok(plugins) => {
            for what in [terraform::What::Instances, terraform::What::Group] {
                tools.push(Box::new(terraform::Terraform::new(what, plugins.clone())));
            }
        }
        Err(missing) => println!("Terraform is not measured: {missing}\n"),
    }
    tools
}

/// Measures every step of each tool, each in an account of its own on one server.
fn measured(size: u32, tools: &[Box<dyn Tool>]) -> Result<Vec<report::Column>, Box<dyn Error>> {
    let moto = Moto::start();
    let mut columns = Vec::new();
    for tool in tools {
        let stage = Stage::new(&moto)?;
        tool.set_up(&stage, size)?;
        let mut costs = Vec::new();
        for step in Step::ALL {
            if step == Step::PlanWithOneGone {
                stage.terminate_one()?;
            }
            if let Some(run) = tool.run(&stage, size, step)? {
                let cost = stage.measure(&run)?;
                eprintln!("{size} {}: {}: {cost:?}", tool.name(), step.name());
                costs.push((step, cost));
            }
            tool.check(&stage, size, step)?;
        }
        columns.push(report::Column {
            tool: tool.name(),
            costs,
        });
    }
    Ok(columns)
}
