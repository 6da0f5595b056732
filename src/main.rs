//! The program: reads arguments, runs the command, and exits with its code.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use meshvm::cli::{Cli, Exit};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap's own exit code for bad usage is 2, which here means "changes pending".
            let exit = match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
                _ => Exit::Failed,
            };
            error.print().ok();
            return exit.into();
        }
    };
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(meshvm::cli::run(cli)).into(),
        Err(error) => {
            eprintln!("Error: cannot start: {error}");
            Exit::Failed.into()
        }
    }
}
