//! Whatever a pod's author writes is answered, and an answer is one short line.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use planes::annotation::{KNITTER_NETWORKS, NPWG_NETWORKS, PLANES, requests};
use planes::capture::CaptureOptions;
use planes::conf::Select;

const OF_CAPTURE: [&str; 3] = ["includeInboundPorts", "excludeOutboundIPRanges", "excludeInterfaces"];

fuzz_target!(|text: &str| {
    for name in OF_CAPTURE {
        let annotations = BTreeMap::from([(format!("traffic.sidecar.istio.io/{name}"), text.to_owned())]);
        if let Err(error) = CaptureOptions::parse(&annotations) {
            is_short(&error.to_string());
        }
    }
    let dialects =
        [(Select::Multiplane, PLANES), (Select::Npwg, NPWG_NETWORKS), (Select::Knitter, KNITTER_NETWORKS)];
    for (dialect, key) in dialects {
        let annotations = BTreeMap::from([(key.to_owned(), text.to_owned())]);
        if let Err(error) = requests(&[dialect], &annotations, Some("core")) {
            is_short(&error.to_string());
        }
    }
});

fn is_short(message: &str) {
    assert!(message.lines().count() == 1 && message.len() < 1000, "{message}");
}
