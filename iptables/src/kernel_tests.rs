//! The rules in a kernel, seen by `nft` too.

use std::process::Command;

use planes::Traffic;

use super::*;
use crate::policy::{Plane, Policy};
use crate::{TABLE, sample, table};

fn run(netns: &Netns, command: &str) -> (bool, String) {
    let output = netns.run(|| Command::new("sh").args(["-c", command]).output().unwrap()).unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn nft(netns: &Netns, command: &str) -> String {
    let (done, text) = run(netns, &format!("nft {command}"));
    assert!(done, "nft {command}: {text}");
    text
}

fn variants() -> Vec<Policy> {
    let mut all = Vec::new();
    for undeclared in [Traffic::Capture, Traffic::Bypass, Traffic::Deny] {
        for proxy in [None, Some(sample::proxy())] {
            all.push(Policy { undeclared, proxy, ..sample::policy() });
        }
    }
    all.push(sample::by_direction());
    all
}

#[test]
fn what_the_kernel_reads_back_is_what_was_meant() {
    for policy in variants() {
        let netns = Netns::anonymous().unwrap();

        apply(&netns, &table(&policy)).unwrap();

        assert_eq!(check(&netns, &table(&policy)).unwrap(), Vec::<String>::new(), "{policy:?}");
    }
}

#[test]
fn the_text_is_what_nft_lists_and_accepts() {
    for policy in variants() {
        let (ours, theirs) = (Netns::anonymous().unwrap(), Netns::anonymous().unwrap());
        let table = table(&policy);

        apply(&ours, &table).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), table.to_text()).unwrap();
        nft(&theirs, &format!("-f {}", file.path().display()));

        let (ours, theirs_listed) = (nft(&ours, "list ruleset"), nft(&theirs, "list ruleset"));
        for (line, their_line) in ours.lines().zip(theirs_listed.lines()) {
            assert_eq!(line, their_line);
        }
        assert_eq!(ours, theirs_listed);
        assert_eq!(check(&theirs, &table).unwrap(), Vec::<String>::new(), "nft makes the same rules");
    }
}

#[test]
fn applying_twice_gives_the_same_and_removing_twice_is_fine() {
    let netns = Netns::anonymous().unwrap();
    let rules = table(&sample::policy());
    apply(&netns, &rules).unwrap();
    let once = nft(&netns, "list ruleset");

    apply(&netns, &rules).unwrap();

    assert_eq!(nft(&netns, "list ruleset"), once);
    remove(&netns, TABLE).unwrap();
    remove(&netns, TABLE).unwrap();
    assert_eq!(nft(&netns, "list ruleset"), "");
}

#[test]
fn a_refused_transaction_leaves_the_earlier_table() {
    let netns = Netns::anonymous().unwrap();
    let good = table(&sample::policy());
    apply(&netns, &good).unwrap();
    let mut bad = good.clone();
    // NAT chains cannot hook in so early
    bad.chains.iter_mut().for_each(|chain| chain.priority = -300);

    let error = apply(&netns, &bad).unwrap_err();

    assert!(error.to_string().contains("capture_in"), "{error}");
    assert_eq!(check(&netns, &good).unwrap(), Vec::<String>::new());
}

#[test]
fn each_tampering_is_named() {
    let tamperings = [
        ("delete table inet multiplane", "gone"),
        ("flush chain inet multiplane capture_in", "capture_in"),
        ("add rule inet multiplane isolate_in accept", "foreign rule"),
        ("insert rule inet multiplane capture_out accept", "capture_out"),
        ("add chain inet multiplane mine; nft add rule inet multiplane mine accept", "foreign chain mine"),
    ];
    for (tampering, word) in tamperings {
        let netns = Netns::anonymous().unwrap();
        let rules = table(&sample::policy());
        apply(&netns, &rules).unwrap();

        nft(&netns, tampering);

        let drifts = check(&netns, &rules).unwrap().join("; ");
        assert!(drifts.contains(word), "{tampering}: {word:?} is not in {drifts:?}");
    }
}

