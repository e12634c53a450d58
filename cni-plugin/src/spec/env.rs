//! The environment of a call (CNI SPEC 1.1.0, "Parameters"). An empty variable is an absent one: libcni
//! always sets all six.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use planes::{ContainerId, IfName, NameError};

use super::args::{ArgsError, CniArgs};

/// The environment is not what the protocol asks for: code 4.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// Variables that this command needs.
    #[error("required env variables [{}] missing: the runtime must set them", names.join(", "))]
    Missing {
        /// Their names.
        names: Vec<&'static str>,
    },
    /// A command of no version of the specification.
    #[error("CNI_COMMAND {value:?}: use ADD, DEL, CHECK, GC, STATUS or VERSION")]
    Command {
        /// The value, cut to 64 characters.
        value: String,
    },
    /// A variable that breaks its rule.
    #[error("{variable}")]
    Name {
        /// The variable.
        variable: &'static str,
        /// The rule.
        #[source]
        source: NameError,
    },
    /// Bytes that are no text.
    #[error("{variable} is not UTF-8 text: give it as text")]
    NotText {
        /// The variable.
        variable: &'static str,
    },
    /// `CNI_ARGS` is malformed.
    #[error(transparent)]
    Args(#[from] ArgsError),
}

/// A call, with the variables that its command needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Attach.
    Add(Invocation),
    /// Detach.
    Del(Invocation),
    /// Compare with what ADD made.
    Check(Invocation),
    /// Remove what no valid attachment owns.
    Gc,
    /// Say whether ADD could be served.
    Status,
    /// Say which versions we speak.
    Version,
}

/// The variables of a process, as a value: the environment itself is shared by all threads.
pub type Variables = BTreeMap<OsString, OsString>;

/// One call of the plugin, its variables parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The container, a sandbox in Kubernetes.
    pub container: ContainerId,
    /// Path of its network namespace; a DEL may have none.
    pub netns: Option<PathBuf>,
    /// The interface that this attachment is about.
    pub ifname: IfName,
    /// The pod, if Kubernetes called.
    pub args: CniArgs,
    /// Whether the namespace may be our own (`CNI_NETNS_OVERRIDE`, libcni 1.2).
    pub netns_override: bool,
}

/// Reads the variables; `None` when it is not set, that is when a person calls.
///
/// # Errors
/// An unknown command, missing or malformed variables; each is named.
pub fn call(variables: &Variables) -> Result<Option<Call>, EnvError> {
    let Some(command) = text(variables, "CNI_COMMAND")? else { return Ok(None) };
    let call = match command {
        "ADD" => Call::Add(Invocation::parse(variables, Namespace::Needed)?),
        "DEL" => Call::Del(Invocation::parse(variables, Namespace::Optional)?),
        "CHECK" => Call::Check(Invocation::parse(variables, Namespace::Needed)?),
        "GC" => Call::Gc,
        "STATUS" => Call::Status,
        "VERSION" => Call::Version,
        other => return Err(EnvError::Command { value: other.chars().take(64).collect() }),
    };
    Ok(Some(call))
}

/// Whether a verb can do without `CNI_NETNS`. DEL can, and then minds no malformed `CNI_ARGS` either: the
/// saved state knows the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Namespace {
    Needed,
    Optional,
}

/// The directories of `CNI_PATH`, in order.
#[must_use]
pub fn plugin_path(variables: &Variables) -> Vec<PathBuf> {
    let path = variables.get(&OsString::from("CNI_PATH"));
    path.map(|path| std::env::split_paths(path).filter(|dir| !dir.as_os_str().is_empty()).collect())
        .unwrap_or_default()
}

impl Invocation {
    /// Parses the variables of ADD, DEL and CHECK. `CNI_PATH` is not asked for: only a delegation needs it.
    fn parse(variables: &Variables, namespace: Namespace) -> Result<Self, EnvError> {
        let container = text(variables, "CNI_CONTAINERID")?;
        let netns = text(variables, "CNI_NETNS")?;
        let ifname = text(variables, "CNI_IFNAME")?;
        let no_netns = netns.is_none() && namespace == Namespace::Needed;
        let (Some(container), Some(ifname), false) = (container, ifname, no_netns) else {
            let required = [
                ("CNI_CONTAINERID", container.is_none()),
                ("CNI_NETNS", no_netns),
                ("CNI_IFNAME", ifname.is_none()),
            ];
            let names = required.into_iter().filter_map(|(name, missing)| missing.then_some(name)).collect();
            return Err(EnvError::Missing { names });
        };
        Ok(Self {
            container: parse("CNI_CONTAINERID", container)?,
            netns: netns.map(PathBuf::from),
            ifname: parse("CNI_IFNAME", ifname)?,
            args: args(variables, namespace)?,
            netns_override: is_true(text(variables, "CNI_NETNS_OVERRIDE")?),
        })
    }
}

