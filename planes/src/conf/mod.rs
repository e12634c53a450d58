//! The network configuration as written: one type per object, nothing decided yet. What is meant is decided in
//! [`mod@crate::resolve`].

mod bootstrap;
mod check;
mod ipam;
mod kind;
mod lenient;
mod node;
mod plane;
mod proxy;
mod read;
mod traffic;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use self::read::{path, traffic, word, word_of};
use crate::fields::{ConfError, Fields};
use crate::name::{NetworkName, PlaneName};
use crate::plan::BootstrapPlan;
use crate::pod_network::Traffic;

pub use ipam::{EmbeddedConf, IpamConf, RangeConf, Reach, StaticConf};
pub use kind::{BridgeConf, KindConf, MatchConf, VxlanConf};
pub use node::{NodeConf, NodePlane};
pub use plane::{MacConf, PlaneConf};
pub use proxy::{CapturedPods, ProxyConf, ProxyMode};

/// A CNI network configuration of type `multiplane`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetConf {
    /// The network's name.
    pub name: NetworkName,
    /// The catalogue of this node.
    pub planes: Vec<PlaneConf>,
    /// Planes of pods that ask for nothing.
    pub default: Vec<PlaneName>,
    /// Planes that every pod gets.
    pub always: Vec<PlaneName>,
    /// The plane that becomes the primary interface when nobody made one.
    pub primary: Option<PlaneName>,
    /// An overlay with what differs from node to node.
    pub node_config: Option<PathBuf>,
    /// Where state lies, on tmpfs.
    pub state_directory: PathBuf,
    /// Where sticky addresses lie, on disk.
    pub sticky_directory: PathBuf,
    /// What happens to interfaces that no plane claims.
    pub undeclared: Traffic,
    /// Which annotations are obeyed, in this order.
    pub select: Vec<Select>,
    /// Whose traffic is captured, and how.
    pub proxy: ProxyConf,
    /// The bootstrap to write, if any.
    pub bootstrap: Option<BootstrapPlan>,
    /// Whose addresses stand in the result of a standalone network.
    pub report: Report,
    /// How long one call may take in all.
    pub deadline: Duration,
    /// STATUS reports any plane that cannot be served, not only the primary's.
    pub strict: bool,
}

/// An annotation dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Select {
    /// `multiplane.dev/planes`.
    Multiplane,
    /// `k8s.v1.cni.cncf.io/networks`.
    Npwg,
    /// Knitter's `networks`.
    Knitter,
}

/// Whose addresses a standalone result carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Report {
    /// The primary's.
    #[default]
    Primary,
    /// All planes'.
    All,
}

/// Keys that the CNI specification or its conventions define (CNI SPEC 1.1.0, "Plugin configuration objects").
const RESERVED: &[&str] = &[
    "cniVersion",
    "cniVersions",
    "type",
    "args",
    "capabilities",
    "dns",
    "ipam",
    "ipMasq",
    "runtimeConfig",
    "prevResult",
    "disableCheck",
    "disableGC",
    "loadOnlyInlinedPlugins",
];

/// Where state lies unless the configuration says otherwise.
const STATE_DIRECTORY: &str = "/run/multiplane/networks";

fn state_directory(fields: &mut Fields<'_>) -> Result<PathBuf, ConfError> {
    Ok(path(fields, "stateDirectory")?.unwrap_or_else(|| STATE_DIRECTORY.into()))
}

impl NetConf {
    /// Reads what a runtime sends to the plugin.
    ///
    /// # Errors
    /// The first field that is unknown or cannot stand.
    pub fn parse(conf: &Map<String, Value>) -> Result<Self, ConfError> {
        let mut fields = Fields::new("", conf);
        fields.tolerate(RESERVED);
        let name = fields.parsed("name")?;
        let parsed = Self {
            name: fields.required("name", name, "every CNI network has a name")?,
            planes: planes(&mut fields)?,
            default: fields.parsed_list("default")?,
            always: fields.parsed_list("always")?,
            primary: fields.parsed("primary")?,
            node_config: path(&mut fields, "nodeConfig")?,
            state_directory: state_directory(&mut fields)?,
            sticky_directory: path(&mut fields, "stickyDirectory")?
                .unwrap_or_else(|| "/var/lib/multiplane".into()),
            undeclared: traffic(&mut fields, "undeclared")?.unwrap_or(Traffic::Bypass),
            select: select(&mut fields)?,
            proxy: proxy::proxy(&mut fields)?,
            bootstrap: bootstrap::bootstrap(&mut fields)?,
            report: report(&mut fields)?,
            deadline: deadline(&mut fields)?,
            strict: fields.flag("strict")?.unwrap_or(false),
        };
        fields.finish(|key| key.starts_with("cni.dev/"))?;
        check::names(&parsed)?;
        check::fixtures(&parsed)?;
        Ok(parsed)
    }

    /// Where state lies, also where the rest of the configuration is garbage; what cannot stand is as if it were absent.
    #[must_use]
    pub fn state_directory_of(conf: &Map<String, Value>) -> PathBuf {
        state_directory(&mut Fields::new("", conf)).unwrap_or_else(|_| STATE_DIRECTORY.into())
    }

    /// The declared plane of that name.
    #[must_use]
    pub fn plane(&self, name: &PlaneName) -> Option<&PlaneConf> {
        self.planes.iter().find(|plane| plane.name == *name)
    }

    /// The plane that becomes the primary where no other plugin made one.
    #[must_use]
    pub fn primary_plane(&self) -> Option<&PlaneName> {
        self.primary.as_ref().or(self.always.first()).or(self.default.first())
    }

    /// A plane that the catalogue does not have.
    pub(crate) fn unknown_plane(&self, field: &str, name: &PlaneName) -> ConfError {
        let known: Vec<&str> = self.planes.iter().map(|plane| plane.name.as_str()).collect();
        let cure = if known.is_empty() {
            "no such plane; this network declares none".to_owned()
        } else {
            format!("no such plane; this network declares {}", known.join(", "))
        };
        ConfError::invalid(field, format!("{:?}", name.as_str()), cure)
    }
}

fn planes(fields: &mut Fields<'_>) -> Result<Vec<PlaneConf>, ConfError> {
    fields
        .list("planes")?
        .into_iter()
        .map(|(path, value)| PlaneConf::parse(Fields::of(path, value)?))
        .collect()
}

fn select(fields: &mut Fields<'_>) -> Result<Vec<Select>, ConfError> {
    if fields.value("select").is_none() {
        return Ok(vec![Select::Multiplane]);
    }
    let words = [("multiplane", Select::Multiplane), ("npwg", Select::Npwg), ("knitter", Select::Knitter)];
    fields.list("select")?.into_iter().map(|(path, value)| word_of(&path, value, &words)).collect()
}

fn report(fields: &mut Fields<'_>) -> Result<Report, ConfError> {
    Ok(word(fields, "report", &[("primary", Report::Primary), ("all", Report::All)])?.unwrap_or_default())
}

fn deadline(fields: &mut Fields<'_>) -> Result<Duration, ConfError> {
    match fields.number::<u64>("deadline")? {
        None => Ok(Duration::from_secs(20)),
        Some(seconds @ 1..=100) => Ok(Duration::from_secs(seconds)),
        Some(other) => {
            let cure = "write 1 to 100 seconds: kubelet waits two minutes for a DEL";
            Err(ConfError::invalid(fields.path("deadline"), other, cure))
        }
    }
}

#[cfg(test)]
mod tests;
