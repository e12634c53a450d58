//! How the kernel's state differs from what ADD left.

use std::fmt;

/// One difference, as a sentence that names the thing, what it should be and what it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Drift(String);

impl Drift {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Compares one property of `object`.
    pub(crate) fn compare<T: PartialEq + fmt::Display>(
        list: &mut Vec<Self>,
        object: &dyn fmt::Display,
        property: &str,
        wanted: &T,
        found: &T,
    ) {
        if wanted != found {
            list.push(Self(format!("{object}: {property} is {found}, not {wanted}")));
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
