//! Everything that can fail in a call. Codes are not here but in `spec/error.rs`.

use std::path::PathBuf;

use planes::{AttachmentKey, IfName, Plan, PlaneName};

use crate::spec::Version;
use crate::spec::env::EnvError;
use crate::spec::stdin::StdinError;
use crate::spec::valid::ValidError;
use crate::state::StateError;
use crate::undo::Step;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// The configuration as the protocol reads it.
    #[error(transparent)]
    Stdin(#[from] StdinError),
    /// GC's list of valid attachments.
    #[error(transparent)]
    Valid(#[from] ValidError),
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
    /// The configuration or an annotation, as planes read it.
    #[error(transparent)]
    Conf(#[from] planes::ConfError),
    /// The node's overlay cannot be read.
    #[error("nodeConfig {}: write this node's overlay there, or take the key out", path.display())]
    NodeConf {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// `CNI_NETNS` leads to no namespace.
    #[error("CNI_NETNS {}: give the path of the pod's network namespace", path.display())]
    Netns {
        /// The path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: netlink::Error,
    },
    /// `CNI_NETNS` is the namespace that we run in.
    #[error("CNI_NETNS {} is the node's own namespace: give the pod's", path.display())]
    OwnNetns {
        /// The path.
        path: PathBuf,
    },
    /// A verb needs the pod, and its namespace is gone or another one.
    #[error("namespace {} is no longer the one that was attached: send DEL, then ADD", path.display())]
    NamespaceGone {
        /// The recorded path.
        path: PathBuf,
    },
    /// ADD for an attachment that lives.
    #[error("attachment {attachment} of network {network} exists: send DEL before another ADD")]
    Exists {
        /// `container@ifname`.
        attachment: String,
        /// The network.
        network: String,
    },
    /// Another attachment of ours has the namespace.
    #[error(
        "namespace {} belongs to attachment {owner} of network {network} already: let one multiplane entry attach all \
         planes of a pod", netns.display()
    )]
    Claimed {
        /// The namespace's path.
        netns: PathBuf,
        /// `container@ifname`.
        owner: String,
        /// Its network.
        network: String,
    },
    /// An interface of the pod stands where a plane's shall be.
    #[error("plane {plane}: interface {ifname:?} exists in the pod already; set another \"ifname\"", ifname = ifname.as_str())]
    NameTaken {
        /// The plane.
        plane: PlaneName,
        /// The name.
        ifname: IfName,
    },
    /// ADD took too long.
    #[error("gave up after {seconds} s while working on {}", step.map_or("the plan", Step::as_str))]
    Deadline {
        /// How long.
        seconds: u64,
        /// The step that did not end.
        step: Option<Step>,
    },
    /// A test asked for it.
    #[error("injected failure after {step}")]
    Injected {
        /// The step that was done.
        step: Step,
    },
    /// CHECK found differences.
    #[error("attachment {attachment} is no longer as ADD left it: {}", drifts.join("; "))]
    Drift {
        /// `container@ifname`.
        attachment: String,
        /// What differs.
        drifts: Vec<String>,
    },
    /// CHECK without the result of ADD.
    #[error("prevResult is missing: CHECK needs the result of ADD")]
    NoPrevResult,
    /// STATUS: no ADD can succeed.
    #[error("no pod can be attached: {}", reasons.join("; "))]
    NotAvailable {
        /// Why.
        reasons: Vec<String>,
    },
    /// Starting the runtime of asynchronous work.
    #[error("start the asynchronous runtime")]
    Runtime(#[source] std::io::Error),
    /// The kernel's networks.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    /// Leases and IPAM plugins.
    #[error(transparent)]
    Ipam(#[from] ipam::Error),
    /// The pod's rules.
    #[error(transparent)]
    Capture(#[from] iptables::Error),
    /// The pod's networks make no proxy.
    #[error(transparent)]
    Node(#[from] planes::proxy_node::NodeError),
    /// The bootstrap cannot be made.
    #[error(transparent)]
    Discovery(#[from] bootstrap_gen::DiscoveryError),
    /// The bootstrap's file.
    #[error(transparent)]
    Bootstrap(#[from] bootstrap_gen::Error),
    /// Saved state.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Error {
    /// ADD for an attachment that lives.
    #[must_use]
    pub fn exists(key: &AttachmentKey) -> Self {
        Self::Exists { attachment: key.name(), network: key.network.to_string() }
    }

    /// The pod is not there any more.
    #[must_use]
    pub fn namespace_gone(plan: &Plan) -> Self {
        Self::NamespaceGone { path: plan.netns.clone() }
    }
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
