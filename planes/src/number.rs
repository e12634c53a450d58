//! Numbers that share a shape but not a meaning.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number is outside its range. The message names the kind, the value and the range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value}: use {min} to {max}")]
pub struct NumberError {
    what: &'static str,
    value: u64,
    min: u64,
    max: u64,
}

macro_rules! number_type {
    ($(#[$doc:meta])* $name:ident($repr:ty), $what:literal, $min:literal..=$max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u64", into = "u64")]
        pub struct $name($repr);

        impl $name {
            /// The number itself.
            #[must_use]
            pub const fn get(self) -> $repr {
                self.0
            }
        }

        impl TryFrom<u64> for $name {
            type Error = NumberError;

            fn try_from(value: u64) -> Result<Self, NumberError> {
                let refuse = || NumberError { what: $what, value, min: $min, max: $max };
                if !($min..=$max).contains(&value) {
                    return Err(refuse());
                }
                <$repr>::try_from(value).map(Self).map_err(|_| refuse())
            }
        }

        impl From<$name> for u64 {
            fn from(number: $name) -> u64 {
                u64::from(number.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_type! {
    /// An 802.1Q VLAN identifier (IEEE 802.1Q-2018, 9.6: 0 and 4095 are reserved).
    Vlan(u16), "vlan", 1..=4094
}
number_type! {
    /// A VXLAN network identifier, 24 bits (RFC 7348, 5).
    Vni(u32), "vni", 1..=16_777_215
}
number_type! {
    /// A link's MTU in bytes of layer-3 payload: at least IPv4's 68 (RFC 791, 3.2), at most 65535.
    Mtu(u32), "mtu", 68..=65_535
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_each_range_belong_to_it() {
        assert!(Vlan::try_from(0).is_err() && Vlan::try_from(1).is_ok());
        assert!(Vlan::try_from(4094).is_ok() && Vlan::try_from(4095).is_err());
        assert!(Vni::try_from(0xff_ffff).is_ok() && Vni::try_from(0x100_0000).is_err());
        assert!(Mtu::try_from(67).is_err() && Mtu::try_from(65_535).is_ok());
        assert_eq!(Mtu::try_from(70_000).unwrap_err().to_string(), "mtu 70000: use 68 to 65535");
    }
}
