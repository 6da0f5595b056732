//! `meshvm-lab`: the doubles as servers, to try meshvm with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use meshvm_lab::istiod::args::IstiodArgs;
use meshvm_lab::up::{Up, up};

/// Doubles of a Kubernetes API and of istiod.
#[derive(Debug, Parser)]
#[command(name = "meshvm-lab", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a Kubernetes API, with istiod, until the program is told to end.
    Up {
        /// Where to listen; port 0 lets the kernel choose.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Write a kubeconfig here, readable by its owner alone.
        #[arg(long, value_name = "FILE")]
        kubeconfig: PathBuf,
        /// The CRDs to serve. Left out, those that MESHVM_LAB_CRDS names, else the part of
        /// Istio's that meshvm writes.
        #[arg(long, value_name = "FILE")]
        crds: Option<PathBuf>,
        /// Only the Kubernetes API.
        #[arg(long)]
        no_istiod: bool,
        #[command(flatten)]
        istiod: IstiodArgs,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let ended = match command {
        Command::Up {
            listen,
            kubeconfig,
            crds,
            no_istiod,
            istiod,
        } => {
            up(Up {
                listen,
                kubeconfig,
                crds,
                istiod: (!no_istiod).then_some(istiod),
            })
            .await
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut said = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                said = format!("{said}: {cause}");
                source = cause.source();
            }
            eprintln!("meshvm-lab: {said}");
            ExitCode::FAILURE
        }
    }
}
