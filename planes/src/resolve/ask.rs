//! Which planes a pod gets, in which order, and what it asked of each.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Request;
use crate::annotation::{PlaneRequest, RequestedAddress};
use crate::conf::{KindConf, NetConf, PlaneConf, Select};
use crate::fields::ConfError;
use crate::mac::MacAddr;
use crate::name::{IfName, PlaneName};
use crate::plan::{IpamPlan, LinkPlan, PlannedAttachment};

/// One plane to attach: from the configuration (`always`, `default`) or from the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) field: String,
    /// `None` if the configuration asks, which is trusted.
    pub(super) dialect: Option<Select>,
    pub(super) plane: PlaneName,
    pub(super) ifname: Option<IfName>,
    pub(super) ips: Vec<RequestedAddress>,
    pub(super) mac: Option<MacAddr>,
    pub(super) default_route: Vec<IpAddr>,
    pub(super) labels: BTreeMap<String, String>,
}

/// `always` first, then what the pod asked for, or `default` if it carries no annotation. A plane that `always` gives
/// already and the pod asks for again is what the pod asked for.
pub(super) fn in_order(conf: &NetConf, asked: Option<Vec<PlaneRequest>>) -> Vec<Ask> {
    let asked: Vec<Ask> = match asked {
        Some(requests) => requests.into_iter().map(Ask::from).collect(),
        None => conf.default.iter().map(|plane| Ask::of_config("default", plane)).collect(),
    };
    let is_asked = |plane: &PlaneName| asked.iter().any(|ask| ask.plane == *plane);
    let mut always: Vec<Ask> = conf
        .always
        .iter()
        .filter(|plane| !is_asked(plane))
        .map(|plane| Ask::of_config("always", plane))
        .collect();
    always.extend(asked);
    always
}

/// Whether the plane is there already as the primary. A pod may name the primary's plane, but not make another one the
/// primary: only Knitter's annotation names `eth0` by custom, and means the interface that exists.
pub(super) fn is_primary(
    conf: &NetConf,
    ask: &Ask,
    primary: &PlannedAttachment,
    request: &Request<'_>,
) -> Result<bool, ConfError> {
    let names_primary = ask.ifname.as_ref() == Some(&request.key.ifname);
    let declared = conf.plane(&ask.plane);
    // an adopted primary without a rule is named after itself, as a declared plane may be by chance
    let is_adopted = matches!(primary.link, LinkPlan::Adopted);
    let is_same = declared.is_none_or(|plane| matches!(plane.kind, KindConf::Adopted(_)) == is_adopted);
    let is_it = ask.plane == primary.plane && is_same && (ask.ifname.is_none() || names_primary);
    let is_knitters = ask.dialect == Some(Select::Knitter) && request.chained && declared.is_none();
    if is_it || (names_primary && is_knitters) {
        return ask.refuse_to_shape_the_primary().map(|()| true);
    }
    if !names_primary {
        return Ok(false);
    }
    let cure = "is the pod's primary interface, which the node decides; choose another name";
    Err(ask.error(format!("{}.interface", ask.field), format!("{:?}", request.key.ifname.as_str()), cure))
}

impl Ask {
    pub(super) fn of_config(field: &str, plane: &PlaneName) -> Self {
        Self {
            field: field.to_owned(),
            dialect: None,
            plane: plane.clone(),
            ifname: None,
            ips: Vec::new(),
            mac: None,
            default_route: Vec::new(),
            labels: BTreeMap::new(),
        }
    }

    pub(super) fn error(&self, field: String, value: String, cure: impl Into<String>) -> ConfError {
        let error = ConfError::invalid(field, value, cure);
        if self.dialect.is_some() { error.in_annotation() } else { error }
    }

    pub(super) fn unknown(&self, conf: &NetConf) -> ConfError {
        let error = conf.unknown_plane(&self.field, &self.plane);
        if self.dialect.is_some() { error.in_annotation() } else { error }
    }

    /// The primary's address and MAC are what Kubernetes and other plugins know the pod by.
    fn refuse_to_shape_the_primary(&self) -> Result<(), ConfError> {
        let cure = "is for the node to choose on the pod's primary interface; leave it out";
        if let Some(mac) = self.mac {
            return Err(self.error(format!("{}.mac", self.field), mac.to_string(), cure));
        }
        match self.ips.first() {
            None => Ok(()),
            Some(ip) => Err(self.error(format!("{}.ips", self.field), ip.to_string(), cure)),
        }
    }

    /// What a pod cannot have of this plane.
    pub(super) fn refuse_what_the_kind_cannot(
        &self,
        plane: &PlaneConf,
        ipam: &IpamPlan,
    ) -> Result<(), ConfError> {
        if let Some(mac) = self.mac {
            let kind = match &plane.kind {
                KindConf::Ipvlan(_) => Some("an ipvlan plane shares its master's"),
                KindConf::HostDevice(_) => Some("a device of the node keeps its own"),
                KindConf::Adopted(_) => Some("an adopted interface keeps its own"),
                KindConf::Bridge(_)
                | KindConf::Ptp
                | KindConf::Macvlan(_)
                | KindConf::Vlan(_)
                | KindConf::Vxlan(_) => None,
            };
            if let Some(reason) = kind {
                let field = format!("{}.mac", self.field);
                return Err(self.error(field, mac.to_string(), format!("cannot be chosen: {reason}")));
            }
        }
        if let (Some(first), IpamPlan::None | IpamPlan::Delegated(_)) = (self.ips.first(), ipam) {
            let cure = "addresses cannot be asked for on this plane; its IPAM chooses them";
            return Err(self.error(format!("{}.ips", self.field), first.to_string(), cure));
        }
        self.refuse_foreign_default_route(ipam)
    }

    /// A pod chooses which plane has its default route, not by which gateway.
    fn refuse_foreign_default_route(&self, ipam: &IpamPlan) -> Result<(), ConfError> {
        let embedded = match ipam {
            IpamPlan::Embedded(embedded) => embedded,
            // another IPAM tells the gateway only when it is asked
            IpamPlan::Delegated(_) => return Ok(()),
            IpamPlan::None => return self.refuse_default_route("the plane has no gateway of ours"),
        };
        let gateways: Vec<IpAddr> = embedded.gateways().map(|gateway| gateway.ip()).collect();
        let Some(foreign) = self.default_route.iter().find(|gateway| !gateways.contains(gateway)) else {
            return Ok(());
        };
        let list: Vec<String> = gateways.iter().map(ToString::to_string).collect();
        if list.is_empty() {
            return self.refuse_default_route("the plane has no gateway");
        }
        let cure = format!("the plane's gateway is {}", list.join(", "));
        Err(self.error(format!("{}.default-route", self.field), foreign.to_string(), cure))
    }

    fn refuse_default_route(&self, cure: &str) -> Result<(), ConfError> {
        match self.default_route.first() {
            None => Ok(()),
            Some(gateway) => {
                Err(self.error(format!("{}.default-route", self.field), gateway.to_string(), cure))
            }
        }
    }
}
