//! Counters in the Prometheus text format.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::registry::Registry;
use crate::resource::{Kind, PerKind};
use crate::xds::state::{Answer, Reaction};

#[derive(Debug, Default)]
struct OfKind {
    answers: AtomicU64,
    resources: AtomicU64,
    removed: AtomicU64,
    bytes: AtomicU64,
    acknowledged: AtomicU64,
    refused: AtomicU64,
    stale: AtomicU64,
}

/// What happened since the start.
#[derive(Debug, Default)]
pub struct Metrics {
    kinds: PerKind<OfKind>,
    joined: AtomicU64,
    left: AtomicU64,
    unknown: AtomicU64,
    reloads: AtomicU64,
    failed_reloads: AtomicU64,
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

impl Metrics {
    pub(crate) fn joined(&self) {
        add(&self.joined, 1);
    }

    pub(crate) fn left(&self) {
        add(&self.left, 1);
    }

    pub(crate) fn unknown_kind(&self) {
        add(&self.unknown, 1);
    }

    pub(crate) fn reloaded(&self, fine: bool) {
        add(if fine { &self.reloads } else { &self.failed_reloads }, 1);
    }

    pub(crate) fn sent(&self, answer: &Answer) {
        let kind = self.kinds.get(answer.kind);
        add(&kind.answers, 1);
        add(&kind.resources, count(answer.resources.len()));
        add(&kind.removed, count(answer.removed.len()));
        add(&kind.bytes, answer.resources.iter().map(|bytes| count(bytes.len())).sum());
    }

    pub(crate) fn reacted(&self, kind: Kind, reaction: &Reaction) {
        let kind = self.kinds.get(kind);
        match reaction {
            Reaction::Acknowledged => add(&kind.acknowledged, 1),
            Reaction::Refused { .. } => add(&kind.refused, 1),
            Reaction::Stale => add(&kind.stale, 1),
            Reaction::Subscription => {}
        }
    }

    /// Answers that proxies have refused so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        Kind::ALL.into_iter().map(|kind| read(&self.kinds.get(kind).refused)).sum()
    }

    /// Bytes of resources that were sent so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        Kind::ALL.into_iter().map(|kind| read(&self.kinds.get(kind).bytes)).sum()
    }

    /// The Prometheus text format, version 0.0.4.
    #[must_use]
    pub fn render(&self, registry: &Registry) -> String {
        let mut text = String::new();
        let connected = read(&self.joined).saturating_sub(read(&self.left));
        single(&mut text, "proxies_connected", "gauge", "Proxies with an open stream.", connected);
        single(&mut text, "proxies_total", "counter", "Streams opened.", read(&self.joined));
        single(&mut text, "registry_services", "gauge", "Services in force.", count(registry.services.len()));
        let faults = count(registry.faults.len());
        single(&mut text, "registry_faults", "gauge", "Files or objects that need mending.", faults);
        let ignored = count(registry.ignored);
        single(&mut text, "registry_ignored", "gauge", "Documents of kinds that mean nothing here.", ignored);
        single(&mut text, "reloads_total", "counter", "Registry changes taken in.", read(&self.reloads));
        let failed = read(&self.failed_reloads);
        single(
            &mut text,
            "reload_failures_total",
            "counter",
            "Times the registry could not be read.",
            failed,
        );
        let unknown = read(&self.unknown);
        single(
            &mut text,
            "unknown_kind_requests_total",
            "counter",
            "Requests for kinds not served.",
            unknown,
        );
        self.by_kind(&mut text, "answers_total", "Answers sent.", |kind| &kind.answers);
        self.by_kind(&mut text, "resources_total", "Resources sent.", |kind| &kind.resources);
        self.by_kind(&mut text, "removed_total", "Removals sent.", |kind| &kind.removed);
        self.by_kind(&mut text, "resource_bytes_total", "Bytes of resources sent.", |kind| &kind.bytes);
        self.by_kind(&mut text, "acknowledged_total", "Answers taken.", |kind| &kind.acknowledged);
        self.by_kind(&mut text, "refused_total", "Answers refused (NACK).", |kind| &kind.refused);
        self.by_kind(&mut text, "stale_total", "Late acknowledgements.", |kind| &kind.stale);
        text
    }

    fn by_kind(&self, text: &mut String, name: &str, help: &str, of: fn(&OfKind) -> &AtomicU64) {
        head(text, name, "counter", help);
        for kind in Kind::ALL {
            let value = read(of(self.kinds.get(kind)));
            let _ = writeln!(text, "multiplane_{name}{{kind=\"{}\"}} {value}", kind.short());
        }
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP multiplane_{name} {help}\n# TYPE multiplane_{name} {kind}");
}

fn single(text: &mut String, name: &str, kind: &str, help: &str, value: u64) {
    head(text, name, kind, help);
    let _ = writeln!(text, "multiplane_{name} {value}");
}
