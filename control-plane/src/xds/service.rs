//! The gRPC service `envoy.service.discovery.v3.AggregatedDiscoveryService`, its delta method alone.
//! Written out, because the generated one would encode every resource anew for every proxy.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::{Body, BoxFuture, Service, StdError, http};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::connection;
use super::wire::Response;
use crate::hub::Hub;

const DELTA: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
/// A reconnecting proxy tells all that it has in one message.
const MAX_REQUEST_BYTES: usize = 16 << 20;

/// The service.
#[derive(Debug, Clone)]
pub struct Discovery {
    hub: Arc<Hub>,
    stop: watch::Receiver<bool>,
}

impl Discovery {
    /// Serves what `hub` knows until `stop` becomes true.
    #[must_use]
    pub fn new(hub: Arc<Hub>, stop: watch::Receiver<bool>) -> Self {
        Self { hub, stop }
    }
}

impl NamedService for Discovery {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl<B> Service<http::Request<B>> for Discovery
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            if request.uri().path() != DELTA {
                let status = Status::unimplemented(
                    "only DeltaAggregatedResources is served: set ads_config.api_type to DELTA_GRPC",
                );
                return Ok(status.into_http());
            }
            let codec = ProstCodec::<Response, DeltaDiscoveryRequest>::default();
            let mut grpc = Grpc::new(codec).apply_max_message_size_config(Some(MAX_REQUEST_BYTES), None);
            Ok(grpc.streaming(Delta(service), request).await)
        })
    }
}

struct Delta(Discovery);

impl StreamingService<DeltaDiscoveryRequest> for Delta {
    type Response = Response;
    type ResponseStream = ReceiverStream<Result<Response, Status>>;
    type Future = BoxFuture<tonic::Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Streaming<DeltaDiscoveryRequest>>) -> Self::Future {
        let Discovery { hub, stop } = self.0.clone();
        Box::pin(async move {
            // Room for one answer: the next is made when this one is taken.
            let (sender, answers) = mpsc::channel(1);
            tokio::spawn(async move {
                let last = sender.clone();
                if let Err(status) = connection::serve(hub, request.into_inner(), sender, stop).await {
                    // If the proxy is gone, nobody is there to be told.
                    let _ = last.send(Err(status)).await;
                }
            });
            Ok(tonic::Response::new(ReceiverStream::new(answers)))
        })
    }
}
