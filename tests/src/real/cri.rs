//! The part of the Kubernetes container runtime interface that makes pod sandboxes: messages written by hand
//! from `cri-api/pkg/apis/runtime/v1/api.proto` (no protoc on the machine), and a blocking client.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::poll::PATIENCE;

/// `PodSandboxMetadata`.
#[derive(Clone, PartialEq, Message)]
pub struct PodSandboxMetadata {
    /// Pod name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Pod UID.
    #[prost(string, tag = "2")]
    pub uid: String,
    /// Pod namespace.
    #[prost(string, tag = "3")]
    pub namespace: String,
    /// How many sandboxes the pod had before.
    #[prost(uint32, tag = "4")]
    pub attempt: u32,
}

/// `PodSandboxConfig`, without what no test sets.
#[derive(Clone, PartialEq, Message)]
pub struct PodSandboxConfig {
    /// Who the pod is.
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<PodSandboxMetadata>,
    /// The pod's host name.
    #[prost(string, tag = "2")]
    pub hostname: String,
    /// Annotations: reach the plugin as `io.kubernetes.cri.pod-annotations`.
    #[prost(map = "string, string", tag = "7")]
    pub annotations: HashMap<String, String>,
    /// Linux settings; containerd insists on the message.
    #[prost(message, optional, tag = "8")]
    pub linux: Option<Empty>,
}

/// A message of which nothing is read or set.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Empty {}

#[derive(Clone, PartialEq, Message)]
struct RunPodSandboxRequest {
    #[prost(message, optional, tag = "1")]
    config: Option<PodSandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct RunPodSandboxResponse {
    #[prost(string, tag = "1")]
    pod_sandbox_id: String,
}

/// `StopPodSandboxRequest` and `RemovePodSandboxRequest` have the same shape.
#[derive(Clone, PartialEq, Message)]
struct PodSandboxId {
    #[prost(string, tag = "1")]
    pod_sandbox_id: String,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxStatusRequest {
    #[prost(string, tag = "1")]
    pod_sandbox_id: String,
    #[prost(bool, tag = "2")]
    verbose: bool,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxStatusResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<PodSandboxStatus>,
    #[prost(map = "string, string", tag = "2")]
    info: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxStatus {
    #[prost(message, optional, tag = "5")]
    network: Option<PodSandboxNetworkStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxNetworkStatus {
    #[prost(string, tag = "1")]
    ip: String,
    #[prost(message, repeated, tag = "2")]
    additional_ips: Vec<PodIp>,
}

#[derive(Clone, PartialEq, Message)]
struct PodIp {
    #[prost(string, tag = "1")]
    ip: String,
}

#[derive(Clone, PartialEq, Message)]
struct ListPodSandboxResponse {
    /// `PodSandbox`, whose first field is its ID as well.
    #[prost(message, repeated, tag = "1")]
    items: Vec<PodSandboxId>,
}

#[derive(Clone, PartialEq, Message)]
struct ImageStatusRequest {
    #[prost(message, optional, tag = "1")]
    image: Option<ImageSpec>,
}

#[derive(Clone, PartialEq, Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
}

#[derive(Clone, PartialEq, Message)]
struct ImageStatusResponse {
    #[prost(message, optional, tag = "1")]
    image: Option<Empty>,
}

/// What the runtime says about a running sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxStatus {
    /// The pod's addresses as Kubernetes would report them.
    pub addresses: Vec<String>,
    /// The runtime's own view (`crictl inspectp`): `pid`, `runtimeSpec`, `cniResult` and so on.
    pub info: serde_json::Value,
}

/// A client of one runtime.
#[derive(Debug)]
pub struct Cri {
    runtime: tokio::runtime::Runtime,
    channel: Channel,
}

impl Cri {
    /// Connects to the runtime's socket at the first call.
    ///
    /// # Panics
    /// If no tokio runtime can be built.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("build a tokio runtime");
        let socket = PathBuf::from(socket);
        let connect = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let channel = {
            let _inside = runtime.enter();
            // The address only fills gRPC's authority header.
            Endpoint::from_static("http://localhost")
                .timeout(PATIENCE * 2)
                .connect_with_connector_lazy(connect)
        };
        Self { runtime, channel }
    }

    /// `RunPodSandbox`: returns the sandbox's ID, which is the `CNI_CONTAINERID`.
    ///
    /// # Errors
    /// The runtime's refusal: the text that a user sees as the pod's event.
    pub fn run_pod_sandbox(&self, config: PodSandboxConfig) -> Result<String, Status> {
        let request = RunPodSandboxRequest { config: Some(config) };
        self.call::<_, RunPodSandboxResponse>("RuntimeService/RunPodSandbox", request)
            .map(|response| response.pod_sandbox_id)
    }

    /// `StopPodSandbox`: the DEL.
    ///
    /// # Errors
    /// If the DEL fails.
    pub fn stop_pod_sandbox(&self, id: &str) -> Result<(), Status> {
        let request = PodSandboxId { pod_sandbox_id: id.to_owned() };
        self.call::<_, Empty>("RuntimeService/StopPodSandbox", request).map(drop)
    }

    /// `RemovePodSandbox`.
    ///
    /// # Errors
    /// If the runtime refuses.
    pub fn remove_pod_sandbox(&self, id: &str) -> Result<(), Status> {
        let request = PodSandboxId { pod_sandbox_id: id.to_owned() };
        self.call::<_, Empty>("RuntimeService/RemovePodSandbox", request).map(drop)
    }

    /// The IDs of all sandboxes (`ListPodSandbox`).
    ///
    /// # Errors
    /// If the runtime does not answer.
    pub fn list_pod_sandboxes(&self) -> Result<Vec<String>, Status> {
        let response: ListPodSandboxResponse = self.call("RuntimeService/ListPodSandbox", Empty {})?;
        Ok(response.items.into_iter().map(|item| item.pod_sandbox_id).collect())
    }

    /// `PodSandboxStatus`, verbose.
    ///
    /// # Errors
    /// If there is no such sandbox.
    pub fn pod_sandbox_status(&self, id: &str) -> Result<SandboxStatus, Status> {
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: true };
        let response: PodSandboxStatusResponse = self.call("RuntimeService/PodSandboxStatus", request)?;
        let network = response.status.and_then(|status| status.network).unwrap_or_default();
        let further = network.additional_ips.into_iter().map(|further| further.ip);
        let addresses = std::iter::once(network.ip).chain(further).filter(|ip| !ip.is_empty()).collect();
        let info = response.info.get("info").map_or("null", String::as_str);
        let info = serde_json::from_str(info).map_err(|error| Status::internal(error.to_string()))?;
        Ok(SandboxStatus { addresses, info })
    }

    /// Whether the runtime's CRI side knows an image.
    ///
    /// # Errors
    /// If the runtime does not answer.
    pub fn has_image(&self, image: &str) -> Result<bool, Status> {
        let request = ImageStatusRequest { image: Some(ImageSpec { image: image.to_owned() }) };
        let response: ImageStatusResponse = self.call("ImageService/ImageStatus", request)?;
        Ok(response.image.is_some())
    }

    fn call<Q, A>(&self, method: &str, request: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let path = format!("/runtime.v1.{method}").parse().expect("method names are ASCII");
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        self.runtime.block_on(async {
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            let codec = tonic_prost::ProstCodec::<Q, A>::new();
            grpc.unary(Request::new(request), path, codec).await.map(tonic::Response::into_inner)
        })
    }
}
