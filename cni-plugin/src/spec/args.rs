//! `CNI_ARGS`: `KEY=value;KEY=value`, where Kubernetes puts the pod's identity.
//!
//! kubelet's order varies from call to call, and a plugin inside Multus' delegates gets keys twice
//! (facts: `K8S_POD_UID` twice, `IgnoreUnknown=true` beside `IgnoreUnknown=1`).

use std::collections::BTreeMap;

use planes::Pod;
use planes::name::is_plain_name;

/// `CNI_ARGS` cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// A pair without `=`, or with an empty key.
    #[error("CNI_ARGS pair {pair:?}: write KEY=value, pairs separated by \";\"")]
    Pair {
        /// The pair as given, cut to 64 characters.
        pair: String,
    },
    /// One key, two values.
    #[error("CNI_ARGS key {key} has two values, {first:?} and {second:?}: give it once")]
    Conflict {
        /// The key.
        key: String,
        /// Its first value.
        first: String,
        /// Its other value.
        second: String,
    },
    /// A value that cannot be a Kubernetes name or UID.
    #[error("CNI_ARGS {key} {value:?}: use 1 to 253 of A-Z a-z 0-9 . _ -, starting with a letter or digit")]
    Identity {
        /// The key.
        key: &'static str,
        /// The value, cut to 64 characters.
        value: String,
    },
}

/// What `CNI_ARGS` tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CniArgs {
    /// The pod. A call without a pod's name (cnitool, podman) is a call without a pod.
    pub pod: Option<Pod>,
    /// A key stands there twice, as only Multus writes it for its delegates.
    pub repeated: bool,
}

impl CniArgs {
    /// Parses the variable's text. Unknown keys are ignored.
    ///
    /// # Errors
    /// A malformed pair, one key with two values, or a name that could leave its directory.
    pub fn parse(text: &str) -> Result<Self, ArgsError> {
        let (pairs, repeated) = pairs(text)?;
        let identity = |key| identity(&pairs, key);
        let (namespace, name, uid) =
            (identity("K8S_POD_NAMESPACE")?, identity("K8S_POD_NAME")?, identity("K8S_POD_UID")?);
        let pod = name.zip(namespace).map(|(name, namespace)| Pod { namespace, name, uid });
        Ok(Self { pod, repeated })
    }
}

fn pairs(text: &str) -> Result<(BTreeMap<&str, &str>, bool), ArgsError> {
    let mut pairs = BTreeMap::new();
    let mut repeated = false;
    for pair in text.split(';').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| ArgsError::Pair { pair: cut(pair) })?;
        match pairs.insert(key, value) {
            // "true" and "1" mean the same here, and we never mind unknown keys anyway
            Some(first) if first != value && key != "IgnoreUnknown" => {
                return Err(ArgsError::Conflict { key: cut(key), first: cut(first), second: cut(value) });
            }
            Some(_) => repeated = true,
            None => {}
        }
    }
    Ok((pairs, repeated))
}

/// The value of a key that becomes part of a path, a lease's owner or a node ID; empty is absent.
fn identity(pairs: &BTreeMap<&str, &str>, key: &'static str) -> Result<Option<String>, ArgsError> {
    let Some(value) = pairs.get(key).copied().filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    if is_plain_name(value, 253) {
        Ok(Some(value.to_owned()))
    } else {
        Err(ArgsError::Identity { key, value: cut(value) })
    }
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KUBELET: &str = "K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=9f0c;IgnoreUnknown=1;\
                           K8S_POD_NAMESPACE=default";

    fn pod(text: &str) -> Result<Option<Pod>, ArgsError> {
        CniArgs::parse(text).map(|args| args.pod)
    }

    #[test]
    fn a_kubelets_arguments_name_the_pod_in_any_order() {
        let mut parts: Vec<&str> = KUBELET.split(';').collect();
        let expected = Pod { namespace: "default".into(), name: "web-0".into(), uid: Some("9f0c".into()) };

        for _ in 0..parts.len() {
            parts.rotate_left(1);
            assert_eq!(pod(&parts.join(";")), Ok(Some(expected.clone())));
            assert!(!CniArgs::parse(&parts.join(";")).unwrap().repeated);
        }
    }

    #[test]
    fn multus_delegates_get_keys_twice_and_are_understood() {
        let twice = format!("IgnoreUnknown=true;{KUBELET};K8S_POD_UID=9f0c");

        let args = CniArgs::parse(&twice).unwrap();

        assert_eq!(args.pod.unwrap().uid.as_deref(), Some("9f0c"));
        assert!(args.repeated);
    }

    #[test]
    fn one_key_with_two_values_is_refused_by_name() {
        let error = pod(&format!("{KUBELET};K8S_POD_UID=other")).unwrap_err();

        assert_eq!(
            error.to_string(),
            "CNI_ARGS key K8S_POD_UID has two values, \"9f0c\" and \"other\": give it once"
        );
    }

    #[test]
    fn calls_without_a_pod_are_fine() {
        for none in ["", ";", "IgnoreUnknown=1", "K8S_POD_NAME=;K8S_POD_NAMESPACE=", "A=b=c"] {
            assert_eq!(pod(none), Ok(None), "{none:?}");
        }
    }

    #[test]
    fn identities_that_could_leave_their_directory_are_refused() {
        for bad in ["../../etc", "/etc", ".", "a/b", "a b", "-x", &"a".repeat(254)] {
            assert!(pod(&format!("K8S_POD_UID={bad}")).is_err(), "{bad:?}");
        }
        assert!(pod("K8S_POD_NAME").is_err());
        assert!(pod("=x").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_answered_without_panic(text in ".{0,300}") {
            let _ = pod(&text);
        }
    }
}
