//! CHECK: name everything that is no longer as ADD left it (CNI SPEC 1.1.0, "CHECK").

use std::time::Duration;

use netlink::{interface, link};
use planes::NetConf;

use crate::error::Error;
use crate::request;
use crate::scene::Scene;
use crate::spec::env::Variables;
use crate::spec::{Input, Invocation};

/// CHECK may follow ADD at once, while the kernel still settles (CNI SPEC 1.1.0, "CHECK": a plugin should allow
/// for convergence).
const ROUNDS: usize = 5;
const PACE: Duration = Duration::from_millis(200);

/// Compares. What later plugins of the chain have changed is theirs, as long as what we made is there.
///
/// # Errors
/// Every difference, by name.
pub async fn run(call: &Invocation, variables: &Variables, input: &Input) -> Result<(), Error> {
    // A configuration that no ADD would take any more is news to whoever asks (as in STATUS).
    NetConf::parse(&input.conf)?;
    input.prev_result()?.ok_or(Error::NoPrevResult)?;
    let state = request::state(input);
    let key = request::key(call, input);
    let drifted = |drifts| Error::Drift { attachment: key.name(), drifts };
    let Some(record) = state.load(&key)? else {
        return Err(drifted(vec![format!("its record {} is gone", state.path(&key).display())]));
    };
    let scene = Scene::revisit(state, record, call.netns.as_deref(), variables, input)?;
    for round in 1.. {
        let drifts = compare(&scene).await?;
        if drifts.is_empty() {
            return scene.check_delegates().await;
        }
        if round == ROUNDS {
            return Err(drifted(drifts));
        }
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}

async fn compare(scene: &Scene) -> Result<Vec<String>, Error> {
    let record = &scene.record;
    let Some(network) = &record.network else {
        return Ok(vec!["ADD did not end: send DEL, then ADD".to_owned()]);
    };
    let pod = scene.pod()?;
    let mut drifts: Vec<String> = Vec::new();
    for planned in &record.plan.attachments {
        let Some(made) = network.attachments.iter().find(|made| made.plane == planned.plane) else {
            continue;
        };
        let links = link::check(&scene.host, pod, planned, made).await?;
        let inside = interface::check(pod, planned, made).await?;
        drifts.extend(links.iter().chain(&inside).map(ToString::to_string));
    }
    drifts.extend(scene.missing_leases());
    drifts.extend(scene.capture_drift(network).await?);
    if let Some(bootstrap) = &record.plan.bootstrap {
        let found =
            bootstrap_gen::check(&bootstrap.directory, record.plan.pod.as_ref(), &scene.key().container)?;
        drifts.extend(found.iter().map(ToString::to_string));
    }
    Ok(drifts)
}
