//! Whether a pod has a proxy, whose traffic is then captured.

use std::collections::BTreeMap;

use super::Proxy;
use crate::capture::CaptureOptions;
use crate::conf::{CapturedPods, ProxyConf};
use crate::fields::ConfError;

/// Says whether this pod has a proxy.
const PROXY: &str = "multiplane.dev/proxy";
/// The user that the pod's proxy runs as.
const PROXY_UID: &str = "multiplane.dev/proxy-uid";
/// Written by Istio's injector into pods that got a sidecar.
const INJECTED: &str = "sidecar.istio.io/status";
/// A pod's own word against injection.
const INJECT: &str = "sidecar.istio.io/inject";

pub(super) fn resolve(
    conf: &ProxyConf,
    annotations: &BTreeMap<String, String>,
) -> Result<Option<Proxy>, ConfError> {
    let wanted = is_wanted(annotations)?;
    let uid = uid(annotations)?;
    let options = CaptureOptions::parse(annotations)?;
    let has_proxy = match conf.pods {
        CapturedPods::All => true,
        CapturedPods::None => false,
        CapturedPods::Annotated => wanted,
    };
    Ok(has_proxy.then(|| Proxy {
        uids: vec![uid.unwrap_or(conf.uid)],
        gids: vec![conf.gid],
        inbound_port: conf.inbound_port,
        outbound_port: conf.outbound_port,
        layout: conf.layout,
        other_mesh: conf.other_mesh,
        options,
    }))
}

/// `disabled` and `inject: "false"` win over whatever else the pod carries.
fn is_wanted(annotations: &BTreeMap<String, String>) -> Result<bool, ConfError> {
    let own = match annotations.get(PROXY).map(String::as_str) {
        None => None,
        Some("enabled") => Some(true),
        Some("disabled") => Some(false),
        Some(other) => {
            let cure = "write enabled or disabled";
            return Err(ConfError::invalid(PROXY, format!("{other:?}"), cure).in_annotation());
        }
    };
    let refused = annotations.get(INJECT).is_some_and(|value| value == "false");
    Ok(own != Some(false) && !refused && (own == Some(true) || annotations.contains_key(INJECTED)))
}

/// A pod that named a system user could exempt that user's traffic from capture.
fn uid(annotations: &BTreeMap<String, String>) -> Result<Option<u32>, ConfError> {
    let Some(text) = annotations.get(PROXY_UID) else { return Ok(None) };
    match text.parse::<u32>() {
        Ok(uid @ 1000..) if uid != u32::MAX => Ok(Some(uid)),
        Ok(_) | Err(_) => {
            let cure = "write a user id from 1000 on; system users are refused";
            Err(ConfError::invalid(PROXY_UID, format!("{text:?}"), cure).in_annotation())
        }
    }
}
