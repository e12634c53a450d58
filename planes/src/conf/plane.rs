//! One plane of the catalogue as written.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::read::{prefix, prefixes};
use super::{IpamConf, KindConf};
use crate::capture::Captured;
use crate::fields::{ConfError, Fields};
use crate::mac::MacAddr;
use crate::name::{IfName, PlaneName};
use crate::number::Mtu;
use crate::plan::Dns;
use crate::pod_network::{Route, Traffic};

/// A declared plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaneConf {
    /// Its name.
    pub name: PlaneName,
    /// Its kind with the kind's own keys.
    pub kind: KindConf,
    /// Name of the interface in the pod; the plane's name if it is not told.
    pub ifname: Option<IfName>,
    /// MTU in the pod and, for kinds with a bridge, of the bridge.
    pub mtu: Option<Mtu>,
    /// The Ethernet address.
    pub mac: MacConf,
    /// Where addresses come from.
    pub ipam: IpamConf,
    /// Further routes through the plane.
    pub routes: Vec<Route>,
    /// Name servers.
    pub dns: Dns,
    /// Interface sysctls, `ipv4.<name>` or `ipv6.<name>`.
    pub sysctls: BTreeMap<String, String>,
    /// What happens to the plane's traffic.
    pub traffic: Traffic,
    /// Which of its connections are captured, if they are.
    pub captured: Captured,
    /// Further addresses that the plane may receive.
    pub addresses: Vec<IpNetwork>,
    /// Whether the pod routes between this plane and others.
    pub forward: bool,
}

/// Which Ethernet address a plane's interfaces get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MacConf {
    /// The kernel's choice.
    #[default]
    Kernel,
    /// Derived from the pod's name, so that a restarted pod keeps it.
    Derived,
    /// This one.
    Fixed(MacAddr),
}

impl PlaneConf {
    /// How an error names one of the plane's keys where it no longer knows the plane's place in the file.
    pub(crate) fn field(&self, key: &str) -> String {
        format!("planes {:?} {key}", self.name.as_str())
    }

    pub(super) fn parse(mut fields: Fields<'_>) -> Result<Self, ConfError> {
        let name = fields.parsed("name")?;
        let name = fields.required("name", name, "write the plane's name, for example \"media\"")?;
        let (traffic, captured) = super::traffic::of_plane(&mut fields)?;
        let plane = Self {
            kind: kind(&mut fields, &name)?,
            name,
            ifname: fields.parsed("ifname")?,
            mtu: fields.number("mtu")?,
            mac: mac(&mut fields)?,
            ipam: IpamConf::parse(fields.object("ipam")?)?,
            routes: routes(&mut fields)?,
            dns: dns(&mut fields)?,
            sysctls: sysctls(&mut fields)?,
            traffic,
            captured,
            addresses: prefixes(&mut fields, "addresses")?,
            forward: fields.flag("forward")?.unwrap_or(false),
        };
        fields.finish(|_| false)?;
        Ok(plane)
    }
}

/// The kind, without what it cannot have.
fn kind(fields: &mut Fields<'_>, name: &PlaneName) -> Result<KindConf, ConfError> {
    let kind = KindConf::parse(fields, name)?;
    let (keys, reason): (&[&'static str], _) = match &kind {
        KindConf::Adopted(_) => (&["ifname", "mtu", "mac", "ipam"], "an adopted interface keeps what it has"),
        KindConf::Ipvlan(_) => (&["mac"], "an ipvlan interface has its master's"),
        KindConf::Bridge(_)
        | KindConf::Ptp
        | KindConf::Macvlan(_)
        | KindConf::Vlan(_)
        | KindConf::Vxlan(_)
        | KindConf::HostDevice(_) => (&[], ""),
    };
    for key in keys {
        if let Some(value) = fields.value(key) {
            return Err(ConfError::invalid(fields.path(key), value, format!("{reason}; remove it")));
        }
    }
    Ok(kind)
}

fn mac(fields: &mut Fields<'_>) -> Result<MacConf, ConfError> {
    match fields.text("mac")? {
        None | Some("" | "kernel") => Ok(MacConf::Kernel),
        Some("derived") => Ok(MacConf::Derived),
        Some(text) => crate::fields::parse(&fields.path("mac"), text).map(MacConf::Fixed),
    }
}

/// Routes in the CNI result's shape (CNI SPEC 1.1.0, `routes`).
pub(super) fn routes(fields: &mut Fields<'_>) -> Result<Vec<Route>, ConfError> {
    fields.list("routes")?.into_iter().map(|(path, value)| route(Fields::of(path, value)?)).collect()
}

fn route(mut fields: Fields<'_>) -> Result<Route, ConfError> {
    let dst = prefix(&mut fields, "dst")?;
    let route = Route {
        dst: fields.required("dst", dst, "write a prefix, for example 10.76.0.0/16")?,
        gw: fields.parsed("gw")?,
        mtu: fields.number("mtu")?,
        advmss: fields.number("advmss")?,
        priority: fields.number("priority")?,
    };
    if route.gw.is_some_and(|gw: IpAddr| gw.is_ipv4() != route.dst.is_ipv4()) {
        return Err(ConfError::invalid(fields.path("gw"), "", "is of another family than dst"));
    }
    if route.dst.prefix() == 0 {
        let cure =
            "a default route is not written here: give the plane a gateway; pods ask with default-route";
        return Err(ConfError::invalid(fields.path("dst"), route.dst, cure));
    }
    fields.finish(|_| false)?;
    Ok(route)
}

fn dns(fields: &mut Fields<'_>) -> Result<Dns, ConfError> {
    let Some(mut object) = fields.object("dns")? else { return Ok(Dns::default()) };
    let servers: Vec<IpAddr> = object.parsed_list("nameservers")?;
    let dns = Dns {
        nameservers: servers.iter().map(ToString::to_string).collect(),
        domain: object.text("domain")?.map(ToOwned::to_owned),
        search: object.parsed_list("search")?,
        options: object.parsed_list("options")?,
    };
    object.finish(|_| false)?;
    Ok(dns)
}

fn sysctls(fields: &mut Fields<'_>) -> Result<BTreeMap<String, String>, ConfError> {
    let mut sysctls = BTreeMap::new();
    for (name, value) in fields.texts("sysctls")? {
        let word =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let known = name.strip_prefix("ipv4.").or_else(|| name.strip_prefix("ipv6.")).is_some_and(word);
        let field = format!("{}.{}", fields.path("sysctls"), crate::fields::cut(name));
        if !known {
            return Err(ConfError::invalid(field, "", "write ipv4.NAME or ipv6.NAME of an interface sysctl"));
        }
        if !word(value) || value.len() > 20 {
            return Err(ConfError::invalid(field, format!("{value:?}"), "write a number in quotes"));
        }
        sysctls.insert(name.to_owned(), value.to_owned());
    }
    Ok(sysctls)
}
