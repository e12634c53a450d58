//! The CNI binary `multiplane`: reads, calls, prints, exits.

#![forbid(unsafe_code)]

use std::io::{Write, stdin, stdout};
use std::process::ExitCode;

use clap::Parser;
use cni_plugin::spec::Version;
use cni_plugin::{Answer, log, panic, serve};
use nix::sys::stat::Mode;
use serde_json::Value;

/// A CNI plugin: several network planes for one pod, every address learnt from the kernel, and the bootstrap
/// of the pod's proxy written before its first container starts.
///
/// A container runtime calls it with CNI_COMMAND and its fellows in the environment and a network
/// configuration on stdin; a person has no need to.
#[derive(Parser)]
#[command(name = "multiplane", version, after_help = EXAMPLES)]
struct Arguments {}

const EXAMPLES: &str = "\
Examples:
  which versions of the specification it speaks:
    echo '{\"cniVersion\":\"1.1.0\"}' | CNI_COMMAND=VERSION multiplane
  whether it could serve an ADD now:
    CNI_COMMAND=STATUS multiplane < telecom.conf
  attach a pod's planes, as a runtime does:
    CNI_COMMAND=ADD CNI_CONTAINERID=c1 CNI_NETNS=/run/netns/c1 CNI_IFNAME=eth0 multiplane < telecom.conf
Log level: MULTIPLANE_LOG=error|warn|info|debug|trace, on stderr; default warn.";

fn main() -> ExitCode {
    // A runtime's umask of 077 would close /run/multiplane to the proxy's user, who reads its bootstrap below it.
    nix::sys::stat::umask(Mode::S_IWGRP | Mode::S_IWOTH);
    panic::install();
    log::install();
    let variables = std::env::vars_os().collect();
    match serve(&variables, stdin()) {
        Answer::Done(None) => ExitCode::SUCCESS,
        Answer::Done(Some(output)) => print(&output),
        Answer::Failed(object) => {
            print(&object);
            ExitCode::FAILURE
        }
        Answer::NotACall => introduce(),
    }
}

/// One write, so that a reader never sees half an object. A runtime that closed its end has no use for it.
fn print(value: &Value) -> ExitCode {
    let text = format!("{value}\n");
    match stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "write to stdout");
            ExitCode::FAILURE
        }
    }
}

fn introduce() -> ExitCode {
    let Arguments {} = Arguments::parse();
    let about = concat!("CNI multiplane plugin v", env!("CARGO_PKG_VERSION"));
    let versions = Version::list();
    tell(&format!("{about}\nCNI protocol versions supported: {versions}\n"));
    ExitCode::SUCCESS
}

/// To stderr, as the reference plugins do: stdout belongs to CNI.
fn tell(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
