//! The versions of the protocol, matched as exact text: "1.0" is not "1.0.0" (CNI SPEC, "Version considerations").

use std::fmt;

/// A version of the CNI specification that we answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// Conflists and chaining, `ips[].version`.
    V030,
    /// As 0.3.0, its text corrected.
    V031,
    /// CHECK, and `prevResult` on DEL.
    V040,
    /// No `ips[].version`.
    V100,
    /// STATUS, GC, `interfaces[].mtu`.
    V110,
}

impl Version {
    /// From the oldest to the newest.
    pub const ALL: [Self; 5] = [Self::V030, Self::V031, Self::V040, Self::V100, Self::V110];

    /// The version in which we speak when the caller's is not known.
    pub const NEWEST: Self = Self::V110;

    /// The version with exactly this text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// The text of configurations and results.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V030 => "0.3.0",
            Self::V031 => "0.3.1",
            Self::V040 => "0.4.0",
            Self::V100 => "1.0.0",
            Self::V110 => "1.1.0",
        }
    }

    /// All versions in one line, for messages.
    #[must_use]
    pub fn list() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_text_names_a_version() {
        assert_eq!(Version::from_text("1.0.0"), Some(Version::V100));
        for other in ["1.0", "", "0.1.0", "0.2.0", "1.1.0 ", "v1.1.0", "2.0.0"] {
            assert_eq!(Version::from_text(other), None, "{other:?}");
        }
    }
}
