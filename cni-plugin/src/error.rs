//! Everything that can fail in a call. Codes are not here but in `spec/error.rs`.

use crate::spec::Version;
use crate::spec::env::EnvError;
use crate::spec::stdin::StdinError;
use crate::state::StateError;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// The configuration as the protocol reads it.
    #[error(transparent)]
    Stdin(#[from] StdinError),
    /// A verb that the configuration's version does not have.
    #[error("cniVersion {version} does not have {verb}: use {since} or newer")]
    TooOldFor {
        /// The configuration's version.
        version: Version,
        /// The verb.
        verb: &'static str,
        /// The first version that has it.
        since: Version,
    },
    /// Saved state.
    #[error(transparent)]
    State(#[from] StateError),
}

/// An error, and what could not be undone after it: the first is never hidden by the others.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong first.
    pub error: Error,
    /// What went wrong while undoing.
    pub undo: Vec<Error>,
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: error.into(), undo: Vec::new() }
    }
}
