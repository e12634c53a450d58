//! Envoy's `node`, as it came from a proxy that nobody has to trust, to what we know of it.

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Struct, Value as ProtoValue};
use planes::ProxyNode;
use planes::proxy_node::{INSTANCE_IPS, ISTIO_META_INSTANCE_IPS, NodeError, PLANES, REQUESTED_NETWORK_VIEW};
use prost::Message;
use serde_json::{Map, Number, Value};

/// Istio's agents send some kilobytes; labels and annotations can add to them.
const MAX_NODE_BYTES: usize = 256 << 10;
/// Everything that is read of the metadata; nothing else is even converted.
const READ: [&str; 5] = [INSTANCE_IPS, ISTIO_META_INSTANCE_IPS, "NAMESPACE", PLANES, REQUESTED_NETWORK_VIEW];

/// A node that is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeRefused {
    /// The first message of a stream must have one.
    #[error("first request has no node: set node.id to sidecar~IP~POD.NAMESPACE~DOMAIN")]
    Missing,
    /// It is larger than any honest one.
    #[error("node of {0} bytes: at most {MAX_NODE_BYTES}; drop metadata that nobody reads")]
    TooLarge(usize),
    /// It says something that cannot be understood.
    #[error(transparent)]
    Invalid(#[from] NodeError),
}

/// Reads a node.
///
/// # Errors
/// What cannot be understood, with the field.
pub fn read(node: Option<&Node>) -> Result<ProxyNode, NodeRefused> {
    let node = node.ok_or(NodeRefused::Missing)?;
    let size = node.encoded_len();
    if size > MAX_NODE_BYTES {
        return Err(NodeRefused::TooLarge(size));
    }
    let metadata = node.metadata.as_ref().map(metadata).unwrap_or_default();
    Ok(ProxyNode::parse(&node.id, &metadata)?)
}

fn metadata(metadata: &Struct) -> Map<String, Value> {
    let read = metadata.fields.iter().filter(|(key, _)| READ.contains(&key.as_str()));
    read.map(|(key, value)| (key.clone(), json(value))).collect()
}

/// As deep as the message was, which prost bounds when it decodes.
fn json(value: &ProtoValue) -> Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(*value),
        Some(Kind::NumberValue(value)) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
        Some(Kind::StringValue(value)) => Value::String(value.clone()),
        Some(Kind::ListValue(list)) => Value::Array(list.values.iter().map(json).collect()),
        Some(Kind::StructValue(object)) => {
            Value::Object(object.fields.iter().map(|(key, value)| (key.clone(), json(value))).collect())
        }
    }
}
