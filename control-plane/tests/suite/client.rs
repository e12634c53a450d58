//! A delta-ADS client that shares no code with the server: it speaks the generated protobuf types and keeps its
//! own books, so that both sides cannot be wrong in the same way.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use envoy_types::pb::google::protobuf::{Struct, Value, value};
use envoy_types::pb::google::rpc;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

pub const CDS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
pub const EDS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
pub const LDS: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
pub const RDS: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
pub const VHDS: &str = "type.googleapis.com/envoy.config.route.v3.VirtualHost";

/// Long enough for a loaded machine; reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a client tells of itself.
#[derive(Debug, Clone)]
pub struct Identity {
    pub id: String,
    pub metadata: Vec<(String, Value)>,
}

pub fn text(text: &str) -> Value {
    Value { kind: Some(value::Kind::StringValue(text.to_owned())) }
}

pub fn object(fields: Vec<(&str, Value)>) -> Value {
    let fields = fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Value { kind: Some(value::Kind::StructValue(Struct { fields })) }
}

pub fn list(values: Vec<Value>) -> Value {
    use envoy_types::pb::google::protobuf::ListValue;
    Value { kind: Some(value::Kind::ListValue(ListValue { values })) }
}

impl Identity {
    pub fn new(name: &str, namespace: &str, addresses: &str) -> Self {
        Self {
            id: format!("sidecar~~{name}.{namespace}~{namespace}.svc.cluster.local"),
            metadata: vec![
                ("INSTANCE_IPS".to_owned(), text(addresses)),
                ("NAMESPACE".to_owned(), text(namespace)),
            ],
        }
    }

    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.metadata.push((key.to_owned(), value));
        self
    }

    /// The planes in the order given, one address each.
    pub fn with_planes(self, planes: &[(&str, &str)]) -> Self {
        let plane = |(index, &(name, address))| {
            let entry = object(vec![
                ("interface", text(&format!("net{index}"))),
                ("addresses", list(vec![text(address)])),
                ("role", text(if index == 0 { "primary" } else { "plane" })),
                ("traffic", text("capture")),
            ]);
            (name, entry)
        };
        self.with("PLANES", object(planes.iter().enumerate().map(plane).collect()))
    }

    pub fn node(&self) -> Node {
        Node {
            id: self.id.clone(),
            metadata: Some(Struct { fields: self.metadata.iter().cloned().collect() }),
            ..Default::default()
        }
    }
}

/// One stream.
pub struct Client {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    answers: Streaming<DeltaDiscoveryResponse>,
    /// What it holds: type to name to version.
    pub held: HashMap<String, BTreeMap<String, String>>,
    /// The content of what it holds.
    pub content: HashMap<(String, String), Vec<u8>>,
    /// All answers in the order in which they came.
    pub log: Vec<(String, Vec<String>, Vec<String>)>,
}

impl Client {
    /// Opens a stream without saying anything.
    pub async fn open(address: SocketAddr) -> Self {
        Self::on(channel(address).await).await
    }

    pub async fn on(channel: Channel) -> Self {
        let (requests, receiver) = mpsc::channel(64);
        let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(usize::MAX);
        let answers = client
            .delta_aggregated_resources(ReceiverStream::new(receiver))
            .await
            .expect("the stream opens")
            .into_inner();
        Self { requests, answers, held: HashMap::new(), content: HashMap::new(), log: Vec::new() }
    }

    /// Opens a stream and tells who it is by subscribing to everything wildcard.
    pub async fn connect(address: SocketAddr, identity: &Identity) -> Self {
        let client = Self::open(address).await;
        client.send(DeltaDiscoveryRequest { node: Some(identity.node()), ..request(CDS) }).await;
        client
    }

    pub async fn send(&self, request: DeltaDiscoveryRequest) {
        // If the server has ended the stream, the next receive says why.
        let _ = self.requests.send(request).await;
    }

    pub async fn subscribe(&self, kind: &str, names: &[&str]) {
        let resource_names_subscribe = names.iter().map(ToString::to_string).collect();
        self.send(DeltaDiscoveryRequest { resource_names_subscribe, ..request(kind) }).await;
    }

    pub async fn unsubscribe(&self, kind: &str, names: &[&str]) {
        let resource_names_unsubscribe = names.iter().map(ToString::to_string).collect();
        self.send(DeltaDiscoveryRequest { resource_names_unsubscribe, ..request(kind) }).await;
    }

    /// The next answer, not yet acknowledged.
    pub async fn receive(&mut self) -> Result<DeltaDiscoveryResponse, Status> {
        let answer = tokio::time::timeout(PATIENCE, self.answers.message())
            .await
            .expect("an answer or the end of the stream arrives in time")?
            .ok_or_else(|| Status::ok("stream ended"))?;
        self.book(&answer);
        Ok(answer)
    }

