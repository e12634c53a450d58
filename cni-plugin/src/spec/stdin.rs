//! The network configuration on stdin (CNI SPEC 1.1.0, section 2, "Deriving runtimeConfig" and "ADD").

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use planes::{NameError, NetworkName};
use serde_json::{Map, Value};

use super::prev::{PrevError, PrevResult, kind};
use super::version::Version;

/// The largest configuration that is read: annotations are limited to 256 KiB by Kubernetes, and a pod's
/// manifest comes among them once more.
pub const LIMIT: usize = 4 << 20;

/// The capability by which containerd and CRI-O hand over a pod's annotations.
pub const POD_ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";

/// stdin is not a configuration that we can serve.
#[derive(Debug, thiserror::Error)]
pub enum StdinError {
    /// Reading failed.
    #[error("read the network configuration from stdin")]
    Read(#[source] io::Error),
    /// It does not end.
    #[error("stdin: more than {LIMIT} bytes of network configuration: shorten it")]
    TooLong,
    /// Nobody writes or closes it.
    #[error("stdin: no end of the network configuration after {} s: the runtime must write it and close", waited.as_secs())]
    Open {
        /// How long we waited.
        waited: Duration,
    },
    /// Not JSON.
    #[error("decode the network configuration on stdin")]
    Decode(#[source] serde_json::Error),
    /// JSON of another shape.
    #[error("stdin {key}: expected {expected}, found {found}")]
    Shape {
        /// Where.
        key: &'static str,
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A version that we do not answer.
    #[error("cniVersion {value:?} is not supported: use one of {}", Version::list())]
    Version {
        /// The version as given, cut to 64 characters; 0.1.0 if none was.
        value: String,
    },
    /// No network name.
    #[error("name is missing: give the network a name")]
    NoName,
    /// A network name that breaks its rule.
    #[error("name")]
    Name(#[source] NameError),
    /// The previous plugins' result.
    #[error(transparent)]
    Prev(#[from] PrevError),
}

/// A configuration, as far as the protocol defines it.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The version to answer in.
    pub version: Version,
    /// The network's name.
    pub name: NetworkName,
    /// The whole object as it came.
    pub conf: Map<String, Value>,
}

impl Input {
    /// Parses the bytes of stdin.
    ///
    /// # Errors
    /// Text that is not a JSON object, an unsupported version, a missing or malformed network name.
    pub fn parse(bytes: &[u8]) -> Result<Self, StdinError> {
        let value: Value = serde_json::from_slice(bytes).map_err(StdinError::Decode)?;
        let Value::Object(conf) = value else {
            return Err(StdinError::Shape {
                key: "configuration",
                expected: "an object",
                found: kind(&value),
            });
        };
        let version = version_text(&conf)?;
        let version = Version::from_text(version)
            .ok_or_else(|| StdinError::Version { value: version.chars().take(64).collect() })?;
        let name = string(&conf, "name")?.filter(|name| !name.is_empty()).ok_or(StdinError::NoName)?;
        let name = name.parse().map_err(StdinError::Name)?;
        Ok(Self { version, name, conf })
    }

    /// The result of the plugins before us, if any.
    ///
    /// # Errors
    /// A value that is no result.
    pub fn prev_result(&self) -> Result<Option<PrevResult>, StdinError> {
        Ok(self.conf.get("prevResult").map_or(Ok(None), PrevResult::parse)?)
    }

    /// The pod's annotations, empty when the runtime sends none (containerd writes `null`).
    ///
    /// # Errors
    /// Anything but an object of strings.
    pub fn annotations(&self) -> Result<BTreeMap<String, String>, StdinError> {
        let value = self.conf.get("runtimeConfig").and_then(|runtime| runtime.get(POD_ANNOTATIONS));
        let wrong =
            |found| StdinError::Shape { key: POD_ANNOTATIONS, expected: "an object of strings", found };
        match value {
            None | Some(Value::Null) => Ok(BTreeMap::new()),
            Some(Value::Object(map)) => map
                .iter()
                .map(|(key, value)| match value {
                    Value::String(text) => Ok((key.clone(), text.clone())),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                        Err(wrong(kind(value)))
                    }
                })
                .collect(),
            Some(other) => Err(wrong(kind(other))),
        }
    }
}

/// The version of a VERSION call: any text is echoed, none is our newest.
#[must_use]
pub fn asked_version(bytes: &[u8]) -> String {
    let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let asked = value.get("cniVersion").and_then(Value::as_str).filter(|text| !text.is_empty());
    asked.unwrap_or(Version::NEWEST.as_str()).to_owned()
}

/// A missing version means 0.1.0 (libcni; CNI SPEC 0.2.0 removed the other reading).
fn version_text(conf: &Map<String, Value>) -> Result<&str, StdinError> {
    Ok(string(conf, "cniVersion")?.filter(|text| !text.is_empty()).unwrap_or("0.1.0"))
}

fn string<'c>(conf: &'c Map<String, Value>, key: &'static str) -> Result<Option<&'c str>, StdinError> {
    match conf.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(StdinError::Shape { key, expected: "a string", found: kind(other) }),
    }
}

/// Reads `input` to its end, at most [`LIMIT`] bytes and no longer than `patience`: a runtime that forgets to
/// close the pipe must not hang the node.
///
/// # Errors
/// The read fails, is too long, or takes too long.
pub fn read(input: impl AsFd, patience: Duration) -> Result<Vec<u8>, StdinError> {
    let deadline = Instant::now() + patience;
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        if !is_readable_until(&input, deadline).map_err(StdinError::Read)? {
            return Err(StdinError::Open { waited: patience });
        }
        match nix::unistd::read(&input, &mut chunk) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(errno) => return Err(StdinError::Read(errno.into())),
        }
        if bytes.len() > LIMIT {
            return Err(StdinError::TooLong);
        }
    }
}

