//! `control-plane`: see the crate's library and docs/control-plane.md.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use control_plane::command::{Arguments, run};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(Arguments::parse(), &mut std::io::stdout()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let mut line = format!("control-plane: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(next) = cause {
                line.push_str(&format!(": {next}"));
                cause = next.source();
            }
            // Nobody is left to be told if standard error is closed.
            let _ = writeln!(std::io::stderr(), "{line}");
            ExitCode::from(error.code())
        }
    }
}
