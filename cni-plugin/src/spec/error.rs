//! Error objects (CNI SPEC 1.1.0, section 5, "Error") and the one place where codes are assigned.

use planes::ConfFault;
use serde_json::{Value, json};

use super::env::EnvError;
use super::stdin::StdinError;
use super::version::Version;
use crate::error::{Error, Failure};

/// Incompatible CNI version.
pub const INCOMPATIBLE_VERSION: u32 = 1;
/// Unsupported field in the network configuration; the message names key and value.
pub const UNSUPPORTED_FIELD: u32 = 2;
/// Invalid environment variables; the message names them.
pub const INVALID_ENVIRONMENT: u32 = 4;
/// I/O failure.
pub const IO_FAILURE: u32 = 5;
/// Failed to decode content.
pub const DECODE_FAILURE: u32 = 6;
/// Invalid network config.
pub const INVALID_CONFIG: u32 = 7;
/// Invalid network namespace: libcni's (`ErrInvalidNetNS`), not in the specification.
pub const INVALID_NETNS: u32 = 8;
/// Try again later.
pub const TRY_AGAIN: u32 = 11;
/// STATUS: no ADD can be served.
pub const NOT_AVAILABLE: u32 = 50;
/// ADD: the attachment exists.
pub const EXISTS: u32 = 100;
/// ADD: another attachment of ours has the namespace.
pub const CLAIMED: u32 = 101;
/// ADD: an interface of the pod has the name.
pub const NAME_TAKEN: u32 = 102;
/// CHECK: something differs.
pub const DRIFT: u32 = 103;
/// The kernel refused.
pub const KERNEL: u32 = 104;
/// Addresses could not be had or given back.
pub const ADDRESSES: u32 = 105;
/// The bootstrap could not be made, written or removed.
pub const BOOTSTRAP: u32 = 106;
/// Traffic capture could not be set up or taken down.
pub const CAPTURE: u32 = 107;
/// A defect of ours, as libcni's plugins call it.
pub const INTERNAL: u32 = 999;

/// What a failed call prints on stdout. A runtime shows `msg; details` to the pod's owner, as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorObject {
    /// The version to answer in.
    pub version: Version,
    /// The code.
    pub code: u32,
    /// Operation, object and cure.
    pub msg: String,
    /// The causes, and what could not be undone.
    pub details: String,
}

impl ErrorObject {
    /// Describes a failure to the runtime.
    #[must_use]
    pub fn new(version: Version, failure: &Failure) -> Self {
        let causes = causes(&failure.error);
        let undo = failure.undo.iter().map(|error| format!("could not undo: {}", chain(error)));
        let details: Vec<String> = causes.into_iter().chain(undo).collect();
        Self {
            version,
            code: code(&failure.error),
            msg: one_line(&failure.error.to_string()),
            details: one_line(&details.join("; ")),
        }
    }

    /// The object as JSON.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut object = json!({ "cniVersion": self.version.as_str(), "code": self.code, "msg": self.msg });
        if !self.details.is_empty() {
            object["details"] = json!(self.details);
        }
        object
    }
}

