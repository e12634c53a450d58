//! The `proxy` object: whose traffic is captured, and where it goes.

use super::read::{port, word};
use crate::fields::{ConfError, Fields};

/// Whose traffic is captured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CapturedPods {
    /// Pods that say so, or that an injector marked.
    #[default]
    Annotated,
    /// Every pod.
    All,
    /// No pod.
    None,
}

/// How captured connections reach the proxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProxyMode {
    /// By `redirect`: the proxy asks the kernel for the original destination.
    #[default]
    Redirect,
}

/// The `proxy` object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyConf {
    /// Whose traffic is captured.
    pub pods: CapturedPods,
    /// How captured connections reach the proxy.
    pub mode: ProxyMode,
    /// The proxy's user.
    pub uid: u32,
    /// The proxy's group.
    pub gid: u32,
    /// Where captured inbound connections go.
    pub inbound_port: u16,
    /// Where captured outbound connections go.
    pub outbound_port: u16,
}

impl Default for ProxyConf {
    fn default() -> Self {
        Self {
            pods: CapturedPods::default(),
            mode: ProxyMode::default(),
            uid: 1337,
            gid: 1337,
            inbound_port: 15006,
            outbound_port: 15001,
        }
    }
}

pub(super) fn proxy(fields: &mut Fields<'_>) -> Result<ProxyConf, ConfError> {
    let Some(mut object) = fields.object("proxy")? else { return Ok(ProxyConf::default()) };
    let default = ProxyConf::default();
    let pods =
        [("annotated", CapturedPods::Annotated), ("all", CapturedPods::All), ("none", CapturedPods::None)];
    let conf = ProxyConf {
        pods: word(&mut object, "pods", &pods)?.unwrap_or_default(),
        mode: word(&mut object, "mode", &[("redirect", ProxyMode::Redirect)])?.unwrap_or_default(),
        uid: object.number("uid")?.unwrap_or(default.uid),
        gid: object.number("gid")?.unwrap_or(default.gid),
        inbound_port: port(&mut object, "inboundPort")?.unwrap_or(default.inbound_port),
        outbound_port: port(&mut object, "outboundPort")?.unwrap_or(default.outbound_port),
    };
    if conf.inbound_port == conf.outbound_port {
        let field = object.path("outboundPort");
        return Err(ConfError::invalid(
            field,
            conf.outbound_port,
            "must differ from inboundPort: one port for both loops",
        ));
    }
    object.finish(|_| false)?;
    Ok(conf)
}
