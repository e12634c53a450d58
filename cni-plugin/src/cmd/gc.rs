//! GC: remove whatever no valid attachment owns (CNI SPEC 1.1.0, "GC"). Goes on after errors, removes as much
//! as possible, reports at the end.

use ipam::Store;
use netlink::{Net, Netns, link};
use planes::{AttachmentKey, NetConf};

use super::del::detach;
use crate::delegation;
use crate::error::{Error, Failure};
use crate::leases::LOCK_PATIENCE;
use crate::request;
use crate::scene::Scene;
use crate::spec::Input;
use crate::spec::env::Variables;
use crate::spec::valid::ValidAttachments;
use crate::state::State;

/// Collects. An absent list is an error and destroys nothing.
///
/// # Errors
/// The first thing that could not be removed, and all others.
pub async fn run(variables: &Variables, input: &Input) -> Result<(), Failure> {
    let valid = ValidAttachments::parse(&input.conf)?;
    let state = request::state(input);
    let mut errors = Vec::new();
    for key in state.keys(&input.name)? {
        if !valid.contains(&key.container, &key.ifname) {
            errors.extend(retire(&state, key, variables, input).await);
        }
    }
    // what a foreign hand or a kill left without a record
    errors.extend(Store::new(state.directory(), "").sweep(LOCK_PATIENCE).err().map(Error::from));
    errors.extend(sweep_unfinished(&state).err());
    errors.extend(state.sweep_claims().err().map(Error::from));
    errors.extend(remove_fixtures(input).await);
    errors.extend(delegation::forward_gc(&state, variables, input).await);
    let mut errors = errors.into_iter();
    errors.next().map_or(Ok(()), |error| Err(Failure { error, undo: errors.collect() }))
}

/// What ADDs that were killed while they wrote their first record left.
fn sweep_unfinished(state: &State) -> Result<(), Error> {
    if !state.directory().is_dir() {
        return Ok(());
    }
    let _lock = Store::new(state.directory(), "").lock(LOCK_PATIENCE)?;
    Ok(state.sweep_unfinished()?)
}

/// Takes an attachment away by its record, or, where that is garbled, by its key alone.
async fn retire(state: &State, key: AttachmentKey, variables: &Variables, input: &Input) -> Vec<Error> {
    let record = match state.load(&key) {
        Ok(Some(record)) => record,
        Ok(None) => return Vec::new(),
        Err(error) => {
            tracing::warn!(%error, "the record is garbled: going by the configuration");
            request::lost(key, None, input)
        }
    };
    tracing::info!(container = %record.plan.key.container, ifname = %record.plan.key.ifname, "no longer valid");
    match Scene::revisit(state.clone(), record, None, variables, input) {
        Ok(scene) => match detach(&scene).await {
            Ok(()) => Vec::new(),
            Err(failure) => std::iter::once(failure.error).chain(failure.undo).collect(),
        },
        Err(error) => vec![error],
    }
}

/// Bridges, uplinks and VXLAN devices on which no pod's link is left. The catalogue names them: a DEL leaves no
/// record of what it left standing. GC does what it can with a configuration that ADD would refuse.
async fn remove_fixtures(input: &Input) -> Vec<Error> {
    let Some(conf) = NetConf::parse_lenient(&input.conf) else { return Vec::new() };
    let host = match Netns::current().and_then(Net::open) {
        Ok(host) => host,
        Err(error) => return vec![error.into()],
    };
    let mut errors = Vec::new();
    for (_, planned) in request::catalogue(&conf, &input.name) {
        if let Ok(planned) = planned {
            errors.extend(link::remove_fixtures(&host, &planned).await.err().map(Error::from));
        }
    }
    errors
}
