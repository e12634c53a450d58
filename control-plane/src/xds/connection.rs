//! One stream: requests in, answers out, and a proxy that may read as slowly as it likes.

use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use tokio::sync::{mpsc, watch};
use tokio_stream::{Stream, StreamExt};
use tonic::Status;
use tracing::{info, warn};

use super::node::{self, NodeRefused};
use super::state::{Reaction, Request, State};
use super::wire::Response;
use crate::hub::{Hub, Member};
use crate::resource::Kind;

/// How much of a refusal is kept and shown, in characters.
const MAX_REFUSAL: usize = 500;

/// Serves one stream until the proxy leaves, misbehaves, or the server stops.
///
/// # Errors
/// The status that the proxy is told.
pub async fn serve<S>(
    hub: Arc<Hub>,
    mut requests: S,
    answers: mpsc::Sender<Result<Response, Status>>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Status>
where
    S: Stream<Item = Result<DeltaDiscoveryRequest, Status>> + Unpin,
{
    let Some(first) = requests.next().await.transpose()? else { return Ok(()) };
    let node = node::read(first.node.as_ref()).map_err(refuse)?;
    let (member, mut snapshots) = hub.join(node);
    let mut state = State::new(snapshots.borrow_and_update().clone());
    take(&mut state, &member, first)?;
    loop {
        member.report(&state);
        tokio::select! {
            request = requests.next() => match request.transpose()? {
                Some(request) => take(&mut state, &member, request)?,
                None => return Ok(()),
            },
            changed = snapshots.changed() => match changed {
                Ok(()) => state.update(snapshots.borrow_and_update().clone()),
                Err(_) => return Ok(()),
            },
            // Answers are made when there is room for them: nothing is queued for a slow reader, and what
            // changes meanwhile is sent once.
            permit = answers.reserve(), if state.is_ready() => match permit {
                Ok(permit) => if let Some(answer) = state.answer() {
                    member.sent(&answer);
                    permit.send(Ok(answer.into()));
                },
                Err(_) => return Ok(()),
            },
            _ = stop.wait_for(|stop| *stop) => {
                return Err(Status::unavailable("control plane stops: connect again"));
            },
        }
    }
}

fn refuse(error: NodeRefused) -> Status {
    warn!(%error, "node refused");
    Status::invalid_argument(error.to_string())
}

fn take(state: &mut State, member: &Member, request: DeltaDiscoveryRequest) -> Result<(), Status> {
    let Some(kind) = Kind::from_type_url(&request.type_url) else {
        // Envoy may ask for kinds that we do not serve, secrets for example. It is told nothing and waits,
        // as it does with istiod.
        member.unknown_kind(&request.type_url);
        return Ok(());
    };
    // Kept once for each name of the refused answer, so cut here: a proxy's text has no bound of its own.
    let error = request.error_detail.map(|detail| detail.message.chars().take(MAX_REFUSAL).collect());
    let request = Request {
        subscribe: request.resource_names_subscribe,
        unsubscribe: request.resource_names_unsubscribe,
        initial: request.initial_resource_versions.into_iter().collect(),
        nonce: request.response_nonce,
        error,
    };
    let reaction =
        state.request(kind, request).map_err(|error| Status::resource_exhausted(error.to_string()))?;
    match &reaction {
        Reaction::Refused { names, error } => {
            warn!(
                proxy = member.label(),
                kind = kind.short(),
                names = names.len(),
                error,
                "refused by the proxy"
            );
        }
        Reaction::Stale => info!(proxy = member.label(), kind = kind.short(), "stale acknowledgement"),
        Reaction::Subscription | Reaction::Acknowledged => {}
    }
    member.reacted(kind, &reaction);
    Ok(())
}