fn is_readable_until(input: &impl AsFd, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(input.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(value: &Value) -> Result<Input, StdinError> {
        Input::parse(value.to_string().as_bytes())
    }

    #[test]
    fn a_configuration_is_understood() {
        let input = parse(&json!({"cniVersion": "1.0.0", "name": "telecom", "type": "multiplane"})).unwrap();

        assert_eq!(input.version, Version::V100);
        assert_eq!(input.name.as_str(), "telecom");
        assert_eq!(input.prev_result().unwrap(), None);
        assert!(input.annotations().unwrap().is_empty());
    }

    #[test]
    fn a_missing_version_is_0_1_0_and_refused() {
        for conf in [json!({"name": "a"}), json!({"name": "a", "cniVersion": ""})] {
            let error = parse(&conf).unwrap_err();

            assert_eq!(
                error.to_string(),
                "cniVersion \"0.1.0\" is not supported: use one of 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"
            );
        }
    }

    #[test]
    fn bad_configurations_are_refused_by_kind() {
        assert!(matches!(Input::parse(b""), Err(StdinError::Decode(_))));
        assert!(matches!(Input::parse(b"{"), Err(StdinError::Decode(_))));
        assert!(matches!(Input::parse(b"[]"), Err(StdinError::Shape { .. })));
        assert!(matches!(parse(&json!({"cniVersion": 1, "name": "a"})), Err(StdinError::Shape { .. })));
        assert!(matches!(parse(&json!({"cniVersion": "1.0.0"})), Err(StdinError::NoName)));
        assert!(matches!(parse(&json!({"cniVersion": "1.0.0", "name": "../x"})), Err(StdinError::Name(_))));
        let deep = format!("{{\"name\":{}", "[".repeat(100_000));
        assert!(matches!(Input::parse(deep.as_bytes()), Err(StdinError::Decode(_))));
    }

    #[test]
    fn annotations_may_be_null_but_hold_text() {
        let with = |value: Value| {
            parse(&json!({"cniVersion": "1.0.0", "name": "a", "runtimeConfig": {POD_ANNOTATIONS: value}}))
                .unwrap()
                .annotations()
        };

        assert!(with(Value::Null).unwrap().is_empty());
        assert_eq!(with(json!({"a": "b"})).unwrap().len(), 1);
        assert!(with(json!({"a": 1})).is_err());
        assert!(with(json!("a")).is_err());
    }

    #[test]
    fn a_version_call_is_answered_whatever_it_sends() {
        assert_eq!(asked_version(b"{\"cniVersion\":\"9.9.9\"}"), "9.9.9");
        for nothing in [&b""[..], b"null", b"{\"cniVersion\":7}", b"garbage"] {
            assert_eq!(asked_version(nothing), "1.1.0");
        }
    }

    #[test]
    fn a_pipe_that_nobody_closes_is_given_up() {
        let (reader, _writer) = nix::unistd::pipe().unwrap();

        assert!(matches!(read(reader, Duration::from_millis(20)), Err(StdinError::Open { .. })));
    }

    #[test]
    fn endless_input_is_cut_off() {
        let zero = File::open("/dev/zero").unwrap();

        assert!(matches!(read(zero, Duration::from_secs(60)), Err(StdinError::TooLong)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Input::parse(&bytes);
            let _ = asked_version(&bytes);
        }
    }
}
