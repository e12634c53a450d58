//! What a plugin's environment is: ours, and the few variables that differ from plane to plane.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use planes::Role;

use super::{Subject, Variables, Verb};

/// Keys of `CNI_ARGS` that choose addresses of the primary interface.
const ADDRESSING: [&[u8]; 3] = [b"IP", b"GATEWAY", b"MAC"];
const TOLERANCE: &[u8] = b"IgnoreUnknown";

/// The environment of one call.
pub(super) fn of(ours: &Variables, verb: Verb, subject: Option<Subject<'_>>) -> Variables {
    let mut variables = ours.clone();
    let mut set = |name: &str, value: OsString| variables.insert(name.into(), value);
    set("CNI_COMMAND", verb.as_str().into());
    let whose = subject.map_or(Role::Primary, |subject| subject.role);
    set("CNI_ARGS", arguments(ours.get(&OsString::from("CNI_ARGS")), whose));
    if let Some(subject) = subject {
        set("CNI_CONTAINERID", subject.container.as_str().into());
        set("CNI_NETNS", subject.netns.into());
        set("CNI_IFNAME", subject.ifname.as_str().into());
    }
    variables
}

/// `IgnoreUnknown=1` once, as reference plugins refuse Kubernetes' own keys without it; and for other interfaces than
/// the primary nothing that chooses the primary's addresses.
fn arguments(ours: Option<&OsString>, role: Role) -> OsString {
    let mut bytes = [TOLERANCE, b"=1"].concat();
    let pairs = ours.map(|text| text.as_bytes()).unwrap_or_default().split(|byte| *byte == b';');
    for pair in pairs.filter(|pair| !pair.is_empty()) {
        let key = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        if key == TOLERANCE || (role != Role::Primary && ADDRESSING.contains(&key)) {
            continue;
        }
        bytes.push(b';');
        bytes.extend_from_slice(pair);
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_arguments_are_always_tolerated_and_the_rest_is_passed_on() {
        let cases = [
            (None, Role::Plane, "IgnoreUnknown=1"),
            (Some(""), Role::Plane, "IgnoreUnknown=1"),
            (Some("K8S_POD_NAME=a;IgnoreUnknown=0"), Role::Plane, "IgnoreUnknown=1;K8S_POD_NAME=a"),
            (Some("IgnoreUnknown=1;IgnoreUnknown=1;A=b=c"), Role::Plane, "IgnoreUnknown=1;A=b=c"),
            (Some("IP=10.0.0.2;MAC=x;GATEWAY=y;IPX=z"), Role::Plane, "IgnoreUnknown=1;IPX=z"),
            (Some("IP=10.0.0.2;MAC=x"), Role::Primary, "IgnoreUnknown=1;IP=10.0.0.2;MAC=x"),
        ];
        for (given, role, expected) in cases {
            assert_eq!(arguments(given.map(OsString::from).as_ref(), role), expected, "{given:?}");
        }
    }

    #[test]
    fn each_plane_has_its_own_interface_name_and_the_rest_is_ours() {
        let ours: Variables = [("PATH", "/bin"), ("CNI_IFNAME", "eth0"), ("CNI_COMMAND", "GC")]
            .map(|(name, value)| (name.into(), value.into()))
            .into();
        let (container, ifname) = ("c1".parse().unwrap(), "med0".parse().unwrap());
        let subject = Subject {
            container: &container,
            netns: "/proc/1/ns".as_ref(),
            ifname: &ifname,
            role: Role::Plane,
        };

        let theirs = of(&ours, Verb::Del, Some(subject));

        let get = |name: &str| theirs.get(&OsString::from(name)).unwrap().to_str().unwrap().to_owned();
        let read = ["CNI_COMMAND", "CNI_IFNAME", "CNI_CONTAINERID", "CNI_NETNS", "PATH"].map(get);
        assert_eq!(read, ["DEL", "med0", "c1", "/proc/1/ns", "/bin"]);
    }
}
