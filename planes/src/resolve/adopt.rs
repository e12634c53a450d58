//! Interfaces that another plugin made: matched to a declared plane by name, subnet or MAC, else named after themselves.

use super::{FoundInterface, Request, ask::Ask, undeclared};
use crate::conf::{KindConf, MatchConf, NetConf, PlaneConf};
use crate::fields::ConfError;
use crate::name::IfName;
use crate::plan::PlannedAttachment;
use crate::pod_network::{Role, Traffic};

/// The primary that an earlier plugin made. Captured like any plane unless a declared one says otherwise.
pub(super) fn primary(conf: &NetConf, request: &Request<'_>) -> Result<PlannedAttachment, ConfError> {
    let found = request.found.iter().find(|found| found.name == request.key.ifname).ok_or_else(|| {
        let cure = "no such interface is up in the pod; the plugin before us in the chain must make it";
        ConfError::invalid("CNI_IFNAME", format!("{:?}", request.key.ifname.as_str()), cure)
    })?;
    match claimant(conf, found) {
        Some(plane) => declared(conf, request, plane, found, Role::Primary),
        None => Ok(undeclared(request, found, Role::Primary, Traffic::Capture)),
    }
}

/// What is in the pod besides the primary and the planes that were asked for, by name.
pub(super) fn rest(
    conf: &NetConf,
    request: &Request<'_>,
    attachments: &[PlannedAttachment],
) -> Result<Vec<PlannedAttachment>, ConfError> {
    // Those that were claimed are there already; one that stands where one of ours shall be is an error of its own.
    let is_new = |found: &&FoundInterface| !attachments.iter().any(|one| one.ifname == found.name);
    let mut found: Vec<&FoundInterface> = request.found.iter().filter(is_new).collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
        .into_iter()
        .map(|found| match claimant(conf, found) {
            Some(plane) => declared(conf, request, plane, found, Role::Plane),
            None => Ok(undeclared(request, found, Role::Undeclared, conf.undeclared)),
        })
        .collect()
}

/// The interface of an adopted plane that is asked for by name.
pub(super) fn ifname(plane: &PlaneConf, request: &Request<'_>, ask: &Ask) -> Result<IfName, ConfError> {
    let KindConf::Adopted(rule) = &plane.kind else {
        return Err(ConfError::invalid(ask.field.clone(), "", "is no adopted plane"));
    };
    if let Some(ifname) = &ask.ifname {
        let cure = "an adopted plane's interface has its name already; leave it out";
        return Err(ask.error(format!("{}.interface", ask.field), format!("{:?}", ifname.as_str()), cure));
    }
    let found = request.found.iter().find(|found| fits(rule, found));
    found.map(|found| found.name.clone()).ok_or_else(|| {
        let cure =
            "no interface in the pod matches this adopted plane; let us stand after the plugin that makes it";
        ask.error(ask.field.clone(), format!("{:?}", plane.name.as_str()), cure)
    })
}

fn claimant<'a>(conf: &'a NetConf, found: &FoundInterface) -> Option<&'a PlaneConf> {
    conf.planes.iter().find(|plane| match &plane.kind {
        KindConf::Adopted(rule) => fits(rule, found),
        KindConf::Bridge(_)
        | KindConf::Ptp
        | KindConf::Macvlan(_)
        | KindConf::Ipvlan(_)
        | KindConf::Vlan(_)
        | KindConf::Vxlan(_)
        | KindConf::HostDevice(_) => false,
    })
}

fn fits(rule: &MatchConf, found: &FoundInterface) -> bool {
    match rule {
        MatchConf::Name(name) => found.name == *name,
        MatchConf::Subnet(subnet) => found.addresses.iter().any(|address| subnet.contains(address.ip())),
        MatchConf::Mac(mac) => found.mac == Some(*mac),
    }
}

fn declared(
    conf: &NetConf,
    request: &Request<'_>,
    plane: &PlaneConf,
    found: &FoundInterface,
    role: Role,
) -> Result<PlannedAttachment, ConfError> {
    let ask = Ask::of_config("planes", &plane.name);
    let mut planned = super::attach(conf, request, &ask, role)?;
    planned.ifname = found.name.clone();
    planned.host_ifname = super::host_ifname(&request.key, &found.name, &plane.name);
    planned.default_route = role == Role::Primary;
    Ok(planned)
}
