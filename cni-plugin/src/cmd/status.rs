//! STATUS: whether ADD could be served now (CNI SPEC 1.1.0, "STATUS").
//!
//! containerd asks every five seconds, and code 50 takes the whole node out of service within seconds: it is
//! said only when no ADD at all can succeed. A plane that cannot be served takes nobody down but the pods that
//! ask for it; it is a warning, unless the configuration is `strict`.

use netlink::{Net, Netns};
use planes::plan::{IpamPlan, LinkPlan, PlannedAttachment};
use planes::{IfName, NetConf, PlaneName};

use crate::delegation;
use crate::error::Error;
use crate::leases;
use crate::request;
use crate::spec::Input;
use crate::spec::env::Variables;
use crate::spec::error::chain;

/// Looks, touches nothing.
///
/// # Errors
/// Why no ADD can succeed.
pub async fn run(variables: &Variables, input: &Input) -> Result<(), Error> {
    let conf = NetConf::parse(&input.conf)?;
    if let Some(refusal) = request::state(input).refusal() {
        return Err(Error::NotAvailable { reasons: vec![refusal] });
    }
    let mut reasons = Vec::new();
    let host = Net::open(Netns::current()?)?;
    let needed = needed(&conf);
    for (plane, planned) in request::catalogue(&conf, &input.name) {
        let lacking = match planned {
            Ok(planned) => match lacking(&host, &planned).await? {
                Some(lacking) => Some(lacking),
                None => no_addresses(&planned, variables, input).await?,
            },
            Err(error) => Some(chain(&error)),
        };
        let Some(lacking) = lacking.map(|text| format!("plane {plane}: {text}")) else { continue };
        if conf.strict || needed.contains(&&plane) {
            reasons.push(lacking);
        } else {
            tracing::warn!("{lacking}");
        }
    }
    if reasons.is_empty() { Ok(()) } else { Err(Error::NotAvailable { reasons }) }
}

/// The planes without which no pod at all can be attached: those that every pod gets, and the primary.
fn needed(conf: &NetConf) -> Vec<&PlaneName> {
    conf.always.iter().chain(conf.primary_plane()).collect()
}

/// What a plane lacks on this node, if anything.
async fn lacking(host: &Net, planned: &PlannedAttachment) -> Result<Option<String>, Error> {
    let Some((role, ifname)) = parent(&planned.link) else { return Ok(None) };
    let found = host.link_by_name(ifname).await?;
    Ok(found.is_none().then(|| format!("{role} {:?} is no interface of this node", ifname.as_str())))
}

/// Why a plane has no address to give, if so.
async fn no_addresses(
    planned: &PlannedAttachment,
    variables: &Variables,
    input: &Input,
) -> Result<Option<String>, Error> {
    match &planned.ipam {
        IpamPlan::None => Ok(None),
        IpamPlan::Delegated(_) => {
            Ok(delegation::refusal(planned, variables, input).await.map(|error| chain(&error)))
        }
        IpamPlan::Embedded(ipam) => {
            let exhausted = leases::exhausted(&request::state(input), &input.name, ipam)?;
            Ok(exhausted.map(|ranges| format!("every address of {ranges} is leased")))
        }
    }
}

/// The interface of the node that a plane hangs on.
fn parent(link: &LinkPlan) -> Option<(&'static str, &IfName)> {
    match link {
        LinkPlan::Macvlan(link) => Some(("master", &link.master)),
        LinkPlan::Ipvlan(link) => Some(("master", &link.master)),
        LinkPlan::Vlan(link) => Some(("master", &link.master)),
        LinkPlan::Bridge(link) => link.uplink.as_ref().map(|uplink| ("uplink", uplink)),
        // a device in a pod is no longer on the node, and is no reason to complain
        LinkPlan::HostDevice(_) | LinkPlan::Vxlan(_) | LinkPlan::Ptp | LinkPlan::Adopted => None,
    }
}