#[test]
fn other_tables_are_left_alone() {
    let netns = Netns::anonymous().unwrap();
    nft(&netns, "add table ip nat");

    apply(&netns, &table(&sample::policy())).unwrap();
    remove(&netns, TABLE).unwrap();

    assert_eq!(
        nft(&netns, "list ruleset").split_whitespace().collect::<Vec<_>>().join(" "),
        "table ip nat { }"
    );
}

#[test]
fn istios_annotations_become_rules_that_the_kernel_and_nft_agree_on() {
    let annotations = [
        ("excludeInboundPorts", "8080,9000-9010"),
        ("includeOutboundIPRanges", "10.0.0.0/8,fd00::/12"),
        ("excludeOutboundIPRanges", "10.96.0.0/12"),
        ("includeOutboundPorts", "443"),
        ("excludeOutboundPorts", "53"),
    ];
    let annotations =
        annotations.map(|(name, text)| (format!("traffic.sidecar.istio.io/{name}"), text.to_owned())).into();
    let mut policy = sample::policy();
    if let Some(proxy) = &mut policy.proxy {
        proxy.options = planes::capture::CaptureOptions::parse(&annotations).unwrap();
    }
    let (ours, theirs) = (Netns::anonymous().unwrap(), Netns::anonymous().unwrap());
    let table = table(&policy);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), table.to_text()).unwrap();

    apply(&ours, &table).unwrap();
    nft(&theirs, &format!("-f {}", file.path().display()));

    let text = nft(&ours, "list ruleset");
    assert_eq!(text, nft(&theirs, "list ruleset"));
    assert_eq!(check(&ours, &table).unwrap(), Vec::<String>::new());
    for rule in ["tcp dport 9000-9010 accept", "ip daddr 10.96.0.0/12 accept", "tcp dport 443 tcp flags"] {
        assert!(text.contains(rule), "{text}");
    }
}

#[test]
fn thousands_of_rules_are_one_transaction_too() {
    let netns = Netns::anonymous().unwrap();
    let mut policy = sample::policy();
    let template = sample::plane("x", Traffic::Capture, &["10.1.0.2"]);
    policy.planes.extend(
        (0..40).map(|number| Plane { ifname: format!("net{number}").parse().unwrap(), ..template.clone() }),
    );
    if let Some(proxy) = &mut policy.proxy {
        let port = |port| planes::capture::PortRange { first: port, last: port };
        proxy.options.include_inbound_ports = Some((8000..8040).map(port).collect());
    }
    let table = table(&policy);
    assert!(table.chains.iter().map(|chain| chain.rules.len()).sum::<usize>() > 3000);

    apply(&netns, &table).unwrap();

    assert_eq!(check(&netns, &table).unwrap(), Vec::<String>::new());
}

fn answer(number: u32, code: i32) -> Answer {
    Answer { kind: NLMSG_ERROR, number, body: (-code).to_ne_bytes().to_vec() }
}

#[test]
fn what_a_kernel_lacks_is_told_apart_from_what_it_refuses() {
    let operations = || vec!["add table inet multiplane".to_owned(), "add rule to fuse: x".to_owned()];

    let cases = [
        (answer(0, libc::EOPNOTSUPP), true, "set rules"),
        (answer(2, libc::ENOENT), true, "add rule to fuse"),
        (answer(0, libc::EPERM), false, "set rules"),
        (answer(1, libc::EPERM), false, "add table"),
        (answer(2, libc::EOPNOTSUPP), false, "add rule to fuse"),
    ];
    for (answer, is_unsupported, word) in cases {
        let error = judge(operations(), &[answer]).unwrap_err();
        assert_eq!(error.is_unsupported(), is_unsupported, "{error:?}");
        assert!(error.to_string().starts_with(word), "{error}");
    }
    assert!(judge(operations(), &[answer(2, 0)]).is_ok());
    assert!(matches!(judge(operations(), &[]), Err(Error::Silent { .. })));
}

#[test]
fn of_iptables_legacy_tables_those_that_redirect_are_named() {
    assert_eq!(redirecting("ip", "raw\nfilter\nnat\n"), ["nat (iptables-legacy)"]);
    assert_eq!(redirecting("ip6", "mangle\n"), ["mangle (ip6tables-legacy)"]);
    assert_eq!(redirecting("ip", ""), Vec::<String>::new());
}