    fn book(&mut self, answer: &DeltaDiscoveryResponse) {
        let held = self.held.entry(answer.type_url.clone()).or_default();
        let mut names = Vec::new();
        for resource in &answer.resources {
            let any = resource.resource.as_ref().expect("a resource has content");
            assert_eq!(any.type_url, answer.type_url, "the content is of the announced type");
            held.insert(resource.name.clone(), resource.version.clone());
            self.content.insert((answer.type_url.clone(), resource.name.clone()), any.value.clone());
            names.push(resource.name.clone());
        }
        for name in &answer.removed_resources {
            held.remove(name);
            self.content.remove(&(answer.type_url.clone(), name.clone()));
        }
        self.log.push((answer.type_url.clone(), names, answer.removed_resources.clone()));
    }

    pub async fn acknowledge(&self, answer: &DeltaDiscoveryResponse) {
        let response_nonce = answer.nonce.clone();
        self.send(DeltaDiscoveryRequest { response_nonce, ..request(&answer.type_url) }).await;
    }

    pub async fn refuse(&self, answer: &DeltaDiscoveryResponse, why: &str) {
        let error_detail = Some(rpc::Status { code: 13, message: why.to_owned(), details: Vec::new() });
        let response_nonce = answer.nonce.clone();
        self.send(DeltaDiscoveryRequest { response_nonce, error_detail, ..request(&answer.type_url) }).await;
    }

    /// The next answer of this kind, acknowledged; those of other kinds before it are acknowledged too.
    pub async fn next(&mut self, kind: &str) -> DeltaDiscoveryResponse {
        loop {
            let answer = self.receive().await.expect("the stream goes on");
            self.acknowledge(&answer).await;
            if answer.type_url == kind {
                return answer;
            }
        }
    }

    /// Behaves like Envoy at start: clusters, their endpoints, listeners, their routes, virtual hosts.
    pub async fn follow_all(&mut self) {
        self.next(CDS).await;
        let eds: Vec<String> = self.names(CDS).into_iter().filter(|name| self.is_eds(name)).collect();
        if !eds.is_empty() {
            self.subscribe(EDS, &eds.iter().map(String::as_str).collect::<Vec<_>>()).await;
            self.next(EDS).await;
        }
        self.subscribe(LDS, &[]).await;
        self.next(LDS).await;
        let routes: Vec<String> = self.routes();
        if !routes.is_empty() {
            self.subscribe(RDS, &routes.iter().map(String::as_str).collect::<Vec<_>>()).await;
            self.next(RDS).await;
            self.subscribe(VHDS, &[]).await;
            self.next(VHDS).await;
        }
    }

    fn is_eds(&self, name: &str) -> bool {
        use envoy_types::pb::envoy::config::cluster::v3::Cluster;
        self.decode::<Cluster>(CDS, name).eds_cluster_config.is_some()
    }

    /// The routes that the held listeners refer to.
    fn routes(&self) -> Vec<String> {
        let wildcard =
            |name: &String| name.strip_prefix("0.0.0.0_").or(name.strip_prefix("::_")).map(ToOwned::to_owned);
        self.names(LDS).iter().filter_map(wildcard).collect()
    }

    pub fn names(&self, kind: &str) -> Vec<String> {
        self.held.get(kind).map(|held| held.keys().cloned().collect()).unwrap_or_default()
    }

    pub fn has(&self, kind: &str, name: &str) -> bool {
        self.held.get(kind).is_some_and(|held| held.contains_key(name))
    }

    pub fn decode<T: Message + Default>(&self, kind: &str, name: &str) -> T {
        let content = self
            .content
            .get(&(kind.to_owned(), name.to_owned()))
            .unwrap_or_else(|| panic!("holds {name}, only {:?}", self.names(kind)));
        T::decode(content.as_slice()).expect("the content decodes")
    }

    /// What a proxy that reconnects says that it has.
    pub fn versions(&self, kind: &str) -> HashMap<String, String> {
        self.held.get(kind).map(|held| held.clone().into_iter().collect()).unwrap_or_default()
    }

    /// Asserts that everything sent before has been answered, by asking for something that does not exist: its
    /// answer comes after all others of this kind. Returns what came before it.
    pub async fn fence(&mut self, kind: &str, mark: &str) -> Vec<DeltaDiscoveryResponse> {
        self.subscribe(kind, &[mark]).await;
        let mut before = Vec::new();
        loop {
            let answer = self.receive().await.expect("the stream goes on");
            self.acknowledge(&answer).await;
            if answer.removed_resources.iter().any(|name| name == mark) {
                if !answer.resources.is_empty() {
                    before.push(answer);
                }
                return before;
            }
            before.push(answer);
        }
    }
}

pub async fn channel(address: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{address}"))
        .expect("an address makes a URI")
        .connect()
        .await
        .expect("the server accepts")
}

pub fn request(kind: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { type_url: kind.to_owned(), ..Default::default() }
}
