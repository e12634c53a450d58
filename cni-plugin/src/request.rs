//! From a call to what it means: the configuration, the pod as it is found, and the plan.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use netlink::{Net, Netns, identity};
use planes::conf::{KindConf, NodeConf};
use planes::plan::LinkPlan;
use planes::{
    AttachmentKey, FoundInterface, IfName, NetConf, NetworkName, Plan, PlaneName, PlannedAttachment, resolve,
};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::spec::{Input, Invocation};
use crate::state::{Record, State};

/// How long we wait for addresses of earlier plugins to settle: only an IPv6 address in duplicate detection
/// takes any time at all.
const SETTLE: Duration = Duration::from_secs(3);

/// An ADD that is understood, its pod looked at, nothing changed yet.
#[derive(Debug)]
pub struct Request {
    /// The configuration.
    pub conf: NetConf,
    /// What shall be.
    pub plan: Plan,
    /// The namespace's cookie.
    pub netns_cookie: u64,
    /// The pod's side.
    pub pod: Net,
    /// The node's side.
    pub host: Net,
}

/// Understands an ADD.
///
/// # Errors
/// Whatever in the call cannot be served; nothing was changed.
pub async fn plan(call: &Invocation, input: &Input) -> Result<Request, Error> {
    let conf = NetConf::parse(&input.conf)?;
    let chained = input.prev_result()?.is_some();
    let annotations = input.annotations()?;
    let node = node_conf(&conf)?;
    let netns = pod_namespace(call)?;
    let netns_cookie = netns.cookie()?;
    let pod = Net::open(netns)?;
    let found = found(&pod).await?;
    warn_if_too_early(call, &found);
    let request = planes::Request {
        key: key(call, input),
        netns: call.netns.as_deref().unwrap_or(Path::new("")),
        pod: call.args.pod.clone(),
        annotations: &annotations,
        chained,
        found: &found,
        node: node.as_ref(),
    };
    let plan = resolve(&conf, &request)?;
    Ok(Request { conf, plan, netns_cookie, pod, host: Net::open(Netns::current()?)? })
}

/// Opens the pod's namespace, which must not be ours: the planes of a pod on the node itself would take the
/// node's routes away.
fn pod_namespace(call: &Invocation) -> Result<Netns, Error> {
    let path = call.netns.clone().unwrap_or_default();
    let netns = match Netns::open(&path) {
        Ok(netns) => netns,
        Err(source) => return Err(Error::Netns { path, source }),
    };
    if !call.netns_override && netns.is_same(&Netns::current()?) {
        return Err(Error::OwnNetns { path });
    }
    Ok(netns)
}

async fn found(pod: &Net) -> Result<Vec<FoundInterface>, Error> {
    let interfaces = identity::enumerate(pod, Instant::now() + SETTLE).await?;
    let found = interfaces.into_iter().map(|interface| FoundInterface {
        name: interface.name,
        mac: interface.mac,
        addresses: interface.addresses,
    });
    Ok(found.collect())
}

/// Inside Multus' own delegates we see the primary alone: what Multus attaches later is not in the pod yet.
/// Multus tells of itself by keys that stand twice in `CNI_ARGS`.
fn warn_if_too_early(call: &Invocation, found: &[FoundInterface]) {
    if call.args.repeated && found.iter().all(|interface| interface.name == call.ifname) {
        tracing::warn!(
            ifname = %call.ifname,
            "called from inside Multus' delegates, before its other networks are attached: they will not be seen; \
             let multiplane stand after multus in the conflist"
        );
    }
}

/// Reads the overlay of this node, if one is named.
fn node_conf(conf: &NetConf) -> Result<Option<NodeConf>, Error> {
    let Some(path) = &conf.node_config else { return Ok(None) };
    let read = |path: &PathBuf| -> Result<Map<String, Value>, std::io::Error> {
        serde_json::from_slice(&std::fs::read(path)?).map_err(Into::into)
    };
    let map = read(path).map_err(|source| Error::NodeConf { path: path.clone(), source })?;
    Ok(Some(NodeConf::parse(&map)?))
}

