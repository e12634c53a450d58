//! The CNI plugin `multiplane`: the protocol ([`spec`]), the verbs ([`cmd`]), the pipeline of ADD and what it
//! leaves for the other verbs ([`state`]).

#![forbid(unsafe_code)]

pub mod answer;
pub mod capture;
pub mod cmd;
pub mod delegation;
pub mod error;
pub mod leases;
pub mod log;
pub mod observe;
pub mod panic;
pub mod pipeline;
pub mod request;
pub mod retreat;
#[cfg(test)]
mod sample;
pub mod scene;
pub mod spec;
pub mod state;
pub mod undo;

use std::os::fd::AsFd;
use std::time::Duration;

use serde_json::Value;

use crate::error::Failure;
use crate::spec::env::{Variables, call};
use crate::spec::{Call, ErrorObject, Input, Version, stdin};

/// The longest that any call takes: kubelet gives a sandbox four minutes, and a plugin that hangs together
/// with a reload of the configuration takes containerd's node down.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a call prints, and whether it succeeded.
#[derive(Debug)]
pub enum Answer {
    /// Success, with or without something to print.
    Done(Option<Value>),
    /// Failure: an error object.
    Failed(Value),
    /// There is no `CNI_COMMAND`: a person called, not a runtime.
    NotACall,
}

/// Serves one call: reads, acts, and says what to print. Never writes to stdout itself.
pub fn serve(variables: &Variables, input: impl AsFd) -> Answer {
    let failed = |version, failure: Failure| Answer::Failed(ErrorObject::new(version, &failure).to_value());
    let call = match call(variables) {
        Ok(Some(Call::Version)) => return Answer::Done(Some(cmd::version::run(input))),
        Ok(Some(call)) => call,
        Ok(None) => return Answer::NotACall,
        Err(error) => return failed(Version::NEWEST, error.into()),
    };
    let input = match stdin::read(input, PATIENCE).and_then(|bytes| Input::parse(&bytes)) {
        Ok(input) => input,
        Err(error) => return failed(Version::NEWEST, error.into()),
    };
    match cmd::run(&call, variables, &input) {
        Ok(output) => Answer::Done(output),
        Err(failure) => failed(input.version, failure),
    }
}
