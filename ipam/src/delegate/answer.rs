//! What a plugin wrote: addresses in the shape of any version of the specification, or an error object.

use std::net::IpAddr;
use std::str::FromStr;

use ipnetwork::IpNetwork;
use planes::plan::Dns;
use planes::{PluginName, Route};
use serde::Deserialize;

use super::exec::Ended;
use super::{Error, Refusal, Verb};

/// As much of a strange answer as a message can hold.
const SNIPPET: usize = 200;

/// What an ADD gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// At least one address.
    pub addresses: Vec<GivenAddress>,
    /// Routes through the plane.
    pub routes: Vec<Route>,
    /// Name servers.
    pub dns: Dns,
}

/// An address that a plugin leased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenAddress {
    /// Address and prefix length.
    pub address: IpNetwork,
    /// The subnet's gateway, if it has one.
    pub gateway: Option<IpAddr>,
}

/// A result as any version writes it: `ips` since 0.3.0, `ip4` and `ip6` before. What a Go plugin has none of, it
/// leaves out or writes as null.
#[derive(Deserialize)]
struct Wire {
    ips: Option<Vec<WireAddress>>,
    ip4: Option<WireOld>,
    ip6: Option<WireOld>,
    routes: Option<Vec<WireRoute>>,
    dns: Option<Dns>,
}

#[derive(Deserialize)]
struct WireAddress {
    address: String,
    gateway: Option<String>,
}

#[derive(Deserialize)]
struct WireOld {
    ip: String,
    gateway: Option<String>,
    routes: Option<Vec<WireRoute>>,
}

#[derive(Deserialize)]
struct WireRoute {
    dst: String,
    gw: Option<String>,
    mtu: Option<u32>,
    advmss: Option<u32>,
    priority: Option<u32>,
}

/// An error object; one without a code is none.
#[derive(Deserialize)]
struct WireRefusal {
    code: u32,
    #[serde(default)]
    msg: String,
    details: Option<String>,
}

/// Reads the answer to an ADD that succeeded.
pub(super) fn given(plugin: &PluginName, stdout: &[u8]) -> Result<Given, Error> {
    let garbled = |what: String| Error::Garbled {
        plugin: plugin.clone(),
        verb: Verb::Add,
        what: format!("succeeded, but {what}"),
        text: snippet(stdout),
    };
    let wire: Option<Wire> = serde_json::from_slice(stdout)
        .map_err(|error| garbled(format!("its result is no result: {error}")))?;
    let given = wire.map(read).transpose().map_err(garbled)?;
    given
        .filter(|given| !given.addresses.is_empty())
        .ok_or_else(|| Error::NoAddress { plugin: plugin.clone() })
}

fn read(wire: Wire) -> Result<Given, String> {
    let old = wire.ip4.into_iter().chain(wire.ip6).map(|old| {
        let address = WireAddress { address: old.ip, gateway: old.gateway };
        (address, old.routes.unwrap_or_default())
    });
    let (old_addresses, old_routes): (Vec<_>, Vec<_>) = old.unzip();
    let addresses = wire.ips.into_iter().flatten().chain(old_addresses).map(address);
    let routes = wire.routes.into_iter().flatten().chain(old_routes.into_iter().flatten()).map(route);
    Ok(Given {
        addresses: addresses.collect::<Result<_, _>>()?,
        routes: routes.collect::<Result<_, _>>()?,
        dns: wire.dns.unwrap_or_default(),
    })
}

fn address(wire: WireAddress) -> Result<GivenAddress, String> {
    let address = prefix("address", &wire.address)?;
    Ok(GivenAddress { address, gateway: hop("gateway", wire.gateway)? })
}

fn route(wire: WireRoute) -> Result<Route, String> {
    let WireRoute { dst, gw, mtu, advmss, priority } = wire;
    Ok(Route { dst: prefix("route", &dst)?, gw: hop("gw", gw)?, mtu, advmss, priority })
}

/// A prefix length is part of the protocol; without one, an address would become its own subnet.
fn prefix(what: &str, text: &str) -> Result<IpNetwork, String> {
    let parsed = IpNetwork::from_str(text).ok().filter(|_| text.contains('/'));
    parsed.ok_or_else(|| format!("its {what} {text:?} is no address with a prefix length"))
}

/// Go writes an address that it has not as an empty text.
fn hop(what: &str, text: Option<String>) -> Result<Option<IpAddr>, String> {
    let parse = |text: String| text.parse().map_err(|_| format!("its {what} {text:?} is no address"));
    text.filter(|text| !text.is_empty()).map(parse).transpose()
}

/// What a plugin that failed said.
pub(super) fn refusal(plugin: &PluginName, verb: Verb, ended: &Ended) -> Error {
    match serde_json::from_slice::<WireRefusal>(&ended.stdout) {
        Ok(WireRefusal { code, msg, details }) => {
            let details = details.filter(|text| !text.is_empty());
            Error::Refused(Box::new(Refusal { plugin: plugin.clone(), verb, code, msg, details }))
        }
        Err(_) => Error::Garbled {
            plugin: plugin.clone(),
            verb,
            what: format!("ended with {} and no error object", ended.status),
            text: snippet(&ended.stdout),
        },
    }
}

fn snippet(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(SNIPPET).collect()
}
