//! Names that come from outside, each parsed once at the edge so that no unchecked text travels inside.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name was refused. The message names the kind of name, the value and the rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?}: {rule}")]
pub struct NameError {
    /// Which kind of name was parsed, for example `plane name`.
    pub what: &'static str,
    /// The refused text, cut to 64 characters so that a hostile value cannot flood an event.
    pub value: String,
    /// The rule it breaks, phrased as a cure.
    pub rule: &'static str,
}

impl NameError {
    fn new(what: &'static str, value: &str, rule: &'static str) -> Self {
        Self { what, value: value.chars().take(64).collect(), rule }
    }
}

/// Defines a newtype over `String` whose only constructor is a checking `FromStr`.
macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                match $check(text) {
                    Ok(()) => Ok(Self(text.to_owned())),
                    Err(rule) => Err(NameError::new($what, text, rule)),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type! {
    /// The name of a network plane, such as `control` or `media`: 1 to 63 of `[A-Za-z0-9._-]`,
    /// starting with a letter or digit.
    PlaneName, "plane name", check_plane
}
name_type! {
    /// The name of a CNI network (CNI SPEC 1.1.0, "Network configuration", `name`).
    NetworkName, "network name", check_cni_identifier
}
name_type! {
    /// A container ID as the runtime gives it (CNI SPEC 1.1.0, `CNI_CONTAINERID`).
    ContainerId, "container ID", check_cni_identifier
}
name_type! {
    /// The name of a network interface: 1 to 15 bytes, no `/`, `:`, white space or control character,
    /// not `.` or `..` (`dev_valid_name` in `net/core/dev.c`, plus the colon as in CNI SPEC 1.1.0), nor a name that the
    /// kernel takes for something else (`all`, `default`, `net%d`).
    IfName, "interface name", check_ifname
}
name_type! {
    /// The name of a bridge on the node. Same alphabet as [`IfName`]; a type of its own, so that a pod-side
    /// name is never used for a fixture of the node.
    BridgeName, "bridge name", check_ifname
}
name_type! {
    /// The name of a CNI plugin binary: a file name without a path (CNI SPEC 1.1.0, section 4).
    PluginName, "plugin type", check_plugin
}

impl PlaneName {
    /// Names a plane after an interface that no plane claims; bytes outside a plane name's alphabet become `_`.
    #[must_use]
    pub fn from_ifname(ifname: &IfName) -> Self {
        let mut text: String = ifname.as_str().chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
        if !starts_alphanumeric(&text) {
            text.insert(0, 'x');
        }
        Self(text)
    }
}

impl BridgeName {
    /// The bridge as an interface of the node.
    #[must_use]
    pub fn as_ifname(&self) -> IfName {
        IfName(self.0.clone())
    }
}

fn starts_alphanumeric(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-".contains(c)
}

/// Whether the text is 1 to `most` of `[A-Za-z0-9._-]`, starting with a letter or digit: safe as a part of a path.
#[must_use]
pub fn is_plain_name(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && starts_alphanumeric(text) && text.chars().all(is_plain)
}

fn plain_name(text: &str, most: usize, rule: &'static str) -> Result<(), &'static str> {
    if is_plain_name(text, most) { Ok(()) } else { Err(rule) }
}

fn check_plane(text: &str) -> Result<(), &'static str> {
    plain_name(text, 63, "use 1 to 63 of A-Z a-z 0-9 . _ -, starting with a letter or digit")
}

fn check_cni_identifier(text: &str) -> Result<(), &'static str> {
    plain_name(text, 200, "use 1 to 200 of A-Z a-z 0-9 . _ -, starting with a letter or digit")
}

fn check_ifname(text: &str) -> Result<(), &'static str> {
    if !(1..=15).contains(&text.len()) {
        return Err("use 1 to 15 bytes");
    }
    if text == "." || text == ".." {
        return Err("\".\" and \"..\" are reserved");
    }
    // their sysctls would be those of every interface; the kernel refuses with EINVAL (sysctl_dev_name_is_allowed)
    if text == "all" || text == "default" {
        return Err("\"all\" and \"default\" are reserved by the kernel");
    }
    // "net%d" is a pattern to the kernel, not a name (dev_alloc_name)
    if text.contains('%') {
        return Err("\"%\" is not allowed: the kernel would number it");
    }
    if text.chars().any(|c| c == '/' || c == ':' || c.is_whitespace() || c.is_control()) {
        return Err("\"/\", \":\", white space and control characters are not allowed");
    }
    Ok(())
}

fn check_plugin(text: &str) -> Result<(), &'static str> {
    plain_name(text, 64, "use the file name of a plugin: 1 to 64 of A-Z a-z 0-9 . _ -, no path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_follow_the_kernel() {
        for good in ["eth0", "net1", "a", "eth0.100", "123456789012345", "é"] {
            assert!(good.parse::<IfName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a:b",
            "a b",
            "a\tb",
            "1234567890123456",
            "a\u{a0}b",
            "a\u{7}",
            "all",
            "default",
            "net%d",
        ] {
            assert!(bad.parse::<IfName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn container_ids_cannot_leave_their_directory() {
        for bad in ["", "../x", "/x", ".x", "a/b", "a b", "-a"] {
            assert!(bad.parse::<ContainerId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_undeclared_interface_lends_its_name_to_a_plane() {
        let plane = PlaneName::from_ifname(&"@é-0".parse().unwrap());

        assert_eq!(plane.as_str(), "x__-0");
        assert_eq!(plane.as_str().parse::<PlaneName>().as_ref(), Ok(&plane));
    }

    #[test]
    fn a_refusal_names_the_kind_the_value_and_the_rule() {
        let error = "a/b".parse::<PlaneName>().unwrap_err().to_string();

        assert_eq!(
            error,
            "plane name \"a/b\": use 1 to 63 of A-Z a-z 0-9 . _ -, starting with a letter or digit"
        );
    }
}
