//! `k8s.v1.cni.cncf.io/networks` (Kubernetes Network Custom Resource Definition De-facto Standard v1.3, 4.1.2): a network
//! is a plane of our catalogue, its namespace the pod's own.

use std::collections::BTreeMap;

use super::{NPWG_NETWORKS, PlaneRequest, is_json, json, short_items};
use crate::conf::Select;
use crate::fields::{self, ConfError, Fields, items};

/// Keys of the standard that mean something which planes do not have: refused by name, as dropping them would give a pod
/// something else than it asked for.
const UNSERVED: &[&str] =
    &["infiniband-guid", "portMappings", "bandwidth", "cni-args", "ipam-claim-reference", "deviceID"];

pub(super) fn parse(text: &str, namespace: Option<&str>) -> Result<Vec<PlaneRequest>, ConfError> {
    let requests: Vec<PlaneRequest> = if is_json(text) {
        let value = json::parse(NPWG_NETWORKS, text)?;
        let list = items(NPWG_NETWORKS, &value)?;
        list.into_iter()
            .map(|(path, value)| object(Fields::of(path, value)?, namespace))
            .collect::<Result<_, _>>()?
    } else {
        let list = short_items(NPWG_NETWORKS, text)?;
        list.into_iter().map(|(field, item)| short(field, item, namespace)).collect::<Result<_, _>>()?
    };
    match requests.iter().filter(|request| !request.default_route.is_empty()).nth(1) {
        None => Ok(requests),
        Some(second) => {
            let field = format!("{}.default-route", second.field);
            Err(ConfError::invalid(field, "", "only one network may carry the default route"))
        }
    }
}

/// `[namespace/]name[@interface]`.
fn short(field: String, item: &str, namespace: Option<&str>) -> Result<PlaneRequest, ConfError> {
    let (name, ifname) = match item.split_once('@') {
        Some((name, ifname)) => (name, Some(fields::parse(&field, ifname)?)),
        None => (item, None),
    };
    let name = match name.split_once('/') {
        Some((given, name)) => {
            own_namespace(&field, given, namespace)?;
            name
        }
        None => name,
    };
    kubernetes_name(&field, name)?;
    let plane = fields::parse(&field, name)?;
    Ok(request(field, plane, ifname))
}

fn request(
    field: String,
    plane: crate::name::PlaneName,
    ifname: Option<crate::name::IfName>,
) -> PlaneRequest {
    PlaneRequest {
        field,
        dialect: Select::Npwg,
        plane,
        ifname,
        ips: Vec::new(),
        mac: None,
        default_route: Vec::new(),
        labels: BTreeMap::new(),
    }
}

fn object(mut fields: Fields<'_>, namespace: Option<&str>) -> Result<PlaneRequest, ConfError> {
    let name = fields.text("name")?;
    let name = fields.required("name", name, "write the network's name")?;
    kubernetes_name(&fields.path("name"), name)?;
    if let Some(given) = fields.text("namespace")? {
        own_namespace(&fields.path("namespace"), given, namespace)?;
    }
    for key in UNSERVED {
        if let Some(value) = fields.value(key) {
            let cure = "is not served for planes; remove it, or attach this network by Multus";
            return Err(ConfError::invalid(fields.path(key), value, cure));
        }
    }
    let plane = fields::parse(&fields.path("name"), name)?;
    let ifname = fields.parsed("interface")?;
    let request = PlaneRequest {
        ips: fields.parsed_list("ips")?,
        mac: fields.parsed("mac")?,
        default_route: fields.parsed_list("default-route")?,
        ..request(fields.here(), plane, ifname)
    };
    // Implementation-specific keys have a dot (v1.3, 4.1.2.1.11); they are others' business.
    fields.finish(|key| key.contains('.'))?;
    Ok(request)
}

/// Planes belong to the node's catalogue, which has no namespaces: only the pod's own is meant.
fn own_namespace(field: &str, given: &str, namespace: Option<&str>) -> Result<(), ConfError> {
    if namespace == Some(given) {
        Ok(())
    } else {
        let cure = "planes are no objects of a namespace; leave it out, or write the pod's own";
        Err(ConfError::invalid(field, format!("{given:?}"), cure))
    }
}

/// `^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`.
fn kubernetes_name(field: &str, name: &str) -> Result<(), ConfError> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let edge = |b: Option<&u8>| b.is_some_and(|b| *b != b'-');
    let bytes = name.as_bytes();
    if bytes.iter().all(|b| inner(*b)) && edge(bytes.first()) && edge(bytes.last()) {
        Ok(())
    } else {
        Err(ConfError::invalid(
            field,
            format!("{name:?}"),
            "a network's name has only a-z 0-9 - and no - at its ends",
        ))
    }
}
