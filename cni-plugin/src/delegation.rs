//! Planes whose addresses another IPAM plugin gives (CNI SPEC 1.1.0, section 4, "Plugin delegation").
//!
//! A plugin gets the configuration that we got, rewritten so that each plane is a network of its own: reference
//! plugins keep their leases by network name, container ID and interface name, and the same subnet may stand
//! on two planes.

use std::path::Path;
use std::time::Duration;

use ipam::delegate::{Given, Plugin, Subject};
use netlink::interface::Assigned;
use netlink::{Net, interface};
use planes::plan::{DelegatedIpam, IpamPlan, PlannedAttachment};
use planes::{Attachment, AttachmentKey, NetConf, PlaneName, Role};
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::leases::Addresses;
use crate::request;
use crate::scene::Scene;
use crate::spec::Input;
use crate::spec::env::Variables;
use crate::state::State;
use crate::undo::Step;

/// How long one plugin may take: less than ADD as a whole, so that it is named when it hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// STATUS must be answered in milliseconds where it can be, and never hold a runtime up.
const STATUS_PATIENCE: Duration = Duration::from_secs(2);

/// How IPAM plugins are called.
#[derive(Debug, Clone)]
pub struct Delegates {
    variables: Variables,
    conf: Map<String, Value>,
}

impl Delegates {
    /// Of this call.
    #[must_use]
    pub fn new(variables: &Variables, input: &Input) -> Self {
        Self { variables: variables.clone(), conf: input.conf.clone() }
    }

    fn plugin<'a>(&'a self, ipam: &'a DelegatedIpam) -> Result<Plugin<'a>, ipam::Error> {
        Ok(Plugin::find(&ipam.plugin, &self.variables, PATIENCE)?)
    }
}

impl Scene {
    /// Asks the IPAM plugins of this step for addresses. Their routes join the plan.
    ///
    /// # Errors
    /// The first plugin that fails.
    pub async fn delegate(&mut self, step: Step) -> Result<Addresses, Error> {
        let mut addresses = Addresses::default();
        for at in 0..self.planned().len() {
            let Some(ipam) = delegated(&self.planned()[at], step) else { continue };
            let given = self.ask(&self.planned()[at], ipam, step).await?;
            let planned = &mut self.record.plan.attachments[at];
            addresses.add(&planned.plane, given.addresses.iter().map(assigned));
            // the default route is the pod's affair, not an address plugin's
            planned.routes.extend(given.routes.into_iter().filter(|route| route.dst.prefix() > 0));
            if planned.dns.is_empty() {
                planned.dns = given.dns;
            }
        }
        Ok(addresses)
    }

    async fn ask(
        &self,
        planned: &PlannedAttachment,
        ipam: &DelegatedIpam,
        step: Step,
    ) -> Result<Given, Error> {
        if step == Step::LateDelegates {
            raise(self.pod()?, planned).await?;
        }
        let conf = config(&self.delegates.conf, self.key(), planned, ipam, None);
        let plugin = self.delegates.plugin(ipam)?;
        plugin.add(self.subject(planned), &conf).await.map_err(wrap)
    }

    /// Lets the IPAM plugins check their part.
    ///
    /// # Errors
    /// The first plugin that finds something.
    pub async fn check_delegates(&self) -> Result<(), Error> {
        for (planned, ipam) in self.delegating() {
            let made = self.record.network.iter().flat_map(|network| &network.attachments);
            let made = made.into_iter().find(|made| made.plane == planned.plane);
            let conf = config(&self.delegates.conf, self.key(), planned, ipam, made);
            let plugin = self.delegates.plugin(ipam)?;
            plugin.check(self.subject(planned), &conf).await.map_err(wrap)?;
        }
        Ok(())
    }

    /// Gives the addresses of this step back. A plugin that is not installed any more has nothing to give back to.
    pub(crate) async fn return_delegated(&self, step: Step) -> Vec<Error> {
        let mut errors = Vec::new();
        for (planned, ipam) in self.delegating().filter(|(planned, _)| delegated(planned, step).is_some()) {
            match self.delegates.plugin(ipam) {
                Ok(plugin) => {
                    let conf = config(&self.delegates.conf, self.key(), planned, ipam, None);
                    let returned = plugin.del(self.subject(planned), &conf).await;
                    // One that does not speak the configuration's version cannot have leased anything in it.
                    errors.extend(returned.err().filter(|error| !error.is_incompatible()).map(wrap));
                }
                Err(error) => tracing::warn!(%error, plane = %planned.plane, "addresses are not given back"),
            }
        }
        errors
    }

