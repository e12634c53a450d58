//! Whatever stands in a network configuration is answered, and what is accepted can be resolved or is refused in one line.
#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use planes::{AttachmentKey, FoundInterface, NetConf, Request, resolve};
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Ok(Value::Object(map)) = serde_json::from_slice(bytes) else { return };
    let lenient = NetConf::parse_lenient(&map);
    let conf = match NetConf::parse(&map) {
        Ok(conf) => {
            assert_eq!(lenient.as_ref(), Some(&conf), "what can be read is read alike");
            conf
        }
        Err(error) => {
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
            let Some(conf) = lenient else { return };
            conf
        }
    };
    let key = AttachmentKey {
        network: conf.name.clone(),
        container: "c1".parse().unwrap(),
        ifname: "eth0".parse().unwrap(),
    };
    let found = [FoundInterface { name: key.ifname.clone(), mac: None, addresses: Vec::new() }];
    for found in [&found[..], &[]] {
        let request = Request {
            key: key.clone(),
            netns: Path::new("/run/netns/x"),
            pod: None,
            annotations: &BTreeMap::new(),
            chained: !found.is_empty(),
            found,
            node: None,
        };
        if let Err(error) = resolve(&conf, &request) {
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
        }
    }
});
