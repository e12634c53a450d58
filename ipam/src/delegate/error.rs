//! What can go wrong with another plugin.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use planes::PluginName;

use super::Verb;

/// An IPAM plugin did not do what it was asked for. Names the plugin and the verb.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not installed.
    #[error(
        "find IPAM plugin {plugin} in CNI_PATH {directories:?}: there is no such file; install the plugin or correct \
         the plane's \"ipam.type\""
    )]
    Missing {
        /// Its name.
        plugin: PluginName,
        /// Where we looked.
        directories: OsString,
    },
    /// It cannot be executed.
    #[error("start IPAM plugin {}", path.display())]
    Start {
        /// The binary.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Its pipes broke.
    #[error("talk to IPAM plugin {plugin} about {verb}")]
    Talk {
        /// Its name.
        plugin: PluginName,
        /// What it was asked.
        verb: Verb,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It did not end.
    #[error("IPAM plugin {plugin}: {verb} did not end within {patience:?} and was killed; see why it hangs")]
    Slow {
        /// Its name.
        plugin: PluginName,
        /// What it was asked.
        verb: Verb,
        /// How long we waited.
        patience: Duration,
    },
    /// It said no, in the protocol's words.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// Its answer is none.
    #[error(
        "IPAM plugin {plugin}: {verb} {what}; it wrote {text:?}: check that it is an IPAM plugin for CNI"
    )]
    Garbled {
        /// Its name.
        plugin: PluginName,
        /// What it was asked.
        verb: Verb,
        /// What is wrong.
        what: String,
        /// The beginning of what it wrote.
        text: String,
    },
    /// It succeeded without an address.
    #[error(
        "IPAM returned missing IP config: plugin {plugin} succeeded with no address; check the plane's \"ipam\""
    )]
    NoAddress {
        /// Its name.
        plugin: PluginName,
    },
}

/// An error object (CNI SPEC 1.1.0, section 5, "Error").
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("IPAM plugin {plugin}: {verb}: {msg}{}", details.as_ref().map(|text| format!("; {text}")).unwrap_or_default())]
pub struct Refusal {
    /// Who refuses.
    pub plugin: PluginName,
    /// What it was asked.
    pub verb: Verb,
    /// Its code, passed on as it is.
    pub code: u32,
    /// Its message.
    pub msg: String,
    /// More of it.
    pub details: Option<String>,
}

/// Invalid environment variables: the reference plugins' answer to a `CNI_COMMAND` that they do not know.
const UNKNOWN_COMMAND: u32 = 4;
/// Unknown container: their answer, where they are older than the verb, to a command that names none.
const UNKNOWN_CONTAINER: u32 = 3;
/// Incompatible version.
const INCOMPATIBLE: u32 = 1;

impl Error {
    /// What the plugin itself said, if it did.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Missing { .. }
            | Self::Start { .. }
            | Self::Talk { .. }
            | Self::Slow { .. }
            | Self::Garbled { .. }
            | Self::NoAddress { .. } => None,
        }
    }

    /// Whether a plugin is older than GC or STATUS that it was asked: it knows no such command, or no such version, or
    /// misses a container.
    #[must_use]
    pub fn is_unknown_verb(&self) -> bool {
        let codes = [UNKNOWN_COMMAND, UNKNOWN_CONTAINER, INCOMPATIBLE];
        self.refusal().is_some_and(|refusal| codes.contains(&refusal.code))
    }

    /// Whether the plugin does not know the configuration's version.
    #[must_use]
    pub fn is_incompatible(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.code == INCOMPATIBLE)
    }
}