    fn delegating(&self) -> impl Iterator<Item = (&PlannedAttachment, &DelegatedIpam)> {
        self.planned().iter().filter_map(|planned| Some((planned, ipam_of(planned)?)))
    }

    fn subject<'a>(&'a self, planned: &'a PlannedAttachment) -> Subject<'a> {
        // a recorded path may lead to another pod's namespace by now
        let netns = if self.pod.is_some() { self.record.plan.netns.as_path() } else { Path::new("") };
        Subject { container: &self.key().container, netns, ifname: &planned.ifname, role: planned.role }
    }
}

/// Forwards GC: each plane's plugin hears of the interfaces that the attachments which are left have on it.
pub async fn forward_gc(state: &State, variables: &Variables, input: &Input) -> Vec<Error> {
    let Ok(conf) = NetConf::parse(&input.conf) else { return Vec::new() };
    let mut errors = Vec::new();
    for (plane, planned) in request::catalogue(&conf, &input.name) {
        let Ok(planned) = planned else { continue };
        let Some(ipam) = ipam_of(&planned) else { continue };
        let key = AttachmentKey {
            network: input.name.clone(),
            container: "none".parse().expect("a constant that is a container ID"),
            ifname: planned.ifname.clone(),
        };
        let mut conf = config(&input.conf, &key, &planned, ipam, None);
        conf["cni.dev/valid-attachments"] = valid_on(state, input, &plane);
        let forwarded = match Plugin::find(&ipam.plugin, variables, PATIENCE) {
            Ok(plugin) => plugin.gc(&conf).await,
            Err(error) => Err(error),
        };
        errors.extend(forwarded.err().map(wrap));
    }
    errors
}

fn wrap(error: ipam::delegate::Error) -> Error {
    ipam::Error::from(error).into()
}

fn valid_on(state: &State, input: &Input, plane: &PlaneName) -> Value {
    let keys = state.keys(&input.name).unwrap_or_default();
    let records = keys.iter().filter_map(|key| state.load(key).ok().flatten());
    let attachments = records.flat_map(|record| {
        let container = record.plan.key.container.clone();
        record.plan.attachments.into_iter().map(move |planned| (container.clone(), planned))
    });
    attachments
        .filter(|(_, planned)| planned.plane == *plane)
        .map(|(container, planned)| json!({ "containerID": container, "ifname": planned.ifname }))
        .collect()
}

/// Why a plane's IPAM plugin could not serve an ADD, if so.
pub async fn refusal(planned: &PlannedAttachment, variables: &Variables, input: &Input) -> Option<Error> {
    let ipam = ipam_of(planned)?;
    let mut conf = input.conf.clone();
    conf.insert("ipam".into(), Value::Object(ipam.conf.clone()));
    let status = match Plugin::find(&ipam.plugin, variables, STATUS_PATIENCE) {
        Ok(plugin) => plugin.status(&Value::Object(conf)).await,
        Err(error) => Err(error),
    };
    status.err().map(wrap)
}

/// An address plugin that speaks over the link needs it up.
async fn raise(pod: &Net, planned: &PlannedAttachment) -> Result<(), Error> {
    Ok(interface::raise(pod, &planned.ifname).await?)
}

fn assigned(given: &ipam::delegate::GivenAddress) -> Assigned {
    Assigned { address: given.address, gateway: given.gateway }
}

fn ipam_of(planned: &PlannedAttachment) -> Option<&DelegatedIpam> {
    match &planned.ipam {
        IpamPlan::Delegated(ipam) => Some(ipam),
        IpamPlan::Embedded(_) | IpamPlan::None => None,
    }
}

/// The plugin of a plane, if it is asked in this step: `dhcp` asks from inside the pod, all others need no link.
fn delegated(planned: &PlannedAttachment, step: Step) -> Option<&DelegatedIpam> {
    let when = |ipam: &DelegatedIpam| {
        if ipam.plugin.as_str() == "dhcp" { Step::LateDelegates } else { Step::Delegates }
    };
    ipam_of(planned).filter(|ipam| when(ipam) == step)
}

/// The configuration for the plugin's stdin.
fn config(
    ours: &Map<String, Value>,
    key: &AttachmentKey,
    planned: &PlannedAttachment,
    ipam: &DelegatedIpam,
    made: Option<&Attachment>,
) -> Value {
    let mut conf = ours.clone();
    conf.insert("name".into(), json!(format!("{}.{}", key.network, planned.plane)));
    conf.insert("ipam".into(), Value::Object(ipam.conf.clone()));
    if planned.role != Role::Primary {
        forget_primary(&mut conf);
    }
    // the chain's result says nothing about this plane; CHECK gets the plane's own
    conf.remove("prevResult");
    if let Some(made) = made {
        conf.insert("prevResult".into(), result_of(ours, made));
    }
    Value::Object(conf)
}

