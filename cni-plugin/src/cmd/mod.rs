//! One verb per file.

pub mod add;
pub mod check;
pub mod del;
pub mod gc;
pub mod status;
pub mod version;

use serde_json::Value;
use tokio::runtime::Builder;
use tracing::{Instrument, Span, error_span};

use crate::error::{Error, Failure};
use crate::spec::env::Variables;
use crate::spec::{Call, Input, Version};

/// Runs one verb; what it returns is printed.
///
/// # Errors
/// Whatever the verb could not do, and what could not be undone after it.
pub fn run(call: &Call, variables: &Variables, input: &Input) -> Result<Option<Value>, Failure> {
    check_age(call, input.version)?;
    // One thread: the work is waiting for the kernel, and threads cost memory and start-up time.
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let work = async {
        match call {
            Call::Add(call) => add::run(call, variables, input).await.map(Some),
            Call::Del(call) => del::run(call, variables, input).await.map(|()| None),
            Call::Check(call) => Ok(check::run(call, variables, input).await.map(|()| None)?),
            Call::Gc => gc::run(variables, input).await.map(|()| None),
            Call::Status => Ok(status::run(variables, input).await.map(|()| None)?),
            // answered before a configuration is read
            Call::Version => Ok(None),
        }
    };
    runtime.block_on(work.instrument(span(call, input)))
}

/// What every line of the log tells.
fn span(call: &Call, input: &Input) -> Span {
    let network = input.name.as_str();
    match call {
        Call::Add(of) => error_span!("ADD", network, container = %of.container, ifname = %of.ifname),
        Call::Del(of) => error_span!("DEL", network, container = %of.container, ifname = %of.ifname),
        Call::Check(of) => error_span!("CHECK", network, container = %of.container, ifname = %of.ifname),
        Call::Gc => error_span!("GC", network),
        Call::Status => error_span!("STATUS", network),
        Call::Version => Span::none(),
    }
}

/// Verbs that came later than the configuration's version (CNI SPEC 0.4.0 and 1.1.0).
fn check_age(call: &Call, version: Version) -> Result<(), Error> {
    let (verb, since) = match call {
        Call::Add(_) | Call::Del(_) | Call::Version => return Ok(()),
        Call::Check(_) => ("CHECK", Version::V040),
        Call::Gc => ("GC", Version::V110),
        Call::Status => ("STATUS", Version::V110),
    };
    if version < since { Err(Error::TooOldFor { version, verb, since }) } else { Ok(()) }
}
