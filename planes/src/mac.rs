//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A unicast Ethernet address. Text form is lower-case with colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddr([u8; 6]);

/// The text is not a usable Ethernet address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mac {value:?}: write a unicast address such as 0a:58:0a:4b:08:07")]
pub struct MacError {
    value: String,
}

impl MacAddr {
    /// Wraps six bytes as read from the kernel.
    #[must_use]
    pub const fn new(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }

    /// The six bytes in transmission order.
    #[must_use]
    pub const fn bytes(self) -> [u8; 6] {
        self.0
    }

    /// A locally administered unicast address that depends on `parts` alone, so that a pod which is made
    /// again under the same name keeps its address (IEEE 802-2014, 8.4: bit 1 set, bit 0 clear).
    #[must_use]
    pub fn derived(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_be_bytes());
            hash.update(part.as_bytes());
        }
        let digest = hash.finalize();
        let mut bytes = [0; 6];
        bytes.copy_from_slice(&digest[..6]);
        bytes[0] = (bytes[0] & 0xfc) | 0x02;
        Self(bytes)
    }
}

impl FromStr for MacAddr {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let refuse = || MacError { value: text.chars().take(64).collect() };
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut bytes = [0; 6];
        let mut parts = text.split(separator);
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = part.and_then(|p| u8::from_str_radix(p, 16).ok()).ok_or_else(refuse)?;
        }
        let unicast = bytes[0] & 1 == 0 && bytes != [0; 6];
        if parts.next().is_none() && unicast { Ok(Self(bytes)) } else { Err(refuse()) }
    }
}

impl TryFrom<String> for MacAddr {
    type Error = MacError;

    fn try_from(text: String) -> Result<Self, MacError> {
        text.parse()
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> String {
        mac.to_string()
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_inverse_of_parsing() {
        let mac: MacAddr = "0A-58-0a-4b-08-07".parse().unwrap();

        assert_eq!(mac.to_string(), "0a:58:0a:4b:08:07");
        assert_eq!(mac.to_string().parse(), Ok(mac));
    }

    #[test]
    fn group_and_zero_addresses_are_refused() {
        for bad in
            ["01:00:5e:00:00:01", "00:00:00:00:00:00", "0a:58", "0a:58:0a:4b:08:07:01", "0a:58:+a:4b:08:07"]
        {
            assert!(bad.parse::<MacAddr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn derived_addresses_are_local_unicast_and_separate_their_parts() {
        let one = MacAddr::derived(&["a", "bc"]);

        assert_eq!(one, MacAddr::derived(&["a", "bc"]));
        assert_ne!(one, MacAddr::derived(&["ab", "c"]));
        assert_eq!(one.bytes()[0] & 3, 2);
    }
}