fn args(variables: &Variables, namespace: Namespace) -> Result<CniArgs, EnvError> {
    let parsed = text(variables, "CNI_ARGS").and_then(|text| Ok(CniArgs::parse(text.unwrap_or_default())?));
    match (namespace, parsed) {
        (Namespace::Optional, Err(error)) => {
            tracing::warn!(%error, "CNI_ARGS ignored");
            Ok(CniArgs::default())
        }
        (_, parsed) => parsed,
    }
}

fn text<'v>(variables: &'v Variables, variable: &'static str) -> Result<Option<&'v str>, EnvError> {
    match variables.get(&OsString::from(variable)) {
        None => Ok(None),
        Some(value) => match value.to_str() {
            Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            None => Err(EnvError::NotText { variable }),
        },
    }
}

fn parse<T: std::str::FromStr<Err = NameError>>(variable: &'static str, text: &str) -> Result<T, EnvError> {
    text.parse().map_err(|source| EnvError::Name { variable, source })
}

/// As libcni reads it: `1`, or `TRUE` in any case.
fn is_true(text: Option<&str>) -> bool {
    text.is_some_and(|text| text == "1" || text.eq_ignore_ascii_case("true"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(key, value)| (OsString::from(*key), OsString::from(*value))).collect()
    }

    const FULL: [(&str, &str); 3] =
        [("CNI_CONTAINERID", "c1"), ("CNI_NETNS", "/proc/self/ns/net"), ("CNI_IFNAME", "eth0")];

    #[test]
    fn a_full_environment_is_understood() {
        let call = Invocation::parse(&variables(&FULL), Namespace::Needed).unwrap();

        assert_eq!(call.container.as_str(), "c1");
        assert_eq!(call.ifname.as_str(), "eth0");
        assert_eq!(call.netns, Some(PathBuf::from("/proc/self/ns/net")));
        assert_eq!(call.args, CniArgs::default());
    }

    #[test]
    fn all_missing_variables_are_named_at_once_and_empty_is_missing() {
        let error = Invocation::parse(&variables(&[("CNI_NETNS", "")]), Namespace::Needed).unwrap_err();

        assert_eq!(
            error.to_string(),
            "required env variables [CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME] missing: the runtime must set them"
        );
    }

    #[test]
    fn del_needs_no_namespace_and_minds_no_arguments() {
        let variables =
            variables(&[("CNI_CONTAINERID", "c1"), ("CNI_IFNAME", "eth0"), ("CNI_ARGS", "nonsense")]);

        let call = Invocation::parse(&variables, Namespace::Optional).unwrap();

        assert_eq!((call.netns, call.args), (None, CniArgs::default()));
        assert!(Invocation::parse(&variables, Namespace::Needed).is_err());
    }

    #[test]
    fn commands_are_exact() {
        assert_eq!(call(&variables(&[("CNI_COMMAND", "GC")])), Ok(Some(Call::Gc)));
        assert_eq!(call(&variables(&[("CNI_COMMAND", "")])), Ok(None));
        assert!(call(&variables(&[("CNI_COMMAND", "add")])).is_err());
    }

    #[test]
    fn names_are_refused_with_their_variable_and_rule() {
        let mut pairs = FULL;
        pairs[0].1 = "../../etc";
        let error = Invocation::parse(&variables(&pairs), Namespace::Needed).unwrap_err();

        assert!(matches!(error, EnvError::Name { variable: "CNI_CONTAINERID", .. }), "{error:?}");
    }

    #[test]
    fn bytes_that_are_no_text_are_named() {
        let mut variables = variables(&FULL);
        variables.insert("CNI_IFNAME".into(), OsString::from_vec(vec![0xff]));

        let error = Invocation::parse(&variables, Namespace::Needed).unwrap_err();

        assert_eq!(error, EnvError::NotText { variable: "CNI_IFNAME" });
    }

    #[test]
    fn empty_parts_of_the_plugin_path_are_no_directories() {
        let path = plugin_path(&variables(&[("CNI_PATH", "/opt/cni/bin::/usr/lib/cni")]));

        assert_eq!(path, [PathBuf::from("/opt/cni/bin"), PathBuf::from("/usr/lib/cni")]);
    }
}
