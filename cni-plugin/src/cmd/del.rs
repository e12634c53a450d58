//! DEL: take away what ADD made, and nothing else (CNI SPEC 1.1.0, "DEL").
//!
//! It comes without a namespace, without `prevResult`, twice, too late, for containers that we never saw, and
//! with a configuration that has changed since. What it may touch is what its own container ID owns: kubelet
//! sends late DELs for dead sandboxes with the UID of the pod that now lives.

use crate::error::Failure;
use crate::request;
use crate::scene::Scene;
use crate::spec::env::Variables;
use crate::spec::{Input, Invocation};
use crate::undo::Undo;

/// Detaches. Success if nothing is left, whoever took it away.
///
/// # Errors
/// What could not be removed: the record stays then, and the next DEL or GC tries again.
pub async fn run(call: &Invocation, variables: &Variables, input: &Input) -> Result<(), Failure> {
    let state = request::state(input);
    let key = request::key(call, input);
    let record = match state.load(&key) {
        Ok(Some(record)) => record,
        Ok(None) => request::lost(key, Some(call), input),
        Err(error) => {
            tracing::warn!(%error, "the record is garbled: going by the configuration");
            request::lost(key, Some(call), input)
        }
    };
    let scene = Scene::revisit(state, record, call.netns.as_deref(), variables, input)?;
    detach(&scene).await
}

/// Takes all the ways back.
///
/// # Errors
/// What could not be removed.
pub async fn detach(scene: &Scene) -> Result<(), Failure> {
    let mut errors = Undo::whole().unwind(scene).await.into_iter();
    errors.next().map_or(Ok(()), |error| Err(Failure { error, undo: errors.collect() }))
}
