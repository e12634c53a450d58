//! Other IPAM plugins, asked by the CNI protocol (CNI SPEC 1.1.0, section 4, "Plugin delegation").
//!
//! A plugin may hang, die, leave children, answer with megabytes or with nothing. Whatever it does, a call ends within
//! its patience, and no plugin outlives the call that started it: a lease that a leftover writes after our DEL is lost.

mod answer;
mod environment;
mod error;
mod exec;
mod orphan;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use planes::{ContainerId, IfName, PluginName, Role};
use serde_json::Value;

pub use self::answer::{Given, GivenAddress};
pub use self::error::{Error, Refusal};

/// The variables of a process, as a value.
pub type Variables = BTreeMap<OsString, OsString>;

/// What a DEL falls back to. Plugins that keep leases read none of what differs between them.
const OLDER_VERSIONS: [&str; 2] = ["1.0.0", "0.3.1"];

/// A verb of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Lease addresses.
    Add,
    /// Give them back.
    Del,
    /// See whether they are still leased.
    Check,
    /// Give back what no valid attachment has.
    Gc,
    /// See whether ADD could be served.
    Status,
}

impl Verb {
    /// As in `CNI_COMMAND`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which interface of which pod a plugin is asked about. A reference plugin keeps its leases by network name (of the
/// configuration), container ID and interface name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The container. Said outright: a GC that gives addresses back was called without one.
    pub container: &'a ContainerId,
    /// Path of the pod's namespace, as recorded; empty if it is not known.
    pub netns: &'a Path,
    /// The plane's interface in the pod.
    pub ifname: &'a IfName,
    /// Only the primary interface is what the runtime's `IP` and `MAC` in `CNI_ARGS` are about.
    pub role: Role,
}

/// A plugin that is installed.
#[derive(Debug, Clone)]
pub struct Plugin<'a> {
    name: &'a PluginName,
    path: PathBuf,
    variables: &'a Variables,
    patience: Duration,
}

impl<'a> Plugin<'a> {
    /// Looks for the plugin in the directories of `CNI_PATH`, in order. `variables` are those that we were called with;
    /// `patience` bounds each call.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn find(name: &'a PluginName, variables: &'a Variables, patience: Duration) -> Result<Self, Error> {
        let directories = variables.get(&OsString::from("CNI_PATH")).cloned().unwrap_or_default();
        let path = std::env::split_paths(&directories)
            .filter(|directory| !directory.as_os_str().is_empty())
            .map(|directory| directory.join(name.as_str()))
            .find(|path| fs::metadata(path).is_ok_and(|found| found.is_file()))
            .ok_or_else(|| Error::Missing { plugin: name.clone(), directories })?;
        Ok(Self { name, path, variables, patience })
    }

    /// Leases addresses. Whether it succeeds or not, [`Plugin::del`] has to follow some day: at once after a failure, as
    /// the plugin may have leased something before it failed.
    ///
    /// # Errors
    /// The plugin's own, or what is wrong with it or its answer.
    pub async fn add(&self, subject: Subject<'_>, conf: &Value) -> Result<Given, Error> {
        let answer = self.call(Verb::Add, Some(subject), conf).await?;
        answer::given(self.name, &answer)
    }

    /// Gives the addresses back; succeeds if there are none. A plugin that does not know the version of `conf` is asked
    /// in older ones: the version may have been raised since ADD, and what was leased then would never come back.
    ///
    /// # Errors
    /// As [`Plugin::add`].
    pub async fn del(&self, subject: Subject<'_>, conf: &Value) -> Result<(), Error> {
        let mut returned = self.call(Verb::Del, Some(subject), conf).await;
        for older in OLDER_VERSIONS {
            if !returned.as_ref().is_err_and(Error::is_incompatible) {
                break;
            }
            let mut conf = conf.clone();
            conf["cniVersion"] = older.into();
            returned = self.call(Verb::Del, Some(subject), &conf).await;
        }
        returned.map(drop)
    }

    /// Looks whether the addresses are still leased.
    ///
    /// # Errors
    /// As [`Plugin::add`].
    pub async fn check(&self, subject: Subject<'_>, conf: &Value) -> Result<(), Error> {
        self.call(Verb::Check, Some(subject), conf).await.map(drop)
    }

    /// Gives back what no attachment in `cni.dev/valid-attachments` of `conf` has. A plugin that is older than the verb
    /// has nothing to say: no reference plugin knows it.
    ///
    /// # Errors
    /// As [`Plugin::add`].
    pub async fn gc(&self, conf: &Value) -> Result<(), Error> {
        self.call_if_known(Verb::Gc, conf).await
    }

    /// Asks whether an ADD could be served; a plugin that is older than the verb does not mind.
    ///
    /// # Errors
    /// As [`Plugin::add`].
    pub async fn status(&self, conf: &Value) -> Result<(), Error> {
        self.call_if_known(Verb::Status, conf).await
    }

    async fn call_if_known(&self, verb: Verb, conf: &Value) -> Result<(), Error> {
        match self.call(verb, None, conf).await {
            Err(error) if error.is_unknown_verb() => {
                tracing::debug!(plugin = %self.name, %verb, "is older than the verb");
                Ok(())
            }
            other => other.map(drop),
        }
    }

    async fn call(&self, verb: Verb, subject: Option<Subject<'_>>, conf: &Value) -> Result<Vec<u8>, Error> {
        tracing::debug!(plugin = %self.name, %verb, ifname = subject.map(|s| s.ifname.as_str()), "call");
        let environment = environment::of(self.variables, verb, subject);
        let call = exec::Call { plugin: self.name, path: &self.path, verb, patience: self.patience };
        let ended = call.run(environment, conf.to_string().into_bytes()).await?;
        if ended.status.success() {
            return Ok(ended.stdout);
        }
        Err(answer::refusal(self.name, verb, &ended))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
