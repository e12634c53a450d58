//! Planes in a real kernel, in anonymous namespaces: packets pass, CHECK is clean, every drift is named, and
//! removal leaves both namespaces as they were.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod adopted;
mod announce;
mod bridge;
mod drift;
mod host_device;
mod identity;
mod lacking;
mod macvlan;
mod ptp;
mod removal;
mod replies;
mod vxlan;
mod world;
