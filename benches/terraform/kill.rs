//! Kills a tool in the middle of its first apply, and lets the next one end.

use std::collections::BTreeSet;
use std::error::Error;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::Duration;

use meshvm_ec2::Moto;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::measure::Stage;
use crate::tool::{Step, Tool};

/// What a kill left.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The machines that there were when the tool was dead.
    pub made: usize,
    /// Those of them that the tool does not know.
    pub orphans: usize,
    /// How many machines too many there are after the next apply.
    pub doubles: usize,
    /// Machines that the tool does not know after the next apply.
    pub orphans_after: usize,
}

/// Kills the tool, with all that it started, once there is a third of the machines.
///
/// # Errors
/// When it ends first, or the next apply fails.
pub fn run(tool: &dyn Tool, size: u32) -> Result<Ended, Box<dyn Error>> {
    let moto = Moto::start();
    let stage = Stage::new(&moto)?;
    tool.set_up(&stage, size)?;
    let apply = tool.run(&stage, size, Step::FirstApply)?;
    let apply = apply.ok_or("it does not apply")?;
    let mut child = stage
        .command(&apply.program)
        .args(&apply.arguments)
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Err(format!("{} ended with {status} before it was killed", tool.name()).into());
        }
        if stage.instances()?.len() >= size as usize / 3 {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    killpg(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGKILL)?;
    child.wait()?;
    // Calls that were under way come to their end at the server.
    let mut made = 0;
    while made != stage.instances()?.len() {
        made = stage.instances()?.len();
        std::thread::sleep(Duration::from_secs(2));
    }
    let orphans = unknown(tool, &stage)?;
    stage.measure(&apply)?;
    let after = stage.instances()?.len();
    Ok(Ended {
        made,
        orphans,
        doubles: after.saturating_sub(size as usize),
        orphans_after: unknown(tool, &stage)?,
    })
}

/// Returns how many machines there are that the tool does not know.
fn unknown(tool: &dyn Tool, stage: &Stage) -> Result<usize, Box<dyn Error>> {
    let known: BTreeSet<String> = tool.known(stage)?.into_iter().collect();
    let instances = stage.instances()?;
    let unknown = instances.iter().filter(|it| !known.contains(&it.id));
    Ok(unknown.count())
}
