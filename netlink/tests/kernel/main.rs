//! Planes in a real kernel, in anonymous namespaces: packets pass, CHECK is clean, every drift is named, and
//! removal leaves both namespaces as they were.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod bridge;
mod lacking;
mod macvlan;
mod ptp;
mod replies;
mod world;
