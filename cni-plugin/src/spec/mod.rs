//! The CNI protocol and nothing else: environment, stdin, result and error objects, versions and codes
//! (CNI SPEC 1.1.0 and the older versions that we answer).

pub mod args;
pub mod env;
pub mod error;
pub mod prev;
pub mod result;
pub mod stdin;
pub mod valid;
pub mod version;

pub use env::{Call, Invocation};
pub use error::ErrorObject;
pub use prev::PrevResult;
pub use stdin::Input;
pub use version::Version;
