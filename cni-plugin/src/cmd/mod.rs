//! One verb per file.

pub mod version;

use serde_json::Value;

use crate::error::{Error, Failure};
use crate::spec::env::Variables;
use crate::spec::{Call, Input, Version};

/// Runs one verb; what it returns is printed.
///
/// # Errors
/// Whatever the verb could not do, and what could not be undone after it.
pub fn run(call: &Call, _variables: &Variables, input: &Input) -> Result<Option<Value>, Failure> {
    check_age(call, input.version)?;
    Ok(None)
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
