//! The command `bootstrap-gen`: shows what a pod's proxy would be told, from the record that ADD left.

#![forbid(unsafe_code)]

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use bootstrap_gen::generate;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use planes::plan::{BootstrapFlavour, BootstrapPlan};
use planes::{PodNetwork, ProxyNode};

/// Makes Envoy bootstraps whose node metadata carries every address of a pod.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  bootstrap-gen render --record pod-network.json --discovery istiod.istio-system.svc:15010
  bootstrap-gen completion bash > /etc/bash_completion.d/bootstrap-gen

Exit codes: 0 done, 1 failed, 2 wrong usage."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the bootstrap for a pod network.
    Render {
        /// A `PodNetwork` as JSON, or `-` for standard input.
        #[arg(long, value_name = "FILE")]
        record: PathBuf,
        /// Where the control plane listens.
        #[arg(long, value_name = "HOST:PORT")]
        discovery: String,
        /// Downstream connections in all; at most 40 % of the proxy's RLIMIT_NOFILE.
        #[arg(long, value_name = "N", default_value_t = 20_000)]
        max_connections: u32,
    },
    /// Print a completion script.
    Completion {
        /// The shell to complete in.
        shell: Shell,
    },
}

/// What went wrong, as one line.
struct Failure(String);

impl Failure {
    fn new(operation: &str, error: &dyn std::error::Error) -> Self {
        let mut text = format!("{operation}: {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Self(text)
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(text) => match std::io::stdout().write_all(&text) {
            // A reader that went away has seen enough.
            Ok(()) | Err(_) => ExitCode::SUCCESS,
        },
        Err(Failure(text)) => {
            let _ = writeln!(std::io::stderr(), "bootstrap-gen: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<Vec<u8>, Failure> {
    match command {
        Command::Render { record, discovery, max_connections } => {
            let network = read(&record)?;
            let node =
                ProxyNode::from_pod_network(&network).map_err(|e| Failure::new("describe node", &e))?;
            let plan = BootstrapPlan {
                flavour: BootstrapFlavour::Istio,
                discovery,
                directory: PathBuf::new(),
                max_connections,
            };
            let bootstrap = generate(&node, &plan).map_err(|e| Failure::new("make bootstrap", &e))?;
            Ok(bootstrap.to_text().into_bytes())
        }
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "bootstrap-gen", &mut script);
            Ok(script)
        }
    }
}

fn read(record: &PathBuf) -> Result<PodNetwork, Failure> {
    let text = if record.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(record)
    };
    let operation = format!("read record {}", record.display());
    let text = text.map_err(|error| Failure::new(&operation, &error))?;
    serde_json::from_str(&text).map_err(|error| Failure::new(&operation, &error))
}
