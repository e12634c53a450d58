//! The overlay of one node: what differs from node to node while the network configuration stays the same file.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::RangeConf;
use super::ipam::range_sets;
use crate::fields::{ConfError, Fields};
use crate::name::{IfName, PlaneName};

/// `{"planes": {"media": {"ranges": […], "master": "ens5", "local": "192.0.2.1", "remotes": […]}}}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeConf {
    /// What differs, by plane.
    pub planes: Vec<NodePlane>,
}

/// What differs of one plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePlane {
    /// The plane.
    pub plane: PlaneName,
    /// This node's own ranges, in place of the plane's.
    pub ranges: Vec<(String, Vec<RangeConf>)>,
    /// This node's parent interface, in place of the plane's.
    pub master: Option<IfName>,
    /// This node's VXLAN tunnel address.
    pub local: Option<IpAddr>,
    /// The other nodes' tunnel addresses, in place of the plane's.
    pub remotes: Vec<IpAddr>,
}

impl NodeConf {
    /// Reads the overlay file.
    ///
    /// # Errors
    /// The first field that is unknown or cannot stand; paths start with `nodeConfig`.
    pub fn parse(conf: &Map<String, Value>) -> Result<Self, ConfError> {
        let mut fields = Fields::new("nodeConfig", conf);
        let mut planes = Vec::new();
        for (name, value) in fields.entries("planes")? {
            let path = format!("nodeConfig.planes.{}", crate::fields::cut(name));
            planes.push(plane(crate::fields::parse(&path, name)?, Fields::of(path, value)?)?);
        }
        fields.finish(|_| false)?;
        Ok(Self { planes })
    }

    /// What differs of that plane.
    #[must_use]
    pub fn plane(&self, name: &PlaneName) -> Option<&NodePlane> {
        self.planes.iter().find(|plane| plane.plane == *name)
    }
}

fn plane(plane: PlaneName, mut fields: Fields<'_>) -> Result<NodePlane, ConfError> {
    let overlay = NodePlane {
        plane,
        ranges: range_sets(&mut fields)?,
        master: fields.parsed("master")?,
        local: fields.parsed("local")?,
        remotes: fields.parsed_list("remotes")?,
    };
    fields.finish(|_| false)?;
    Ok(overlay)
}
