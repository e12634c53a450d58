//! From what is written to what is meant: the one conversion in which defaults are applied and fields checked against one
//! another.

mod address;
mod adopt;
mod ask;
mod link;
mod proxy;
mod range;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;

use crate::annotation::{self, PlaneRequest};
use crate::capture::Captured;
use crate::conf::{MacConf, NetConf, NodeConf, PlaneConf};
use crate::fields::ConfError;
use crate::mac::MacAddr;
use crate::name::{IfName, PlaneName};
use crate::plan::{Dns, IpamPlan, LinkPlan, MacPlan, Plan, PlannedAttachment};
use crate::pod_network::{AttachmentKey, Pod, Proxy, Role, Traffic};

pub use link::host_ifname;

/// What is asked for, besides the configuration.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Which attachment this is.
    pub key: AttachmentKey,
    /// Path of the pod's namespace.
    pub netns: &'a Path,
    /// The pod, if the runtime told us.
    pub pod: Option<Pod>,
    /// The pod's annotations.
    pub annotations: &'a BTreeMap<String, String>,
    /// Whether an earlier plugin of the chain made the primary interface.
    pub chained: bool,
    /// The interfaces that stand in the pod already, but for the loopback.
    pub found: &'a [FoundInterface],
    /// The node's overlay.
    pub node: Option<&'a NodeConf>,
}

/// An interface that another plugin made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundInterface {
    /// Its name.
    pub name: IfName,
    /// Its Ethernet address.
    pub mac: Option<MacAddr>,
    /// Its addresses of global scope.
    pub addresses: Vec<IpNetwork>,
}

/// Decides everything about an ADD that does not need the kernel or the lease store.
///
/// # Errors
/// The first field of the configuration or annotation that cannot be served.
pub fn resolve(conf: &NetConf, request: &Request<'_>) -> Result<Plan, ConfError> {
    let namespace = request.pod.as_ref().map(|pod| pod.namespace.as_str());
    let asked = annotation::requests(&conf.select, request.annotations, namespace)?;
    let mut attachments = vec![primary(conf, request)?];
    for ask in ask::in_order(conf, asked) {
        if !ask::is_primary(conf, &ask, &attachments[0], request)? {
            refuse_twice(&ask, &attachments)?;
            let planned = attach(conf, request, &ask, Role::Plane)?;
            refuse_taken_name(&ask, &planned, request, &attachments)?;
            attachments.push(planned);
        }
    }
    attachments.extend(adopt::rest(conf, request, &attachments)?);
    settle_default_route(&mut attachments)?;
    Ok(Plan {
        key: request.key.clone(),
        netns: PathBuf::from(request.netns),
        pod: request.pod.clone(),
        proxy: proxy::resolve(&conf.proxy, request.annotations)?,
        attachments,
        undeclared: conf.undeclared,
        bootstrap: conf.bootstrap.clone(),
    })
}

/// The primary: found where another plugin made it, else the configured plane; never the annotation's choice.
fn primary(conf: &NetConf, request: &Request<'_>) -> Result<PlannedAttachment, ConfError> {
    if request.chained {
        return adopt::primary(conf, request);
    }
    let name = conf.primary_plane().ok_or_else(|| {
        let cure =
            "is missing: no plugin before us made the primary interface; name the plane that shall be it";
        ConfError::invalid("primary", "", cure)
    })?;
    let ask = ask::Ask::of_config("primary", name);
    let mut planned = attach(conf, request, &ask, Role::Primary)?;
    if matches!(planned.link, LinkPlan::Adopted) {
        let cure = "is an adopted plane, but no plugin before us made an interface";
        return Err(ConfError::invalid("primary", format!("{:?}", name.as_str()), cure));
    }
    planned.ifname = request.key.ifname.clone();
    planned.default_route = true;
    refuse_taken_name(&ask, &planned, request, &[])?;
    Ok(planned)
}

/// One plane that is asked for.
fn attach(
    conf: &NetConf,
    request: &Request<'_>,
    ask: &ask::Ask,
    role: Role,
) -> Result<PlannedAttachment, ConfError> {
    let plane = conf.plane(&ask.plane).ok_or_else(|| ask.unknown(conf))?;
    let overlay = request.node.and_then(|node| node.plane(&plane.name));
    let link = link::plan(plane, overlay)?;
    let ifname = match &link {
        LinkPlan::Adopted => adopt::ifname(plane, request, ask)?,
        _ => own_ifname(plane, ask)?,
    };
    let ipam = range::plan(plane, overlay, ask)?;
    ask.refuse_what_the_kind_cannot(plane, &ipam)?;
    let mut routes = plane.routes.clone();
    if let crate::conf::IpamConf::Embedded(embedded) = &plane.ipam {
        routes.extend(embedded.routes.iter().cloned());
    }
    Ok(PlannedAttachment {
        plane: plane.name.clone(),
        role,
        traffic: plane.traffic,
        captured: plane.captured.clone(),
        host_ifname: link::host_ifname(&request.key, &ifname, &plane.name),
        mac: mac(plane, request, ask, &ifname),
        ifname,
        mtu: plane.mtu,
        link: link::with_gateways(link, plane, &ipam),
        ipam,
        routes,
        default_route: !ask.default_route.is_empty(),
        dns: plane.dns.clone(),
        sysctls: plane.sysctls.clone(),
        extra_addresses: plane.addresses.clone(),
        forward: plane.forward,
        labels: ask.labels.clone(),
    })
}

