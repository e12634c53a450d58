//! The suites: each test is a sentence about a world.

mod real_parts;
