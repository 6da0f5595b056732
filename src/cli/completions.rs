//! `meshvm completions`: the completions of a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde::Serialize;

use super::output::Output;
use super::{Cli, CliError, Exit};

#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

#[derive(Serialize)]
struct Completions<'a> {
    shell: String,
    script: &'a str,
}

pub fn run(args: &CompletionsArgs, output: &Output) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "meshvm", &mut script);
    let script = String::from_utf8_lossy(&script);
    let completions = Completions {
        shell: args.shell.to_string(),
        script: &script,
    };
    output.result(|| script.to_string(), &completions)?;
    Ok(Exit::Done)
}
