//! The command line: one file a subcommand.
//!
//! Only this module and `main.rs` read arguments, the environment and files
//! that the user names, print, and decide exit codes.

mod apply;
mod ask;
mod completions;
mod destroy;
mod doctor;
mod error;
mod exit;
mod init;
mod lacking;
mod load;
mod mesh;
mod output;
mod plan;
mod planning;
mod progress;
mod render;
mod schema;
mod status;
mod unlock;
mod validate;
mod version;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::mesh::kubernetes::Calls;

pub use error::CliError;
pub use exit::Exit;
use output::Output;

/// Provisions fleets of VMs that are members of an Istio mesh.
#[derive(Debug, Parser)]
#[command(name = "meshvm", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Globals {
    /// Fleet file; several are merged, later ones win [default: meshvm.yaml]
    #[arg(short, long, global = true, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Set a variable of the fleet file
    #[arg(long, global = true, value_name = "NAME=VALUE")]
    var: Vec<String>,
    /// Set variables from a YAML file
    #[arg(long, global = true, value_name = "FILE")]
    var_file: Vec<PathBuf>,
    /// Print for people, or one JSON document: human or json
    #[arg(
        long,
        global = true,
        value_enum,
        hide_possible_values = true,
        default_value_t = Format::Human
    )]
    format: Format,
    /// Use colour: always, never, or auto, which looks at the terminal and at NO_COLOR
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        hide_possible_values = true,
        default_value_t = Color::Auto
    )]
    color: Color,
    /// Also print what was asked of the providers and of the cluster
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Use a simulated cloud, mesh folder and ledger under .meshvm/simulated
    #[arg(long, global = true)]
    simulate: bool,
    /// Folder of the local provider's machines
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "MESHVM_DATA_DIR",
        hide_env_values = true
    )]
    data_dir: Option<PathBuf>,
    /// Counts what clusters are asked, by whichever part of a command.
    #[arg(skip)]
    calls: Calls,
}

impl Globals {
    /// Returns the fleet files.
    fn files(&self) -> Vec<PathBuf> {
        if self.file.is_empty() {
            vec![PathBuf::from("meshvm.yaml")]
        } else {
            self.file.clone()
        }
    }

    /// Returns whether the command line says what a saved plan holds already.
    fn names_files(&self) -> bool {
        !(self.file.is_empty() && self.var.is_empty() && self.var_file.is_empty())
    }
}

// The variants have no documentation, since clap would print it as one long
// list in the help of every subcommand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a fleet file to start from
    Init(init::InitArgs),
    /// Check the fleet file, and with --online its mesh; touch nothing
    Validate(validate::ValidateArgs),
    /// Show what would change in clouds and mesh
    Plan(plan::PlanArgs),
    /// Make clouds and mesh what the fleet file asks for
    Apply(apply::ApplyArgs),
    /// Delete everything that the stack made
    Destroy(destroy::DestroyArgs),
    /// Show the stack's machines and their membership
    Status,
    /// Print every file that would be generated
    Render(render::RenderArgs),
    /// Print the JSON Schema of the fleet file
    Schema(schema::SchemaArgs),
    /// Tell what this machine lacks, with the command that mends it
    Doctor(doctor::DoctorArgs),
    /// Break the lock of a run that is gone
    Unlock(unlock::UnlockArgs),
    /// Print the completions of a shell
    Completions(completions::CompletionsArgs),
    /// Print the version, and what is in this build
    Version,
}

/// Runs the command line and returns how it ended.
pub async fn run(cli: Cli) -> Exit {
    let Cli { globals, command } = cli;
    let output = Output::new(globals.format, globals.color, globals.verbose);
    let result = match command {
        Command::Init(args) => init::run(&args, &output),
        Command::Validate(args) => validate::run(&globals, &args, &output).await,
        Command::Plan(args) => plan::run(&globals, &args, &output).await,
        Command::Apply(args) => apply::run(&globals, &args, &output).await,
        Command::Destroy(args) => destroy::run(&globals, &args, &output).await,
        Command::Status => status::run(&globals, &output).await,
        Command::Render(args) => render::run(&globals, &args, &output).await,
        Command::Schema(args) => schema::run(&args, &output),
        Command::Doctor(args) => doctor::run(&args, &globals, &output).await,
        Command::Unlock(args) => unlock::run(&globals, &args, &output).await,
        Command::Completions(args) => completions::run(&args, &output),
        Command::Version => version::run(&output),
    };
    match result {
        Ok(exit) => exit,
        Err(error) => {
            output.error(&error);
            error.exit
        }
    }
}
