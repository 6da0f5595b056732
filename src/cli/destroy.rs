//! `meshvm destroy`: deletes everything that the stack made.

use clap::Args;

use super::mesh::{self, Ask};
use super::output::Output;
use super::planning::{self, Origin, RunOptions};
use super::{CliError, Exit, Globals, load};
use crate::plan::Options;

#[derive(Clone, Debug, Args)]
pub struct DestroyArgs {
    /// Delete this fleet only; may be repeated
    #[arg(long, value_name = "FLEET")]
    target: Vec<String>,
    /// Go on though the cluster is another than the one with the stack's objects; those stay there
    #[arg(long)]
    another_cluster: bool,
    #[command(flatten)]
    how: RunOptions,
}

pub async fn run(globals: &Globals, args: &DestroyArgs, output: &Output) -> Result<Exit, CliError> {
    let loaded = load::load(globals, output, Ask::Nobody).await?;
    mesh::may(&loaded.context, &loaded.desired, true, &globals.calls).await?;
    let options = Options {
        targets: args.target.iter().cloned().collect(),
        destroy: true,
        another_cluster: args.another_cluster,
        ..Options::default()
    };
    let origin = Origin::File(Box::new(loaded), options, Vec::new());
    planning::run(globals, origin, &args.how, "destroy", output).await
}
