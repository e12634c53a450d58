//! Answers on the wire. `DeltaDiscoveryResponse` again, but with its resources as ready-made bytes: an embedded
//! message and a byte string look the same on the wire, and bytes can be shared between all proxies.

use prost::Message;
use prost::bytes::Bytes;

use super::state::Answer;

/// `envoy.service.discovery.v3.DeltaDiscoveryResponse`, field by field.
#[derive(Clone, PartialEq, Message)]
pub struct Response {
    /// Each an encoded `Resource`.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub resources: Vec<Bytes>,
    /// Their type.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// To be repeated by the acknowledgement.
    #[prost(string, tag = "5")]
    pub nonce: String,
    /// Names of resources that are gone.
    #[prost(string, repeated, tag = "6")]
    pub removed_resources: Vec<String>,
}

impl From<Answer> for Response {
    fn from(answer: Answer) -> Self {
        Self {
            resources: answer.resources,
            type_url: answer.kind.type_url().to_owned(),
            nonce: answer.nonce,
            removed_resources: answer.removed.iter().map(ToString::to_string).collect(),
        }
    }
}
