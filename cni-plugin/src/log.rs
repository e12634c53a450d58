//! The log: on stderr, as stdout belongs to CNI. Runtimes mostly drop it when a call fails, so what a person
//! must know stands in the error object.

use tracing::level_filters::LevelFilter;

/// Starts logging at the level of `MULTIPLANE_LOG`, `warn` unless told. No directives, no regular
/// expressions: the program lives for milliseconds.
pub fn install() {
    let asked = std::env::var("MULTIPLANE_LOG").ok();
    let level = asked.and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::WARN);
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
}
