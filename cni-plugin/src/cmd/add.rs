//! ADD: attach the pod to its planes, wholly or not at all (CNI SPEC 1.1.0, "ADD").

use std::time::Duration;

use planes::PodNetwork;
use serde_json::Value;
use tokio::time::timeout;

use super::del::detach;
use crate::answer;
use crate::error::{Error, Failure};
use crate::leases::leads_home;
use crate::pipeline::attach;
use crate::request;
use crate::scene::Scene;
use crate::spec::env::Variables;
use crate::spec::{Input, Invocation};
use crate::state::Record;
use crate::undo::Undo;

/// Attaches, or undoes what was begun and says why.
///
/// # Errors
/// What went wrong, and what could not be undone.
pub async fn run(call: &Invocation, variables: &Variables, input: &Input) -> Result<Value, Failure> {
    let earlier = earlier(call, input)?;
    let request = request::plan(call, input).await?;
    let (patience, report) = (request.conf.deadline, request.conf.report);
    if let Some(dead) = earlier {
        // what a lost DEL left: its place is needed now
        detach(&Scene::revisit(request::state(input), dead, None, variables, input)?).await?;
    }
    let mut scene = Scene::enter(request, variables, input)?;
    let network = attach_or_undo(&mut scene, variables, patience).await?;
    Ok(answer::result(&network, &scene.record, report, input)?)
}

/// The record of an earlier ADD of this attachment whose namespace is gone.
///
/// # Errors
/// The namespace lives, so the attachment does.
fn earlier(call: &Invocation, input: &Input) -> Result<Option<Record>, Error> {
    let key = request::key(call, input);
    let record = request::state(input).load(&key)?;
    if record.as_ref().is_some_and(leads_home) { Err(Error::exists(&key)) } else { Ok(record) }
}

async fn attach_or_undo(
    scene: &mut Scene,
    variables: &Variables,
    patience: Duration,
) -> Result<PodNetwork, Failure> {
    let mut undo = Undo::new(variables);
    let error = match timeout(patience, attach(scene, &mut undo)).await {
        Ok(Ok(network)) => return Ok(network),
        Ok(Err(error)) => error,
        Err(_) => Error::Deadline { seconds: patience.as_secs(), step: undo.last() },
    };
    scene.reconnect();
    Err(Failure { error, undo: undo.unwind(scene).await })
}
