//! Values that several objects share: paths, words, ports, prefixes.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use serde_json::Value;

use crate::fields::{ConfError, Fields, parse_value};
use crate::pod_network::Traffic;

/// An absolute path without `..`: what lies there is written and deleted by root.
pub(super) fn path(fields: &mut Fields<'_>, key: &'static str) -> Result<Option<PathBuf>, ConfError> {
    let Some(text) = fields.text(key)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    let path = PathBuf::from(text);
    let plain = path.is_absolute()
        && !text.contains('\0')
        && path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
    if plain {
        Ok(Some(path))
    } else {
        Err(ConfError::invalid(
            fields.path(key),
            format!("{text:?}"),
            "write an absolute path without \"..\"",
        ))
    }
}

/// One of a closed set of words.
pub(super) fn word<T: Copy>(
    fields: &mut Fields<'_>,
    key: &'static str,
    words: &[(&str, T)],
) -> Result<Option<T>, ConfError> {
    let path = fields.path(key);
    fields.value(key).map(|value| word_of(&path, value, words)).transpose()
}

pub(super) fn word_of<T: Copy>(path: &str, value: &Value, words: &[(&str, T)]) -> Result<T, ConfError> {
    let found = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
    found.map(|(_, meant)| *meant).ok_or_else(|| {
        let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        ConfError::invalid(path, value, format!("write one of {}", list.join(", ")))
    })
}

pub(super) fn traffic(fields: &mut Fields<'_>, key: &'static str) -> Result<Option<Traffic>, ConfError> {
    word(fields, key, &[("capture", Traffic::Capture), ("bypass", Traffic::Bypass), ("deny", Traffic::Deny)])
}

/// A port number from 1 to 65535.
pub(super) fn port(fields: &mut Fields<'_>, key: &'static str) -> Result<Option<u16>, ConfError> {
    match fields.number::<u16>(key)? {
        Some(0) => Err(ConfError::invalid(fields.path(key), 0, "write a port from 1 to 65535")),
        other => Ok(other),
    }
}

/// A prefix such as `10.76.0.0/16`, without host bits.
pub(super) fn prefix(fields: &mut Fields<'_>, key: &'static str) -> Result<Option<IpNetwork>, ConfError> {
    let path = fields.path(key);
    fields.value(key).map(|value| prefix_of(&path, value)).transpose()
}

/// A list of prefixes, in which an address alone is a host prefix.
pub(super) fn prefixes(fields: &mut Fields<'_>, key: &'static str) -> Result<Vec<IpNetwork>, ConfError> {
    let list = fields.list(key)?;
    list.into_iter()
        .map(|(path, value)| match value.as_str() {
            Some(text) if !text.contains('/') => parse_value::<IpAddr>(&path, value).map(IpNetwork::from),
            Some(_) | None => prefix_of(&path, value),
        })
        .collect()
}

pub(super) fn prefix_of(path: &str, value: &Value) -> Result<IpNetwork, ConfError> {
    let network: IpNetwork = parse_value(path, value)?;
    let has_length = value.as_str().is_some_and(|text| text.contains('/'));
    if !has_length || network.ip() != network.network() {
        let cure = format!(
            "write a prefix with its length and without host bits, for example {}/{}",
            network.network(),
            network.prefix()
        );
        return Err(ConfError::invalid(path, value, cure));
    }
    Ok(network)
}
