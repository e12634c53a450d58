//! ADD as one function: docs/architecture.md, "The main path". What stands before `observe` is intent, what
//! stands after it are projections of one value.

use planes::PodNetwork;

use crate::error::Error;
use crate::scene::Scene;
use crate::undo::{Step, Undo};

/// Attaches the pod of `scene` to its planes. Whatever was begun stands in `undo`, also when this future is
/// dropped half-way.
///
/// # Errors
/// The first step that fails.
pub async fn attach(scene: &mut Scene, undo: &mut Undo) -> Result<PodNetwork, Error> {
    scene.refuse_taken_names().await?;
    let mut locked = scene.lock()?;
    scene.choose(&mut locked)?;
    undo.step(Step::Record, async { scene.save() }).await?;
    undo.step(Step::Claim, async { scene.claim() }).await?;
    let mut addresses = undo.step(Step::Leases, async { scene.link_leases(&locked) }).await?;
    drop(locked);

    addresses.extend(undo.step(Step::Delegates, scene.delegate(Step::Delegates)).await?);
    let links = undo.step(Step::Links, scene.create_links()).await?;
    addresses.extend(undo.step(Step::LateDelegates, scene.delegate(Step::LateDelegates)).await?);
    let applied = undo.step(Step::Interfaces, scene.configure(&links, &addresses)).await?;

    let network = scene.observe(&links, &applied).await?;
    undo.step(Step::Capture, scene.capture(&network)).await?;
    undo.step(Step::Bootstrap, async { scene.place_bootstrap(&network) }).await?;
    undo.step(Step::Saved, async { scene.finish(&network) }).await?;
    Ok(network)
}
