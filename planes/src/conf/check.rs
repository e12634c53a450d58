//! What only shows when the whole catalogue is read: names that stand twice or nowhere, planes that would share a device
//! of the node and so be one plane.

use super::{KindConf, NetConf, PlaneConf};
use crate::fields::ConfError;
use crate::name::PlaneName;

/// Every plane is declared once, and every plane that is named is declared.
pub(super) fn names(conf: &NetConf) -> Result<(), ConfError> {
    for (number, plane) in conf.planes.iter().enumerate() {
        if conf.planes[..number].iter().any(|other| other.name == plane.name) {
            return Err(error(number, "name", &plane.name, "is declared twice".to_owned()));
        }
    }
    for (field, list) in [("default", &conf.default), ("always", &conf.always)] {
        for (number, name) in list.iter().enumerate() {
            declared(conf, field, name)?;
            if list[..number].contains(name) {
                let cure = "stands twice; a pod attaches to a plane once";
                return Err(ConfError::invalid(format!("{field}[{number}]"), quoted(name), cure));
            }
        }
    }
    conf.primary.iter().try_for_each(|name| declared(conf, "primary", name))
}

fn declared(conf: &NetConf, field: &str, name: &PlaneName) -> Result<(), ConfError> {
    if conf.plane(name).is_some() { Ok(()) } else { Err(conf.unknown_plane(field, name)) }
}

/// No two planes on one device of the node: one bridge is one network, an interface has one bridge, and the kernel has one
/// VXLAN device per identifier.
pub(super) fn fixtures(conf: &NetConf) -> Result<(), ConfError> {
    for (number, plane) in conf.planes.iter().enumerate() {
        for other in &conf.planes[..number] {
            if let Some((key, value)) = shared(plane, other) {
                let cure = format!("plane {} has it already, and two planes on it would be one", other.name);
                return Err(error(number, key, value, cure));
            }
        }
    }
    Ok(())
}

/// The key and value by which two planes are one.
fn shared(one: &PlaneConf, other: &PlaneConf) -> Option<(&'static str, String)> {
    let (mine, theirs) = (one.kind.bridge(), other.kind.bridge());
    let (Some(mine), Some(theirs)) = (mine, theirs) else { return None };
    // VLANs keep planes of one bridge apart
    if mine.bridge == theirs.bridge
        && (mine.vlan == theirs.vlan || mine.vlan.is_none() || theirs.vlan.is_none())
    {
        return Some(("bridge", mine.bridge.to_string()));
    }
    if mine.bridge != theirs.bridge && mine.uplink.is_some() && mine.uplink == theirs.uplink {
        return mine.uplink.as_ref().map(|uplink| ("uplink", uplink.to_string()));
    }
    let (KindConf::Vxlan(mine), KindConf::Vxlan(theirs)) = (&one.kind, &other.kind) else { return None };
    if mine.vni == theirs.vni && mine.port == theirs.port {
        return Some(("vni", mine.vni.to_string()));
    }
    (mine.device == theirs.device).then(|| ("device", mine.device.to_string()))
}

fn quoted(text: impl AsRef<str>) -> String {
    format!("{:?}", text.as_ref())
}

fn error(number: usize, key: &str, value: impl AsRef<str>, cure: String) -> ConfError {
    ConfError::invalid(format!("planes[{number}].{key}"), quoted(value), cure)
}
