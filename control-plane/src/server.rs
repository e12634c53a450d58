//! The server: a source that is followed, proxies that are served, and an end that is orderly.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_stream::wrappers::TcpListenerStream;
use tracing::{error, info, warn};

use crate::admin;
use crate::hub::Hub;
use crate::registry::Catalogue;
use crate::registry::source::{Source, SourceError};
use crate::settings::{Settings, Timing};
use crate::xds::service::Discovery;

/// Even where changes are not announced (NFS, some overlays) they are seen, later.
const POLL: Duration = Duration::from_secs(30);

/// The server cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The registry cannot be read or watched at the start.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A port cannot be opened.
    #[error("listen on {address}: choose a free port and an address of this machine")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The admin pages are for this machine alone.
    #[error("--admin {0}: not a loopback address: use 127.0.0.1 or [::1], nothing protects these pages")]
    AdminExposed(SocketAddr),
    /// The gRPC server ended.
    #[error("serve xDS")]
    Transport(#[from] tonic::transport::Error),
}

/// A running control plane. Dropping it stops it at once, [`Server::stop`] in order.
#[derive(Debug)]
pub struct Server {
    /// What it serves.
    pub hub: Arc<Hub>,
    /// Where it serves xDS.
    pub address: SocketAddr,
    /// Where it serves the admin pages.
    pub admin: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    xds: JoinHandle<Result<(), tonic::transport::Error>>,
    others: Vec<JoinHandle<()>>,
    drain: Duration,
}

impl Server {
    /// Starts serving `source` on listeners that are already open; in whichever namespace they were opened.
    ///
    /// # Errors
    /// The source cannot be read or watched, or a listener is not what it should be.
    pub fn start(
        mut source: Box<dyn Source>,
        settings: Settings,
        timing: Timing,
        listener: TcpListener,
        admin_listener: Option<TcpListener>,
    ) -> Result<Self, ServeError> {
        let hub = Hub::new(settings);
        let mut catalogue = Catalogue::default();
        // Watched before it is read: a change in between is seen twice, not never.
        let wake = Arc::new(Notify::new());
        let waker = Arc::clone(&wake);
        let watching = source.watch(Box::new(move || waker.notify_one()))?;
        load(&mut *source, &mut catalogue, &hub)?;
        let address = local(&listener)?;
        let admin = admin_listener.as_ref().map(local).transpose()?;
        if let Some(exposed) = admin.filter(|admin| !admin.ip().is_loopback()) {
            return Err(ServeError::AdminExposed(exposed));
        }
        let (stop, stopped) = watch::channel(false);
        let follow = follow(source, catalogue, Arc::clone(&hub), timing, wake, watching);
        let mut others = vec![tokio::spawn(follow)];
        others.extend(admin_listener.map(|listener| tokio::spawn(admin::serve(listener, Arc::clone(&hub)))));
        let xds = tokio::spawn(serve_xds(Arc::clone(&hub), listener, stopped, timing.keepalive));
        Ok(Self { hub, address, admin, stop, xds, others, drain: timing.drain })
    }

    /// Ends the streams with a status that makes proxies connect again, and waits for them, for a while.
    ///
    /// # Errors
    /// The gRPC server had ended for a reason of its own.
    pub async fn stop(mut self) -> Result<(), ServeError> {
        self.stop.send_replace(true);
        match tokio::time::timeout(self.drain, &mut self.xds).await {
            Ok(Ok(served)) => Ok(served?),
            Ok(Err(_)) | Err(_) => {
                warn!("streams were still open after the drain time");
                Ok(())
            }
        }
    }

    /// Waits until the gRPC server ends by itself, which it does only in distress.
    ///
    /// # Errors
    /// Why it ended.
    pub async fn ended(&mut self) -> Result<(), ServeError> {
        match (&mut self.xds).await {
            Ok(served) => Ok(served?),
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.xds.abort();
        self.others.iter().for_each(JoinHandle::abort);
    }
}

fn local(listener: &TcpListener) -> Result<SocketAddr, ServeError> {
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    listener.local_addr().map_err(|source| ServeError::Listen { address: unknown, source })
}

async fn serve_xds(
    hub: Arc<Hub>,
    listener: TcpListener,
    mut stopped: watch::Receiver<bool>,
    keepalive: Duration,
) -> Result<(), tonic::transport::Error> {
    let discovery = Discovery::new(hub, stopped.clone());
    tonic::transport::Server::builder()
        // Envoy opens one stream; a client that opens thousands on one connection is no proxy.
        .max_concurrent_streams(Some(16))
        .http2_keepalive_interval(Some(keepalive))
        .http2_keepalive_timeout(Some(keepalive))
        .tcp_nodelay(true)
        .add_service(discovery)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        })
        .await
}

/// Reads what changed and tells the hub.
fn load(source: &mut dyn Source, catalogue: &mut Catalogue, hub: &Hub) -> Result<(), SourceError> {
    let changes = source.changes()?;
    if changes.is_empty() {
        return Ok(());
    }
    let units = changes.len();
    catalogue.apply(changes);
    let registry = catalogue.build(&hub.registry());
    for fault in &registry.faults {
        warn!("{fault}");
    }
    let services = registry.services.len();
    let effect = hub.update(registry);
    hub.metrics.reloaded(true);
    info!(
        units,
        services,
        views = effect.views,
        recomputed = effect.recomputed,
        proxies = effect.concerned,
        "registry changed"
    );
    Ok(())
}

async fn follow(
    mut source: Box<dyn Source>,
    mut catalogue: Catalogue,
    hub: Arc<Hub>,
    timing: Timing,
    wake: Arc<Notify>,
    watching: Box<dyn Send>,
) {
    loop {
        tokio::select! {
            () = wake.notified() => settle(&wake, timing).await,
            () = sleep(POLL) => {}
        }
        let in_hub = Arc::clone(&hub);
        let loaded = tokio::task::spawn_blocking(move || {
            let result = load(&mut *source, &mut catalogue, &in_hub);
            (source, catalogue, result)
        });
        let Ok((source_back, catalogue_back, result)) = loaded.await else {
            // A panic while reading: what is in force stays in force.
            error!("reading the registry panicked; it is not followed any more");
            drop(watching);
            return;
        };
        (source, catalogue) = (source_back, catalogue_back);
        if let Err(error) = result {
            hub.metrics.reloaded(false);
            warn!(error = &error as &dyn std::error::Error, "registry kept as it was");
        }
    }
}

/// Waits until changes pause, but not for ever.
async fn settle(wake: &Notify, timing: Timing) {
    let end = Instant::now() + timing.debounce_limit;
    while Instant::now() < end {
        let pause = end.min(Instant::now() + timing.debounce);
        if timeout_at(pause, wake.notified()).await.is_err() {
            return;
        }
    }
}
