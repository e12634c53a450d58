//! VERSION: which versions we speak (CNI SPEC 1.1.0, "VERSION"). Touches nothing, needs nothing.

use std::os::fd::AsFd;
use std::time::Duration;

use serde_json::{Value, json};

use crate::spec::{Version, stdin};

/// A caller that writes no configuration gets its answer all the same.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers with the caller's own version, as the specification asks.
pub fn run(input: impl AsFd) -> Value {
    let bytes = stdin::read(input, PATIENCE).unwrap_or_default();
    let supported = Version::ALL.map(Version::as_str);
    json!({ "cniVersion": stdin::asked_version(&bytes), "supportedVersions": supported })
}