fn own_ifname(plane: &PlaneConf, ask: &ask::Ask) -> Result<IfName, ConfError> {
    if let Some(ifname) = ask.ifname.as_ref().or(plane.ifname.as_ref()) {
        return Ok(ifname.clone());
    }
    plane.name.as_str().parse().map_err(|_| {
        let cure = "is too long or odd for an interface; write the plane's \"ifname\"";
        ConfError::invalid(plane.field("ifname"), "", cure)
    })
}

/// A derived address depends on the pod's name, not on the sandbox, so a restarted pod keeps it.
fn mac(plane: &PlaneConf, request: &Request<'_>, ask: &ask::Ask, ifname: &IfName) -> MacPlan {
    if let Some(mac) = ask.mac {
        return MacPlan::Fixed(mac);
    }
    match (plane.mac, &request.pod) {
        (MacConf::Fixed(mac), _) => MacPlan::Fixed(mac),
        (MacConf::Derived, Some(pod)) => {
            let network = request.key.network.as_str();
            let parts = [network, &pod.namespace, &pod.name, plane.name.as_str(), ifname.as_str()];
            MacPlan::Derived(MacAddr::derived(&parts))
        }
        (MacConf::Derived, None) | (MacConf::Kernel, _) => MacPlan::Kernel,
    }
}

/// An interface of another plugin without a plane of its own.
fn undeclared(
    request: &Request<'_>,
    found: &FoundInterface,
    role: Role,
    traffic: Traffic,
) -> PlannedAttachment {
    let plane = PlaneName::from_ifname(&found.name);
    PlannedAttachment {
        host_ifname: link::host_ifname(&request.key, &found.name, &plane),
        plane,
        role,
        traffic,
        captured: Captured::default(),
        ifname: found.name.clone(),
        link: LinkPlan::Adopted,
        mtu: None,
        mac: MacPlan::Kernel,
        ipam: IpamPlan::None,
        routes: Vec::new(),
        default_route: role == Role::Primary,
        dns: Dns::default(),
        sysctls: BTreeMap::new(),
        extra_addresses: Vec::new(),
        forward: false,
        labels: BTreeMap::new(),
    }
}

/// Leases and routes are a plane's, so a pod has a plane once.
fn refuse_twice(ask: &ask::Ask, attachments: &[PlannedAttachment]) -> Result<(), ConfError> {
    match attachments.iter().find(|one| one.plane == ask.plane) {
        None => Ok(()),
        Some(one) => {
            let cure = format!("the pod has this plane already, as {}; ask for a plane once", one.ifname);
            Err(ask.error(ask.field.clone(), format!("{:?}", ask.plane.as_str()), cure))
        }
    }
}

/// An interface of ours stands where none is.
fn refuse_taken_name(
    ask: &ask::Ask,
    planned: &PlannedAttachment,
    request: &Request<'_>,
    attachments: &[PlannedAttachment],
) -> Result<(), ConfError> {
    let made_by_us = !matches!(planned.link, LinkPlan::Adopted);
    let reason = if let Some(other) = attachments.iter().find(|other| other.ifname == planned.ifname) {
        format!("plane {} has that interface already", other.plane)
    } else if made_by_us && planned.ifname.as_str() == "lo" {
        "is the loopback".to_owned()
    } else if made_by_us && request.found.iter().any(|found| found.name == planned.ifname) {
        "exists in the pod already".to_owned()
    } else {
        return Ok(());
    };
    let cure = format!("{reason}; choose another name for plane {}", planned.plane);
    let field = if ask.dialect.is_some() {
        format!("{}.interface", ask.field)
    } else {
        format!("plane {} interface", planned.plane)
    };
    Err(ask.error(field, format!("{:?}", planned.ifname.as_str()), cure))
}

/// One default route: the primary's, unless the pod asked for another plane's.
fn settle_default_route(attachments: &mut [PlannedAttachment]) -> Result<(), ConfError> {
    let asked: Vec<String> = attachments
        .iter()
        .filter(|one| one.role == Role::Plane && one.default_route)
        .map(|one| one.plane.to_string())
        .collect();
    if asked.len() > 1 {
        let cure = "only one plane may carry the default route";
        return Err(ConfError::invalid("default-route", asked.join(", "), cure).in_annotation());
    }
    for one in attachments.iter_mut().filter(|one| one.role == Role::Primary) {
        one.default_route = asked.is_empty();
    }
    Ok(())
}

/// Two planes with the same own address cannot work: a reply could not know its plane.
///
/// # Errors
/// Names both planes and the address.
pub fn refuse_twins<'a>(addresses: impl Iterator<Item = (&'a PlaneName, IpAddr)>) -> Result<(), ConfError> {
    let mut seen: BTreeMap<IpAddr, &PlaneName> = BTreeMap::new();
    for (plane, address) in addresses {
        if let Some(other) = seen.insert(address, plane) {
            let cure =
                format!("plane {other} has the same address; give the planes' ranges different addresses");
            return Err(ConfError::invalid(format!("plane {plane} address"), address, cure));
        }
    }
    Ok(())
}

impl From<PlaneRequest> for ask::Ask {
    fn from(request: PlaneRequest) -> Self {
        Self {
            field: request.field,
            dialect: Some(request.dialect),
            plane: request.plane,
            ifname: request.ifname,
            ips: request.ips,
            mac: request.mac,
            default_route: request.default_route,
            labels: request.labels,
        }
    }
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
