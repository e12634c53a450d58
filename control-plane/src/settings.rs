//! What an operator may choose; the same for every proxy of one control plane.

use std::time::Duration;

use crate::matching::Match;

/// How listeners are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, clap::ValueEnum)]
pub enum Layout {
    /// As Istio today: inbound on 15006, outbound on 15001, chains by port and plane.
    #[default]
    Split,
    /// As in 2018: one port, 15001, and one unbound listener per served address.
    Classic,
}

/// Where a proxy sends what came in for its application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, clap::ValueEnum)]
pub enum Inbound {
    /// To the address that the client called, from 127.0.0.6 (or ::6): as Istio today.
    #[default]
    Original,
    /// To 127.0.0.1 (or `::1`): for applications that listen on loopback alone, as in 2018.
    Localhost,
}

/// What happens to calls of addresses and hosts that no service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, clap::ValueEnum)]
pub enum Outbound {
    /// They pass.
    #[default]
    AllowAny,
    /// They end in the proxy.
    RegistryOnly,
}

/// Whether proxies write a line per request or connection to their standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, clap::ValueEnum)]
pub enum AccessLog {
    /// They do; the line names the plane.
    #[default]
    On,
    /// They do not.
    Off,
}

/// Everything together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Settings {
    /// The layout of listeners.
    pub layout: Layout,
    /// Where inbound requests end.
    pub inbound: Inbound,
    /// What unknown destinations meet.
    pub outbound: Outbound,
    /// Whether there is an access log.
    pub access_log: AccessLog,
    /// Which addresses of a proxy are matched.
    pub which: Match,
}

/// Times of the server; tests shorten them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Silence in the registry's source that is waited for before a change is taken in.
    pub debounce: Duration,
    /// The longest such wait while changes keep coming.
    pub debounce_limit: Duration,
    /// HTTP/2 pings on silent connections.
    pub keepalive: Duration,
    /// How long streams may take to end after a stop was asked for.
    pub drain: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            debounce: Duration::from_millis(50),
            debounce_limit: Duration::from_secs(1),
            keepalive: Duration::from_secs(30),
            drain: Duration::from_secs(5),
        }
    }
}
