//! The `proxy` object: whose traffic is captured, and where it goes.

use super::read::{port, word};
use crate::fields::{ConfError, Fields};
use crate::pod_network::{Layout, OtherMesh};

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
    /// How its listeners are laid out.
    pub layout: Layout,
    /// What is done where another mesh's chains are in the pod.
    pub other_mesh: OtherMesh,
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
            layout: Layout::default(),
            other_mesh: OtherMesh::default(),
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
    let layouts = [("split", Layout::Split), ("classic", Layout::Classic)];
    let other_mesh = [("warn", OtherMesh::Warn), ("refuse", OtherMesh::Refuse)];
    let layout = word(&mut object, "layout", &layouts)?.unwrap_or_default();
    let outbound_port = port(&mut object, "outboundPort")?.unwrap_or(default.outbound_port);
    let inbound_port = match layout {
        Layout::Split => default.inbound_port,
        Layout::Classic => outbound_port,
    };
    let conf = ProxyConf {
        pods: word(&mut object, "pods", &pods)?.unwrap_or_default(),
        mode: word(&mut object, "mode", &[("redirect", ProxyMode::Redirect)])?.unwrap_or_default(),
        layout,
        other_mesh: word(&mut object, "otherMesh", &other_mesh)?.unwrap_or_default(),
        uid: object.number("uid")?.unwrap_or(default.uid),
        gid: object.number("gid")?.unwrap_or(default.gid),
        inbound_port: port(&mut object, "inboundPort")?.unwrap_or(inbound_port),
        outbound_port,
    };
    if layout == Layout::Split && conf.inbound_port == conf.outbound_port {
        let field = object.path("outboundPort");
        return Err(ConfError::invalid(
            field,
            conf.outbound_port,
            "must differ from inboundPort: one port for both loops, but with \"layout\": \"classic\"",
        ));
    }
    object.finish(|_| false)?;
    Ok(conf)
}
