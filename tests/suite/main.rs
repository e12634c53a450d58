//! The suites: each test is a sentence about a world.

#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test's helper is a failed test")]

mod attach;
mod bad_input;
mod capture;
mod churn;
mod conformance;
mod faults;
mod ipam;
mod kill;
mod kinds;
mod lifecycle;
mod points;
mod real_parts;
mod recorded;
mod routing;
mod story;
