//! The network configuration as written: one type per object, nothing decided yet. What is meant is decided in
//! [`mod@crate::resolve`].

mod ipam;
mod kind;
mod node;
mod plane;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::fields::{ConfError, Fields, parse_value};
use crate::name::{NetworkName, PlaneName};
use crate::plan::BootstrapFlavour;
use crate::pod_network::Traffic;

pub use ipam::{EmbeddedConf, IpamConf, RangeConf, Reach, StaticConf};
pub use kind::{BridgeConf, KindConf, MatchConf, VxlanConf};
pub use node::{NodeConf, NodePlane};
pub use plane::{MacConf, PlaneConf};

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
    pub bootstrap: Option<BootstrapConf>,
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

/// Whose traffic is captured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CapturedPods {
    /// Pods that say so, or that an injector marked.
    #[default]
    Annotated,
    /// Every pod.
    All,
    /// No pod.
    None,
}

/// The `proxy` object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyConf {
    /// Whose traffic is captured.
    pub pods: CapturedPods,
    /// The proxy's user.
    pub uid: u32,
    /// The proxy's group.
    pub gid: u32,
    /// Where captured inbound connections go.
    pub inbound_port: u16,
    /// Where captured outbound connections go.
    pub outbound_port: u16,
}

impl Default for ProxyConf {
    fn default() -> Self {
        Self {
            pods: CapturedPods::default(),
            uid: 1337,
            gid: 1337,
            inbound_port: 15006,
            outbound_port: 15001,
        }
    }
}