/// What the runtime asks for is asked for `CNI_IFNAME`: an address of the primary would be outside of a plane's ranges.
fn forget_primary(conf: &mut Map<String, Value>) {
    if let Some(Value::Object(runtime)) = conf.get_mut("runtimeConfig") {
        ["ips", "ipRanges", "mac"].into_iter().for_each(|key| drop(runtime.remove(key)));
    }
    if let Some(Value::Object(arguments)) = conf.get_mut("args").and_then(|args| args.get_mut("cni")) {
        ["ips", "mac"].into_iter().for_each(|key| drop(arguments.remove(key)));
    }
}

fn result_of(ours: &Map<String, Value>, made: &Attachment) -> Value {
    let version = ours.get("cniVersion").cloned().unwrap_or_default();
    let ips = made.addresses.iter().map(|address| {
        let family = if address.is_ipv4() { "4" } else { "6" };
        let mut ip = json!({ "address": address, "interface": 0, "version": family });
        if let Some(gateway) = made.gateways.iter().find(|gateway| address.contains(**gateway)) {
            ip["gateway"] = json!(gateway);
        }
        ip
    });
    let ips: Vec<Value> = ips.collect();
    json!({ "cniVersion": version, "interfaces": [{ "name": made.ifname }], "ips": ips, "dns": {} })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn ours() -> Map<String, Value> {
        let Value::Object(mut conf) = sample::conf() else { unreachable!("an object") };
        conf.insert("prevResult".into(), json!({"ips": []}));
        conf
    }

    fn ipam() -> DelegatedIpam {
        let Value::Object(conf) = json!({"type": "host-local", "subnet": "10.0.0.0/24"}) else {
            unreachable!("an object")
        };
        DelegatedIpam { plugin: "host-local".parse().unwrap(), conf }
    }

    #[test]
    fn each_plane_is_a_network_of_its_own_for_its_plugin() {
        let record = sample::record(false);
        let key = &record.plan.key;

        let confs: Vec<Value> = record
            .plan
            .attachments
            .iter()
            .map(|planned| config(&ours(), key, planned, &ipam(), None))
            .collect();

        assert_eq!(confs[0]["name"], "telecom.control");
        assert_eq!(confs[1]["name"], "telecom.media");
        assert_eq!(confs[0]["ipam"]["type"], "host-local");
        assert_eq!(confs[0].get("prevResult"), None);
        assert_eq!(confs[0]["cniVersion"], ours()["cniVersion"]);
    }

    #[test]
    fn what_is_asked_for_the_primary_is_not_asked_of_a_planes_plugin() {
        let record = sample::record(false);
        let mut ours = ours();
        ours.insert("runtimeConfig".into(), json!({"ips": ["10.0.0.2/24"], "ipRanges": [], "dns": {}}));
        ours.insert("args".into(), json!({"cni": {"ips": ["10.0.0.2"], "labels": []}}));
        for role in [Role::Primary, Role::Plane] {
            let planned = PlannedAttachment { role, ..record.plan.attachments[0].clone() };

            let conf = config(&ours, &record.plan.key, &planned, &ipam(), None);

            let asked =
                [&conf["runtimeConfig"], &conf["args"]["cni"]].map(|place| place.get("ips").is_some());
            assert_eq!(asked, [role == Role::Primary; 2], "{role:?}");
            let kept = conf["runtimeConfig"].get("dns").and(conf["args"]["cni"].get("labels"));
            assert!(kept.is_some(), "{conf}");
        }
    }

    #[test]
    fn dhcp_is_asked_over_the_link_and_all_others_before_it() {
        let mut planned = sample::record(false).plan.attachments.remove(0);
        for (plugin, step) in [("dhcp", Step::LateDelegates), ("host-local", Step::Delegates)] {
            planned.ipam = IpamPlan::Delegated(DelegatedIpam { plugin: plugin.parse().unwrap(), ..ipam() });

            assert!(delegated(&planned, step).is_some(), "{plugin}");
            let both = [Step::Delegates, Step::LateDelegates];
            assert_eq!(both.iter().filter(|step| delegated(&planned, **step).is_some()).count(), 1);
        }
    }
}