/// The key of all state.
#[must_use]
pub fn key(call: &Invocation, input: &Input) -> AttachmentKey {
    AttachmentKey {
        network: input.name.clone(),
        container: call.container.clone(),
        ifname: call.ifname.clone(),
    }
}

/// The network's state, found also where the rest of the configuration is garbage.
#[must_use]
pub fn state(input: &Input) -> State {
    State::new(&NetConf::state_directory_of(&input.conf), &input.name)
}

/// What an attachment must have been, by the configuration of today: the record is lost.
#[must_use]
pub fn lost(key: AttachmentKey, call: Option<&Invocation>, input: &Input) -> Record {
    let conf = NetConf::parse_lenient(&input.conf);
    let attachments = conf.as_ref().map(|conf| guess(conf, &key, call, input)).unwrap_or_default();
    let plan = Plan {
        netns: call.and_then(|call| call.netns.clone()).unwrap_or_default(),
        pod: call.and_then(|call| call.args.pod.clone()),
        key,
        proxy: None,
        attachments,
        undeclared: planes::Traffic::Bypass,
        bootstrap: conf.and_then(|conf| conf.bootstrap),
    };
    Record::lost(plan)
}

/// Both as if alone and as if chained: a DEL after a failed ADD has no `prevResult` to tell.
fn guess(
    conf: &NetConf,
    key: &AttachmentKey,
    call: Option<&Invocation>,
    input: &Input,
) -> Vec<PlannedAttachment> {
    let annotations = input.annotations().unwrap_or_default();
    let node = node_conf(conf).ok().flatten();
    let primary = [FoundInterface { name: key.ifname.clone(), mac: None, addresses: Vec::new() }];
    let mut attachments: Vec<PlannedAttachment> = Vec::new();
    for found in [&primary[..], &[]] {
        let request = planes::Request {
            key: key.clone(),
            netns: Path::new(""),
            pod: call.and_then(|call| call.args.pod.clone()),
            annotations: &annotations,
            chained: !found.is_empty(),
            found,
            node: node.as_ref(),
        };
        let guessed = resolve(conf, &request).map(|plan| plan.attachments).unwrap_or_default();
        attachments.extend(guessed.into_iter().filter(|planned| planned.link != LinkPlan::Adopted));
    }
    attachments
}

/// Every plane of the catalogue that we make ourselves, as it would be attached to some pod, or why it cannot be.
#[must_use]
pub fn catalogue(
    conf: &NetConf,
    network: &NetworkName,
) -> Vec<(PlaneName, Result<PlannedAttachment, Error>)> {
    let made = conf.planes.iter().filter(|plane| !matches!(plane.kind, KindConf::Adopted(_)));
    made.map(|plane| (plane.name.clone(), for_anyone(conf, network, &plane.name))).collect()
}

/// A plane by itself, in a pod whose primary interface nobody would name so.
fn for_anyone(conf: &NetConf, network: &NetworkName, plane: &PlaneName) -> Result<PlannedAttachment, Error> {
    let ifname: IfName = "multiplane-none".parse().expect("a constant that is an interface name");
    let container = "none".parse().expect("a constant that is a container ID");
    let found = [FoundInterface { name: ifname.clone(), mac: None, addresses: Vec::new() }];
    let node = node_conf(conf)?;
    let request = planes::Request {
        key: AttachmentKey { network: network.clone(), container, ifname },
        netns: Path::new(""),
        pod: None,
        annotations: &BTreeMap::new(),
        chained: true,
        found: &found,
        node: node.as_ref(),
    };
    let alone = NetConf { always: vec![plane.clone()], default: Vec::new(), primary: None, ..conf.clone() };
    let plan = resolve(&alone, &request)?;
    let planned = plan.attachments.into_iter().find(|planned| planned.plane == *plane);
    Ok(planned.expect("a plane that every pod gets is in every plan"))
}
