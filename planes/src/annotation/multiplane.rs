//! `multiplane.dev/planes`: `control,media@med0`, or a JSON list of objects.

use std::collections::BTreeMap;

use super::{PLANES, PlaneRequest, is_json, json, short_items};
use crate::conf::Select;
use crate::fields::{self, ConfError, Fields, items};

pub(super) fn parse(text: &str) -> Result<Vec<PlaneRequest>, ConfError> {
    if is_json(text) {
        let value = json::parse(PLANES, text)?;
        items(PLANES, &value)?.into_iter().map(|(path, value)| object(Fields::of(path, value)?)).collect()
    } else {
        short_items(PLANES, text)?.into_iter().map(|(field, item)| short(field, item)).collect()
    }
}

fn short(field: String, item: &str) -> Result<PlaneRequest, ConfError> {
    let (plane, ifname) = match item.split_once('@') {
        Some((plane, ifname)) => (plane, Some(fields::parse(&field, ifname)?)),
        None => (item, None),
    };
    let plane = fields::parse(&field, plane)?;
    Ok(PlaneRequest {
        field,
        dialect: Select::Multiplane,
        plane,
        ifname,
        ips: Vec::new(),
        mac: None,
        default_route: Vec::new(),
        labels: BTreeMap::new(),
    })
}

fn object(mut fields: Fields<'_>) -> Result<PlaneRequest, ConfError> {
    let plane = fields.parsed("name")?;
    let request = PlaneRequest {
        field: fields.here(),
        dialect: Select::Multiplane,
        plane: fields.required("name", plane, "write the plane's name")?,
        ifname: fields.parsed("interface")?,
        ips: fields.parsed_list("ips")?,
        mac: fields.parsed("mac")?,
        default_route: fields.parsed_list("default-route")?,
        labels: BTreeMap::new(),
    };
    fields.finish(|_| false)?;
    Ok(request)
}
