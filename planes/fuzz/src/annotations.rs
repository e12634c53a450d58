//! Whatever a pod's author writes is answered, and an answer is one short line.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use planes::annotation::{KNITTER_NETWORKS, NPWG_NETWORKS, PLANES, requests};
use planes::conf::Select;

fuzz_target!(|text: &str| {
    let dialects =
        [(Select::Multiplane, PLANES), (Select::Npwg, NPWG_NETWORKS), (Select::Knitter, KNITTER_NETWORKS)];
    for (dialect, key) in dialects {
        let annotations = BTreeMap::from([(key.to_owned(), text.to_owned())]);
        if let Err(error) = requests(&[dialect], &annotations, Some("core")) {
            let message = error.to_string();
            assert!(message.lines().count() == 1 && message.len() < 1000, "{message}");
        }
    }
});