/// The code of an error.
#[must_use]
pub fn code(error: &Error) -> u32 {
    match error {
        Error::Env(error) => env_code(error),
        Error::Stdin(error) => stdin_code(error),
        Error::TooOldFor { .. } => INCOMPATIBLE_VERSION,
        Error::Conf(error) => conf_code(error.kind),
        Error::NodeConf { .. } => INVALID_CONFIG,
        Error::Valid(_) | Error::NoPrevResult => INVALID_CONFIG,
        Error::Netns { .. } => INVALID_ENVIRONMENT,
        Error::OwnNetns { .. } => INVALID_NETNS,
        Error::Deadline { .. } => TRY_AGAIN,
        // a plugin that refuses speaks the same language: its code is passed on
        Error::Ipam(error) if error.refusal().is_some() => {
            error.refusal().map_or(ADDRESSES, |said| said.code)
        }
        Error::Ipam(error) if error.is_exhausted() || error.is_locked() => TRY_AGAIN,
        Error::NotAvailable { .. } => NOT_AVAILABLE,
        Error::State(_) | Error::Runtime(_) => IO_FAILURE,
        Error::Exists { .. } => EXISTS,
        Error::Claimed { .. } => CLAIMED,
        Error::NameTaken { .. } => NAME_TAKEN,
        Error::Drift { .. } | Error::NamespaceGone { .. } => DRIFT,
        Error::Netlink(_) => KERNEL,
        Error::Ipam(_) => ADDRESSES,
        Error::Node(_) | Error::Discovery(_) | Error::Bootstrap(_) => BOOTSTRAP,
        Error::Capture(_) => CAPTURE,
        Error::Injected { .. } => INTERNAL,
    }
}

/// An unknown key is the specification's "unsupported field". What a pod asks for in vain is an invalid
/// configuration too: of the network as this pod would have it.
fn conf_code(fault: ConfFault) -> u32 {
    match fault {
        ConfFault::UnknownKey => UNSUPPORTED_FIELD,
        ConfFault::Invalid | ConfFault::Annotation => INVALID_CONFIG,
    }
}

fn env_code(error: &EnvError) -> u32 {
    match error {
        EnvError::Missing { .. }
        | EnvError::Command { .. }
        | EnvError::Name { .. }
        | EnvError::NotText { .. }
        | EnvError::Args(_) => INVALID_ENVIRONMENT,
    }
}

fn stdin_code(error: &StdinError) -> u32 {
    match error {
        StdinError::Read(_) | StdinError::TooLong | StdinError::Open { .. } => IO_FAILURE,
        StdinError::Decode(_) | StdinError::Shape { .. } => DECODE_FAILURE,
        StdinError::Version { .. } => INCOMPATIBLE_VERSION,
        StdinError::NoName | StdinError::Name(_) | StdinError::Prev(_) => INVALID_CONFIG,
    }
}

/// An error and its causes in one line, for logs and for what could not be undone.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    if let Some(causes) = causes(error) {
        text.push_str(": ");
        text.push_str(&causes);
    }
    text
}

fn causes(error: &dyn std::error::Error) -> Option<String> {
    let causes: Vec<String> =
        std::iter::successors(error.source(), |error| error.source()).map(ToString::to_string).collect();
    (!causes.is_empty()).then(|| causes.join(": "))
}

/// Events and node conditions are single lines, and texts of pods may hold anything.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(error: impl Into<Error>) -> Failure {
        Failure { error: error.into(), undo: Vec::new() }
    }

    #[test]
    fn an_object_has_the_callers_version_the_code_and_the_causes() {
        let error =
            EnvError::Name { variable: "CNI_IFNAME", source: "a/b".parse::<planes::IfName>().unwrap_err() };
        let object = ErrorObject::new(Version::V040, &failure(error)).to_value();

        assert_eq!(object["cniVersion"], "0.4.0");
        assert_eq!(object["code"], 4);
        assert_eq!(object["msg"], "CNI_IFNAME");
        assert!(object["details"].as_str().unwrap().contains("\"a/b\""), "{object}");
    }

    #[test]
    fn what_could_not_be_undone_follows_the_first_error() {
        let failure = Failure {
            error: StdinError::NoName.into(),
            undo: vec![EnvError::NotText { variable: "X" }.into()],
        };
        let object = ErrorObject::new(Version::V110, &failure);

        assert_eq!(object.code, 7);
        assert!(object.msg.starts_with("name is missing"), "{object:?}");
        assert!(object.details.starts_with("could not undo: X"), "{object:?}");
    }

    #[test]
    fn messages_are_single_lines() {
        let error = StdinError::Version { value: "a\nb".into() };

        assert!(!ErrorObject::new(Version::V110, &failure(error)).msg.contains('\n'));
    }
}
