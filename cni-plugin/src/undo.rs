//! The undo log of ADD. Each step is entered when it is done and undone in reverse order when a later one
//! fails. DEL and GC unwind the same log, written in full from the saved plan, so that there is one way back
//! and every test of an undone ADD is a test of DEL.

use std::ffi::OsString;
use std::fmt;

use crate::error::Error;
use crate::scene::Scene;
use crate::spec::env::Variables;

/// A step of ADD that changes something, in the order in which ADD takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The plan is saved.
    Record,
    /// The namespace is claimed.
    Claim,
    /// Leases of the embedded store are linked.
    Leases,
    /// IPAM plugins have given addresses.
    Delegates,
    /// Links exist, host devices are moved.
    Links,
    /// IPAM plugins that speak over the link have given addresses.
    LateDelegates,
    /// Addresses, routes, rules and sysctls are set, on adopted interfaces too.
    Interfaces,
    /// Traffic capture is in force.
    Capture,
    /// The bootstrap lies where the proxy will look.
    Bootstrap,
    /// The pod's networks are saved.
    Saved,
}

impl Step {
    /// All steps, first to last.
    pub const ALL: [Self; 10] = [
        Self::Record,
        Self::Claim,
        Self::Leases,
        Self::Delegates,
        Self::Links,
        Self::LateDelegates,
        Self::Interfaces,
        Self::Capture,
        Self::Bootstrap,
        Self::Saved,
    ];

    /// The name in messages and in `MULTIPLANE_FAIL_AFTER`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Claim => "claim",
            Self::Leases => "leases",
            Self::Delegates => "delegates",
            Self::Links => "links",
            Self::LateDelegates => "late-delegates",
            Self::Interfaces => "interfaces",
            Self::Capture => "capture",
            Self::Bootstrap => "bootstrap",
            Self::Saved => "saved",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What ADD has begun.
#[derive(Debug, Default)]
pub struct Undo {
    begun: Vec<Step>,
    fail_after: Option<Step>,
}

impl Undo {
    /// An empty log. In debug builds `MULTIPLANE_FAIL_AFTER` names a step that fails just after it is done.
    #[must_use]
    pub fn new(variables: &Variables) -> Self {
        let fail_after = if cfg!(debug_assertions) {
            let name = variables.get(&OsString::from("MULTIPLANE_FAIL_AFTER"));
            Step::ALL.into_iter().find(|step| name.is_some_and(|name| name == step.as_str()))
        } else {
            None
        };
        Self { begun: Vec::new(), fail_after }
    }

    /// The log of an ADD that went all the way, as DEL and GC must assume.
    #[must_use]
    pub fn whole() -> Self {
        Self { begun: Step::ALL.to_vec(), fail_after: None }
    }

    /// Enters a step *before* its work, as a call that is cut short in the middle has changed something too:
    /// each way back succeeds when there is nothing to undo.
    ///
    /// # Errors
    /// The work's own, or the failure that a test asked for.
    pub async fn step<T>(
        &mut self,
        step: Step,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.begun.push(step);
        tracing::debug!(%step, "begin");
        let made = work.await?;
        if self.fail_after == Some(step) { Err(Error::Injected { step }) } else { Ok(made) }
    }

    /// The step that was begun last.
    #[must_use]
    pub fn last(&self) -> Option<Step> {
        self.begun.last().copied()
    }

    /// Undoes what was begun, last first. Goes on after an error, but then keeps what a later DEL needs in
    /// order to try again.
    pub async fn unwind(self, scene: &Scene) -> Vec<Error> {
        let mut errors = Vec::new();
        for step in self.begun.into_iter().rev() {
            let needed_for_a_retry = match step {
                Step::Record | Step::Claim | Step::Leases => true,
                Step::Delegates
                | Step::Links
                | Step::LateDelegates
                | Step::Interfaces
                | Step::Capture
                | Step::Bootstrap
                | Step::Saved => false,
            };
            if needed_for_a_retry && !errors.is_empty() {
                tracing::warn!(%step, "kept, so that the next DEL or GC tries again");
                continue;
            }
            errors.extend(scene.undo(step).await);
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_steps_is_the_order_of_add() {
        assert!(Step::ALL.is_sorted());
    }

    #[test]
    fn a_step_can_be_told_to_fail() {
        let variables = [("MULTIPLANE_FAIL_AFTER".into(), "links".into())].into();

        assert_eq!(Undo::new(&variables).fail_after, Some(Step::Links));
        assert_eq!(Undo::new(&Variables::new()).fail_after, None);
    }
}
