//! `meshvm init`: a fleet file to start from.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::output::Output;
use super::{CliError, Exit};

/// The fleet file to start from; it is valid as it is.
const STARTER: &str = include_str!("../../templates/init/meshvm.yaml");

#[derive(Clone, Debug, Args)]
pub struct InitArgs {
    /// Where to write it
    #[arg(default_value = "meshvm.yaml")]
    path: PathBuf,
}

#[derive(Serialize)]
struct Written<'a> {
    written: &'a Path,
}

pub fn run(args: &InitArgs, output: &Output) -> Result<Exit, CliError> {
    let path = args.path.display();
    let created = std::fs::File::create_new(&args.path)
        .and_then(|mut file| file.write_all(STARTER.as_bytes()));
    match created {
        Ok(()) => {
            let written = Written {
                written: &args.path,
            };
            let text = || format!("{path} is written. Next: `meshvm plan --simulate -f {path}`\n");
            output.result(text, &written)?;
            Ok(Exit::Done)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(CliError::new(
            format!("{path} exists already, and was left as it is"),
        )
        .with_hint("name another file: `meshvm init FILE`")),
        Err(error) => {
            let mut failure = CliError::new(format!("cannot write {path}"));
            failure.causes.push(error.to_string());
            Err(failure)
        }
    }
}
