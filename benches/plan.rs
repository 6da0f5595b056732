//! What a plan costs: provider calls, CPU time and peak memory of `meshvm plan`
//! on the simulated cloud, by number of machines, with 1% of them gone.
//!
//! `cargo bench --bench plan` prints a table; `-- 100 1000` measures only these.
//! Each figure is of the whole process of the released binary. Wall time is left
//! out: on a shared machine it says nothing.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use meshvm_provider_sim::{Death, SimCloud};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// Sizes to measure.
const SIZES: [u32; 4] = [100, 1_000, 10_000, 100_000];

const MEMBERSHIP: &str = "
    membership:
      namespace: vm
      serviceAccount: web
      labels: {app: web}
      ports: {http: 8080}
      service: {ports: [{name: http, port: 8080}]}
";

/// The argument that makes this program measure one plan, as a process of its own:
/// what the system counts for finished children is then that of the plan alone.
const MEASURE: &str = "measure-in";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, first, folder] = arguments.as_slice()
        && first == MEASURE
    {
        return measure(Path::new(folder));
    }
    let asked: Vec<u32> = std::env::args()
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let sizes = if asked.is_empty() {
        SIZES.to_vec()
    } else {
        asked
    };
    println!("machines  mesh  list requests  CPU s  peak MB");
    for with_mesh in [false, true] {
        for &size in &sizes {
            // A file a machine is what the manifests backend is for; past this the
            // file system is measured, not the plan.
            if with_mesh && size > 10_000 {
                continue;
            }
            measure_size(size, with_mesh)?;
        }
    }
    Ok(())
}

fn measure_size(size: u32, with_mesh: bool) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut file = format!(
        "apiVersion: meshvm/v1\nstack: bench\nfleets:\n  web:\n    replicas: {size}\n    sim: {{zones: [a, b, c]}}\n"
    );
    if with_mesh {
        file.push_str(MEMBERSHIP);
        file.write_str("mesh:\n  manifests: {path: ./mesh}\n")?;
    }
    std::fs::write(folder.path().join("meshvm.yaml"), file)?;
    meshvm(folder.path(), &["apply", "-y"])?;
    let cloud = SimCloud::folder(&folder.path().join(".meshvm/cloud"))?;
    for machine in cloud.machines()?.iter().step_by(100) {
        cloud.kill(&machine.id, Death::Stopped)?;
    }
    let mesh = if with_mesh { "yes" } else { "no" };
    print!("{size:>8}  {mesh:<4}  ");
    std::io::stdout().flush()?;
    let measured = Command::new(std::env::current_exe()?)
        .args([MEASURE.as_ref(), folder.path().as_os_str()])
        .status()?;
    if measured.success() {
        Ok(())
    } else {
        Err("the plan was not measured".into())
    }
}

fn measure(folder: &Path) -> Result<(), Box<dyn Error>> {
    let output = meshvm(folder, &["plan", "--verbose"])?;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    let cpu = seconds(usage.user_time()) + seconds(usage.system_time());
    let told = String::from_utf8(output.stderr)?;
    let requests = told
        .lines()
        .find_map(|line| line.strip_prefix("requests list: "))
        .ok_or("the plan does not say what it asked for")?;
    if !String::from_utf8(output.stdout)?.contains("start web-") {
        return Err("the plan does not see the drift".into());
    }
    println!("{requests:>13}  {cpu:>5.2}  {:>7}", usage.max_rss() / 1024);
    Ok(())
}

fn meshvm(folder: &Path, arguments: &[&str]) -> Result<Output, Box<dyn Error>> {
    let output = Command::new(env!("CARGO_BIN_EXE_meshvm"))
        .args(arguments)
        .env("NO_COLOR", "1")
        .current_dir(folder)
        .output()?;
    if output.status.success() {
        Ok(output)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
    }
}
