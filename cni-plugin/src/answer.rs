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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::observe::observe;
    use crate::sample::{self, applied, created, interface};

    fn result(report: Report, prev: Option<Value>) -> Value {
        let chained = prev.is_some();
        let mut conf = sample::conf();
        conf["prevResult"] = prev.unwrap_or_default();
        let input = Input::parse(conf.to_string().as_bytes()).unwrap();
        let record = sample::record(chained);
        let found = vec![interface(2, "eth0", &["10.75.8.2/24"]), interface(3, "media", &["10.75.9.2/24"])];
        let applied = [applied(&["10.75.8.1"]), applied(&[]), applied(&[])];
        let links = [created(2), created(if chained { 9 } else { 3 }), created(3)];
        let network = observe(&record, &links, &applied, found);
        super::result(&network, &record, report, &input).unwrap()
    }

    #[test]
    fn alone_the_primarys_addresses_stand_in_the_result_and_no_others() {
        let result = result(Report::Primary, None);

        assert_eq!(result["interfaces"].as_array().unwrap().len(), 2);
        assert_eq!(
            result["ips"],
            json!([{"address": "10.75.8.2/24", "gateway": "10.75.8.1", "interface": 0}])
        );
        assert_eq!(result["dns"], json!({"nameservers": ["10.75.8.1"]}));
    }

    #[test]
    fn all_addresses_are_reported_when_asked_for() {
        let result = result(Report::All, None);

        assert_eq!(result["ips"][1], json!({"address": "10.75.9.2/24", "interface": 1}));
    }

    #[test]
    fn in_a_chain_addresses_and_routes_are_the_earlier_plugins() {
        let prev = json!({
            "cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": "/run/netns/c1"}],
            "ips": [{"address": "10.244.0.5/24", "interface": 0}], "routes": [{"dst": "0.0.0.0/0"}]
        });

        let result = result(Report::All, Some(prev.clone()));

        assert_eq!(result["ips"], prev["ips"]);
        assert_eq!(result["routes"], prev["routes"]);
        assert_eq!(result["interfaces"][0], prev["interfaces"][0]);
        assert!(result["interfaces"].as_array().unwrap().len() > 1, "{result}");
    }
}
