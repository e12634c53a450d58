//! A plane's kind with its node's overlay becomes the link to make.

use data_encoding::BASE32_NOPAD;
use ipnetwork::IpNetwork;
use sha2::{Digest, Sha256};

use super::range::is_gateway;
use crate::conf::{BridgeConf, KindConf, NodePlane, PlaneConf, VxlanConf};
use crate::fields::ConfError;
use crate::name::{IfName, PlaneName};
use crate::plan::{
    BridgeLink, IpamPlan, IpvlanLink, LinkPlan, MacvlanLink, VlanLink, VxlanLink, VxlanRemotes,
};
use crate::pod_network::AttachmentKey;

/// The name of an attachment's end on the node: `mp` and 13 base32 characters (65 bits) of a hash, so that it follows from
/// the plan alone.
#[must_use]
pub fn host_ifname(key: &AttachmentKey, ifname: &IfName, plane: &PlaneName) -> IfName {
    let mut hash = Sha256::new();
    let parts =
        [key.network.as_str(), key.container.as_str(), key.ifname.as_str(), plane.as_str(), ifname.as_str()];
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let text = BASE32_NOPAD.encode(&hash.finalize()).to_ascii_lowercase();
    format!("mp{}", &text[..13]).parse().expect("15 letters and digits are an interface name")
}

pub(super) fn plan(plane: &PlaneConf, overlay: Option<&NodePlane>) -> Result<LinkPlan, ConfError> {
    let master = overlay.and_then(|overlay| overlay.master.clone());
    Ok(match &plane.kind {
        KindConf::Bridge(bridge) => {
            let mut link = bridge_link(bridge, plane);
            link.uplink = link.uplink.map(|uplink| master.unwrap_or(uplink));
            LinkPlan::Bridge(link)
        }
        KindConf::Ptp => LinkPlan::Ptp,
        KindConf::Macvlan(link) => LinkPlan::Macvlan(MacvlanLink {
            master: master.unwrap_or_else(|| link.master.clone()),
            mode: link.mode,
        }),
        KindConf::Ipvlan(link) => LinkPlan::Ipvlan(IpvlanLink {
            master: master.unwrap_or_else(|| link.master.clone()),
            mode: link.mode,
        }),
        KindConf::Vlan(link) => LinkPlan::Vlan(VlanLink {
            master: master.unwrap_or_else(|| link.master.clone()),
            vlan: link.vlan,
        }),
        KindConf::Vxlan(vxlan) => LinkPlan::Vxlan(vxlan_link(plane, vxlan, overlay)?),
        KindConf::HostDevice(link) => LinkPlan::HostDevice(link.clone()),
        KindConf::Adopted(_) => LinkPlan::Adopted,
    })
}

fn bridge_link(bridge: &BridgeConf, plane: &PlaneConf) -> BridgeLink {
    BridgeLink {
        bridge: bridge.bridge.clone(),
        bridge_mtu: plane.mtu,
        gateway_addresses: Vec::new(),
        uplink: bridge.uplink.clone(),
        hairpin: bridge.hairpin,
        isolated: bridge.isolated,
        vlan: bridge.vlan,
        forward: plane.forward,
    }
}

fn vxlan_link(
    plane: &PlaneConf,
    vxlan: &VxlanConf,
    overlay: Option<&NodePlane>,
) -> Result<VxlanLink, ConfError> {
    let local = overlay.and_then(|overlay| overlay.local).or(vxlan.local).ok_or_else(|| {
        let cure = "is missing: write this node's tunnel address here or in nodeConfig";
        ConfError::invalid(plane.field("local"), "", cure)
    })?;
    let remotes = match (&vxlan.remotes, overlay.map(|overlay| &overlay.remotes)) {
        (VxlanRemotes::Unicast(_), Some(own)) if !own.is_empty() => VxlanRemotes::Unicast(own.clone()),
        (remotes, _) => remotes.clone(),
    };
    let first = match &remotes {
        VxlanRemotes::Unicast(list) => list.iter().find(|remote| remote.is_ipv4() != local.is_ipv4()),
        VxlanRemotes::Group { address, .. } => {
            Some(address).filter(|group| group.is_ipv4() != local.is_ipv4())
        }
    };
    if let Some(other) = first {
        return Err(ConfError::invalid(
            plane.field("remotes"),
            other,
            format!("is of another family than local {local}"),
        ));
    }
    Ok(VxlanLink {
        bridge: bridge_link(&vxlan.bridge, plane),
        device: vxlan.device.clone(),
        vni: vxlan.vni,
        local,
        remotes,
        port: vxlan.port,
    })
}

/// A bridge that is the plane's gateway carries the gateways' addresses, with the prefix length of their subnet.
pub(super) fn with_gateways(mut link: LinkPlan, plane: &PlaneConf, ipam: &IpamPlan) -> LinkPlan {
    let (IpamPlan::Embedded(embedded), true) = (ipam, is_gateway(plane)) else { return link };
    let mut addresses: Vec<IpNetwork> = embedded.gateways().collect();
    addresses.dedup();
    match &mut link {
        LinkPlan::Bridge(bridge) => bridge.gateway_addresses = addresses,
        LinkPlan::Vxlan(vxlan) => vxlan.bridge.gateway_addresses = addresses,
        LinkPlan::Ptp
        | LinkPlan::Macvlan(_)
        | LinkPlan::Ipvlan(_)
        | LinkPlan::Vlan(_)
        | LinkPlan::HostDevice(_)
        | LinkPlan::Adopted => {}
    }
    link
}