/// The `bootstrap` object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootstrapConf {
    /// Who shall understand the file.
    pub flavour: BootstrapFlavour,
    /// `host:port` of the control plane.
    pub discovery: String,
    /// Below it lies one directory per pod.
    pub directory: PathBuf,
    /// Downstream connections that the proxy accepts in all.
    pub max_connections: u32,
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
            state_directory: path(&mut fields, "stateDirectory")?
                .unwrap_or_else(|| "/run/multiplane/networks".into()),
            sticky_directory: path(&mut fields, "stickyDirectory")?
                .unwrap_or_else(|| "/var/lib/multiplane".into()),
            undeclared: traffic(&mut fields, "undeclared")?.unwrap_or(Traffic::Bypass),
            select: select(&mut fields)?,
            proxy: proxy(&mut fields)?,
            bootstrap: bootstrap(&mut fields)?,
            report: report(&mut fields)?,
            deadline: deadline(&mut fields)?,
            strict: fields.flag("strict")?.unwrap_or(false),
        };
        fields.finish(|key| key.starts_with("cni.dev/"))?;
        parsed.check_names()?;
        Ok(parsed)
    }

    /// The declared plane of that name.
    #[must_use]
    pub fn plane(&self, name: &PlaneName) -> Option<&PlaneConf> {
        self.planes.iter().find(|plane| plane.name == *name)
    }

    fn check_names(&self) -> Result<(), ConfError> {
        for (number, plane) in self.planes.iter().enumerate() {
            if self.planes[..number].iter().any(|other| other.name == plane.name) {
                let field = format!("planes[{number}].name");
                return Err(ConfError::invalid(
                    field,
                    format!("{:?}", plane.name.as_str()),
                    "is declared twice",
                ));
            }
        }
        let lists = [("default", &self.default), ("always", &self.always)];
        let named = lists.iter().flat_map(|(field, list)| list.iter().map(move |name| (*field, name)));
        for (field, name) in named.chain(self.primary.iter().map(|name| ("primary", name))) {
            if self.plane(name).is_none() {
                return Err(self.unknown_plane(field, name));
            }
        }
        Ok(())
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

/// An absolute path without `..`: what lies there is written and deleted by root.
pub(crate) fn path(fields: &mut Fields<'_>, key: &'static str) -> Result<Option<PathBuf>, ConfError> {
    let Some(text) = fields.text(key)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    let path = PathBuf::from(text);
    let plain = path.is_absolute()
        && !text.contains('\0')
        && path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
    if plain {
        Ok(Some(path))
    } else {
        Err(ConfError::invalid(
            fields.path(key),
            format!("{text:?}"),
            "write an absolute path without \"..\"",
        ))
    }
}

/// One of a closed set of words.
pub(crate) fn word<T: Copy>(
    fields: &mut Fields<'_>,
    key: &'static str,
    words: &[(&str, T)],
) -> Result<Option<T>, ConfError> {
    let path = fields.path(key);
    fields.value(key).map(|value| word_of(&path, value, words)).transpose()
}

fn word_of<T: Copy>(path: &str, value: &Value, words: &[(&str, T)]) -> Result<T, ConfError> {
    let found = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
    found.map(|(_, meant)| *meant).ok_or_else(|| {
        let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        ConfError::invalid(path, value, format!("write one of {}", list.join(", ")))
    })
}

pub(crate) fn traffic(fields: &mut Fields<'_>, key: &'static str) -> Result<Option<Traffic>, ConfError> {
    word(fields, key, &[("capture", Traffic::Capture), ("bypass", Traffic::Bypass), ("deny", Traffic::Deny)])
}

fn select(fields: &mut Fields<'_>) -> Result<Vec<Select>, ConfError> {
    if fields.value("select").is_none() {
        return Ok(vec![Select::Multiplane]);
    }
    let words = [("multiplane", Select::Multiplane), ("npwg", Select::Npwg), ("knitter", Select::Knitter)];
    fields.list("select")?.into_iter().map(|(path, value)| word_of(&path, value, &words)).collect()
}

fn proxy(fields: &mut Fields<'_>) -> Result<ProxyConf, ConfError> {
    let Some(mut object) = fields.object("proxy")? else { return Ok(ProxyConf::default()) };
    let default = ProxyConf::default();
    let pods =
        [("annotated", CapturedPods::Annotated), ("all", CapturedPods::All), ("none", CapturedPods::None)];
    let conf = ProxyConf {
        pods: word(&mut object, "pods", &pods)?.unwrap_or_default(),
        uid: object.number("uid")?.unwrap_or(default.uid),
        gid: object.number("gid")?.unwrap_or(default.gid),
        inbound_port: port(&mut object, "inboundPort")?.unwrap_or(default.inbound_port),
        outbound_port: port(&mut object, "outboundPort")?.unwrap_or(default.outbound_port),
    };
    if conf.inbound_port == conf.outbound_port {
        let field = object.path("outboundPort");
        return Err(ConfError::invalid(
            field,
            conf.outbound_port,
            "must differ from inboundPort: one port for both loops",
        ));
    }
    object.finish(|_| false)?;
    Ok(conf)
}

/// A port number from 1 to 65535.
pub(crate) fn port(fields: &mut Fields<'_>, key: &'static str) -> Result<Option<u16>, ConfError> {
    match fields.number::<u16>(key)? {
        Some(0) => Err(ConfError::invalid(fields.path(key), 0, "write a port from 1 to 65535")),
        other => Ok(other),
    }
}

fn bootstrap(fields: &mut Fields<'_>) -> Result<Option<BootstrapConf>, ConfError> {
    let Some(mut object) = fields.object("bootstrap")? else { return Ok(None) };
    let discovery = object.text("discovery")?.filter(|text| !text.is_empty());
    let cure = "write HOST:PORT of the control plane, for example istiod.istio-system.svc:15010";
    let conf = BootstrapConf {
        flavour: word(&mut object, "flavour", &[("istio", BootstrapFlavour::Istio)])?.unwrap_or_default(),
        discovery: object.required("discovery", discovery, cure)?.to_owned(),
        directory: path(&mut object, "directory")?.unwrap_or_else(|| "/run/multiplane/pods".into()),
        max_connections: object.number("maxConnections")?.unwrap_or(20_000),
    };
    object.finish(|_| false)?;
    Ok(Some(conf))
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

/// A prefix such as `10.76.0.0/16`, without host bits.
pub(crate) fn prefix(path: &str, value: &Value) -> Result<ipnetwork::IpNetwork, ConfError> {
    let network: ipnetwork::IpNetwork = parse_value(path, value)?;
    let has_length = value.as_str().is_some_and(|text| text.contains('/'));
    if !has_length || network.ip() != network.network() {
        let cure = format!(
            "write a prefix with its length and without host bits, for example {}/{}",
            network.network(),
            network.prefix()
        );
        return Err(ConfError::invalid(path, value, cure));
    }
    Ok(network)
}

#[cfg(test)]
mod tests;
