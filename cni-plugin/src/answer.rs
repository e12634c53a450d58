//! What ADD prints: `prevResult` with our interfaces in a chain, a whole result alone.

use planes::conf::Report;
use planes::plan::LinkPlan;
use planes::{Attachment, PodNetwork, Role};
use serde_json::Value;

use crate::error::Error;
use crate::spec::Input;
use crate::spec::prev::Interface;
use crate::spec::result::{CniResult, Ip};
use crate::state::Record;

/// The result of an ADD.
///
/// # Errors
/// `prevResult` is no result, which was found out before anything was done.
pub fn result(network: &PodNetwork, record: &Record, report: Report, input: &Input) -> Result<Value, Error> {
    let made: Vec<&Attachment> = ours(network, record).collect();
    let interfaces: Vec<Interface> = made.iter().map(|attachment| interface(attachment, network)).collect();
    if let Some(prev) = input.prev_result()? {
        return Ok(prev.echo(input.version, &interfaces));
    }
    let primary = made.iter().find(|attachment| attachment.role == Role::Primary);
    let planned = record.plan.attachments.iter().find(|planned| planned.role == Role::Primary);
    let reported = made.iter().enumerate().filter(|(_, attachment)| is_reported(attachment, report));
    let result = CniResult {
        interfaces,
        ips: reported.flat_map(|(at, attachment)| ips(attachment, at)).collect(),
        routes: primary.map(|attachment| attachment.routes.clone()).unwrap_or_default(),
        dns: planned.map(|planned| planned.dns.clone()).unwrap_or_default(),
    };
    Ok(result.to_value(input.version))
}

/// CRI-O makes every address of a result an address of the pod, so the planes' stay out unless asked for.
fn is_reported(attachment: &Attachment, report: Report) -> bool {
    match report {
        Report::All => true,
        Report::Primary => attachment.role == Role::Primary,
    }
}

/// What we made; what is adopted stands in the result of whoever made it.
fn ours<'n>(network: &'n PodNetwork, record: &'n Record) -> impl Iterator<Item = &'n Attachment> {
    let made = |attachment: &&Attachment| {
        let mut planned = record.plan.attachments.iter();
        planned.any(|planned| planned.ifname == attachment.ifname && planned.link != LinkPlan::Adopted)
    };
    network.attachments.iter().filter(made)
}

fn interface(attachment: &Attachment, network: &PodNetwork) -> Interface {
    Interface {
        name: attachment.ifname.clone(),
        mac: attachment.mac,
        mtu: attachment.mtu,
        sandbox: network.netns.display().to_string(),
    }
}

fn ips(attachment: &Attachment, interface: usize) -> impl Iterator<Item = Ip> {
    attachment.addresses.iter().map(move |address| Ip {
        address: *address,
        gateway: attachment.gateways.iter().copied().find(|gateway| address.contains(*gateway)),
        interface,
    })
}
