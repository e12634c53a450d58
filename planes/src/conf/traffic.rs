//! `traffic` of a plane: one word for all of it, or one for each direction.

use serde_json::Value;

use super::read::word;
use crate::capture::{Captured, MAX_ITEMS, PortRange, Scope};
use crate::fields::{ConfError, Fields, parse};
use crate::pod_network::Traffic;

/// Reads `"capture"`, `"bypass"`, `"deny"`, or `{"in": …, "out": …, "inPorts": […], "outPorts": […]}`.
pub(super) fn of_plane(fields: &mut Fields<'_>) -> Result<(Traffic, Captured), ConfError> {
    let Some(Value::Object(directions)) = fields.value("traffic") else {
        let whole = super::read::traffic(fields, "traffic")?.unwrap_or_default();
        return Ok((whole, Captured::default()));
    };
    let mut directions = Fields::new(fields.path("traffic"), directions);
    let captured = Captured {
        inbound: direction(&mut directions, "in", "inPorts")?,
        outbound: direction(&mut directions, "out", "outPorts")?,
    };
    directions.finish(|_| false)?;
    if captured == (Captured { inbound: Scope::Nothing, outbound: Scope::Nothing }) {
        return Ok((Traffic::Bypass, Captured::default()));
    }
    Ok((Traffic::Capture, captured))
}

fn direction(fields: &mut Fields<'_>, key: &'static str, ports: &'static str) -> Result<Scope, ConfError> {
    if fields.value(key).is_some_and(|value| value == "deny") {
        let cure = "a plane is denied as a whole: write \"traffic\": \"deny\"";
        return Err(ConfError::invalid(fields.path(key), "\"deny\"", cure));
    }
    let is_captured = word(fields, key, &[("capture", true), ("bypass", false)])?.unwrap_or(true);
    let is_told = fields.value(ports).is_some();
    let list = fields.list(ports)?;
    match (is_captured, is_told) {
        (true, false) => Ok(Scope::All),
        (false, false) => Ok(Scope::Nothing),
        (false, true) => {
            let cure = format!("says which ports are captured, and {key:?} is bypass: remove one of them");
            Err(ConfError::invalid(fields.path(ports), "", cure))
        }
        (true, true) if list.is_empty() || list.len() > MAX_ITEMS => {
            let cure = format!("write 1 to {MAX_ITEMS} ports, or leave the key out to capture all of them");
            Err(ConfError::invalid(fields.path(ports), list.len(), cure))
        }
        (true, true) => {
            let ports = list.iter().map(|(path, value)| port_range(path, value)).collect::<Result<_, _>>()?;
            Ok(Scope::Ports(ports))
        }
    }
}

/// A port as a number, or a port or range as a text.
fn port_range(path: &str, value: &Value) -> Result<PortRange, ConfError> {
    match value {
        Value::Number(number) => parse(path, &number.to_string()),
        Value::String(text) => parse(path, text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(ConfError::invalid(path, value, crate::capture::PortRangeError.to_string()))
        }
    }
}
