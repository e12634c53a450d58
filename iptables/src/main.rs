//! The command `plane-capture`: shows, sets, compares and removes a pod's capture rules by hand.

#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use iptables::rules::{Chain, Rule};
use iptables::{Policy, TABLE, Table, apply, check, remove, table};
use netlink::Netns;
use planes::PodNetwork;
use serde_json::Value;

/// Shows, sets, compares and removes the capture rules of a pod.
///
/// The pod's networks are read from the record that `multiplane` ADD left,
/// /run/multiplane/networks/NETWORK/attachments/CONTAINER@IFNAME.json.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  plane-capture plan --record c1@eth0.json | less
  plane-capture plan --record c1@eth0.json --output json | jq '.chains[].rules[].why'
  plane-capture check --record c1@eth0.json --netns /run/netns/cni-1234
  plane-capture remove --pid 4711

Exit codes: 0 done or no difference, 1 failed or different, 2 wrong usage."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the rules as nft reads them, or as JSON.
    Plan {
        #[command(flatten)]
        record: Record,
        /// What to print.
        #[arg(long, value_enum, default_value_t = Output::Nft)]
        output: Output,
    },
    /// Set the rules, in place of earlier ones of ours, in one transaction.
    Apply {
        #[command(flatten)]
        record: Record,
        #[command(flatten)]
        namespace: Namespace,
    },
    /// Name each rule that is missing, changed or foreign.
    Check {
        #[command(flatten)]
        record: Record,
        #[command(flatten)]
        namespace: Namespace,
    },
    /// Remove the rules. Connections that they redirected end.
    Remove {
        #[command(flatten)]
        namespace: Namespace,
    },
    /// Print a completion script.
    Completion {
        /// The shell to complete in.
        shell: Shell,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A script for `nft -f`.
    Nft,
    /// Chains and rules, each rule with its reason.
    Json,
}

#[derive(Args)]
struct Record {
    /// A record of `multiplane` or a `PodNetwork` as JSON, or `-` for standard input.
    #[arg(long, value_name = "FILE")]
    record: PathBuf,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Namespace {
    /// Path of the pod's network namespace.
    #[arg(long, value_name = "PATH")]
    netns: Option<PathBuf>,
    /// A process of the pod.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
}

/// What went wrong, as one line.
struct Failure(String);

impl Failure {
    fn new(error: &dyn std::error::Error) -> Self {
        let causes = std::iter::successors(Some(error), |error| error.source());
        Self(causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
            // A reader that went away has seen enough.
            Ok(()) | Err(_) => ExitCode::SUCCESS,
        },
        Err(Failure(text)) => {
            let _ = writeln!(std::io::stderr(), "plane-capture: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<String, Failure> {
    match command {
        Command::Plan { record, output: Output::Nft } => Ok(record.table()?.to_text()),
        Command::Plan { record, output: Output::Json } => Ok(format!("{:#}\n", json(&record.table()?))),
        Command::Apply { record, namespace } => {
            apply(&namespace.open()?, &record.table()?).map_err(|error| Failure::new(&error))?;
            Ok(String::new())
        }
        Command::Check { record, namespace } => {
            let drifts = check(&namespace.open()?, &record.table()?).map_err(|error| Failure::new(&error))?;
            if drifts.is_empty() { Ok(String::new()) } else { Err(Failure(drifts.join("; "))) }
        }
        Command::Remove { namespace } => {
            remove(&namespace.open()?, TABLE).map_err(|error| Failure::new(&error))?;
            Ok(String::new())
        }
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "plane-capture", &mut script);
            Ok(String::from_utf8_lossy(&script).into_owned())
        }
    }
}

fn json(table: &Table) -> Value {
    let rule = |rule: &Rule| serde_json::json!({"rule": rule.to_string(), "why": rule.why});
    let chain = |chain: &Chain| {
        serde_json::json!({
            "name": chain.name, "type": chain.kind.to_string(), "hook": chain.hook.to_string(),
            "priority": chain.priority, "rules": chain.rules.iter().map(rule).collect::<Vec<_>>()})
    };
    serde_json::json!({"family": "inet", "table": table.name, "chains": table.chains.iter().map(chain).collect::<Vec<_>>()})
}

impl Record {
    fn table(&self) -> Result<Table, Failure> {
        let at =
            |what: &dyn std::fmt::Display| Failure(format!("--record {}: {what}", self.record.display()));
        let text = read(&self.record).map_err(|error| at(&error))?;
        let mut value: Value = serde_json::from_slice(&text).map_err(|error| at(&error))?;
        // A record of `multiplane` holds the networks under this key, and null while ADD works.
        if let Some(network) = value.get_mut("network") {
            value = network.take();
        }
        let network: PodNetwork = serde_json::from_value(value).map_err(|error| {
            at(&format!("no pod's networks: {error}; give a record that ADD has finished"))
        })?;
        Ok(table(&Policy::of(&network)))
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if path != Path::new("-") {
        return std::fs::read(path);
    }
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text)?;
    Ok(text)
}

impl Namespace {
    fn open(&self) -> Result<Netns, Failure> {
        let of_process = self.pid.map(|pid| PathBuf::from(format!("/proc/{pid}/ns/net")));
        let path = self.netns.clone().or(of_process).unwrap_or_default();
        Netns::open(&path).map_err(|error| Failure::new(&error))
    }
}
