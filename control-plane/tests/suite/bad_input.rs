//! What people get wrong in a registry: each mistake is answered with line, field, problem and cure.

use control_plane::registry::object::parse_file;
use proptest::prelude::*;

const HEAD: &str =
    "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a, namespace: shop}\nspec:\n";

/// A ServiceEntry of which one line is replaced; the mistake stands in line 5 or where `line` says.
fn entry(lines: &[&str]) -> String {
    let known = [
        ("hosts", "  hosts: [a.shop.svc]"),
        ("ports", "  ports: [{number: 80, name: http, protocol: HTTP}]"),
        ("resolution", "  resolution: STATIC"),
        ("endpoints", "  endpoints: [{address: 10.0.0.1}]"),
    ];
    let mut yaml = HEAD.to_owned();
    for line in lines {
        yaml.push_str(line);
        yaml.push('\n');
    }
    for (key, line) in known {
        let given = format!("  {key}:");
        let left_out = format!("  # no {key}");
        if !lines.iter().any(|line| line.starts_with(&given) || *line == left_out) {
            yaml.push_str(line);
            yaml.push('\n');
        }
    }
    yaml
}

fn workload(spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: w, namespace: shop}}\nspec:\n  {spec}\n"
    )
}

#[test]
fn every_mistake_is_named_with_line_field_and_cure() {
    let port = |port: &str| entry(&[&format!("  ports: [{port}]")]);
    let endpoint = |endpoint: &str| entry(&[&format!("  endpoints: [{endpoint}]")]);
    let spec = |line: &str| entry(&[line]);
    #[rustfmt::skip]
    let cases: Vec<(String, u64, &str, &str)> = vec![
        // the document
        ("kind: ServiceEntry\n".to_owned(), 1, "apiVersion", "is missing"),
        ("apiVersion: networking.istio.io/v1\n".to_owned(), 1, "kind", "is missing"),
        ("- 1\n- 2\n".to_owned(), 1, "document", "found a list"),
        ("just text\n".to_owned(), 1, "document", "found text"),
        ("a: [1, 2\n".to_owned(), 1, "YAML", ""),
        ("a: 1\na: 2\n".to_owned(), 2, "YAML", "duplicate"),
        ("# fine\n---\nkind: [\n".to_owned(), 3, "YAML", ""),
        ("apiVersion: 1\nkind: ServiceEntry\n".to_owned(), 1, "apiVersion", "found a number"),
        // metadata
        ("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nspec: {}\n".to_owned(), 1, "metadata", "is missing"),
        (HEAD.replace("name: a, ", ""), 3, "metadata.name", "is missing"),
        (HEAD.replace(", namespace: shop", ""), 3, "metadata.namespace", "nothing defaults it"),
        (HEAD.replace("name: a,", "name: A B,"), 3, "metadata.name", "\"A B\""),
        (HEAD.replace("namespace: shop", "namespace: 7"), 3, "metadata.namespace", "found a number"),
        (HEAD.replace("spec:\n", ""), 1, "spec", "is missing"),
        (HEAD.replace("spec:\n", "spec: []\n"), 4, "spec", "found a list"),
        // spec
        (spec("  endpoint: []"), 5, "spec.endpoint", "is not known"),
        (spec("  # no hosts"), 6, "spec.hosts", "is missing"),
        (spec("  hosts: a.shop.svc"), 5, "spec.hosts", "found text"),
        (spec("  hosts: []"), 5, "spec.hosts", "is empty"),
        (spec("  hosts: [\"a b\"]"), 5, "spec.hosts[0]", "\"a b\""),
        (spec("  hosts: [a.svc, A.svc]"), 5, "spec.hosts[1]", "twice"),
        (spec("  hosts: [\"*.shop.svc\"]"), 5, "spec.hosts[0]", "wildcard"),
        (spec("  hosts: [a.svc, 5]"), 5, "spec.hosts[1]", "found a number"),
        (spec("  hosts: [a..svc]"), 5, "spec.hosts[0]", "host name"),
        (spec("  resolution: FAST"), 5, "spec.resolution", "STATIC, DNS"),
        (spec("  resolution: 3"), 5, "spec.resolution", "found a number"),
        (spec("  resolution: NONE"), 5, "spec", "NONE with endpoints"),
        (spec("  # no endpoints"), 6, "spec", "STATIC without endpoints"),
        (spec("  location: INSIDE"), 5, "spec.location", "MESH_INTERNAL"),
        (spec("  addresses: 10.0.0.1"), 5, "spec.addresses", "found text"),
        (spec("  addresses: [10.0.0]"), 5, "spec.addresses[0]", "CIDR"),
        (spec("  addresses: [10.0.0.1/33]"), 5, "spec.addresses[0]", "CIDR"),
        (spec("  addresses: [10.0.0.1, 127.0.0.1]"), 5, "spec.addresses[1]", "can call"),
        (spec("  addresses: [0.0.0.0/0]"), 5, "spec.addresses[0]", "can call"),
        (spec("  addresses: [224.0.0.1]"), 5, "spec.addresses[0]", "can call"),
        (spec("  exportTo: \"*\""), 5, "spec.exportTo", "found text"),
        (spec("  exportTo: [\"a b\"]"), 5, "spec.exportTo[0]", "namespace"),
        (spec("  workloadSelector: {labels: {app: a}}"), 5, "spec", "both given"),
        (entry(&["  # no endpoints", "  workloadSelector: {}"]), 6, "spec.workloadSelector.labels", "is missing"),
        (entry(&["  # no endpoints", "  workloadSelector: {labels: {}}"]), 6, "spec.workloadSelector", "every workload"),
        (entry(&["  # no endpoints", "  workloadSelector: {labels: {app: 1}}"]), 6, "spec.workloadSelector.labels.app", "in quotes"),
        (entry(&["  # no endpoints", "  workloadSelector: {label: {app: a}}"]), 6, "spec.workloadSelector.label", "is not known"),
        // ports
        (spec("  # no ports"), 6, "spec.ports", "is missing"),
        (spec("  ports: []"), 5, "spec.ports", "is empty"),
        (spec("  ports: {number: 80}"), 5, "spec.ports", "found a mapping"),
        (port("{number: 0, name: http}"), 5, "spec.ports[0].number", "from 1 to 65535"),
        (port("{number: 65536, name: http}"), 5, "spec.ports[0].number", "from 1 to 65535"),
        (port("{number: -1, name: http}"), 5, "spec.ports[0].number", "from 1 to 65535"),
        (port("{number: eighty, name: http}"), 5, "spec.ports[0].number", "\"eighty\""),
        (port("{number: 80.5, name: http}"), 5, "spec.ports[0].number", "found a number"),
        (port("{name: http}"), 5, "spec.ports[0].number", "is missing"),
        (port("{number: 80}"), 5, "spec.ports[0].name", "is missing"),
        (port("{number: 80, name: \"a b\"}"), 5, "spec.ports[0].name", "\"a b\""),
        (port("{number: 80, name: a, protocol: UDP}"), 5, "spec.ports[0].protocol", "use HTTP"),
        (port("{number: 80, name: a, targetPort: 70000}"), 5, "spec.ports[0].targetPort", "70000"),
        (port("{number: 80, name: a, target: 1}"), 5, "spec.ports[0].target", "is not known"),
        (port("{number: 80, name: a}, {number: 80, name: b}"), 5, "spec.ports[1]", "twice"),
        (port("{number: 80, name: a}, {number: 81, name: a}"), 5, "spec.ports[1]", "twice"),
        // endpoints
        (spec("  endpoints: 10.0.0.1"), 5, "spec.endpoints", "found text"),
        (endpoint("10.0.0.1"), 5, "spec.endpoints[0]", "found text"),
        (endpoint("{}"), 5, "spec.endpoints[0].address", "is missing"),
        (endpoint("{address: 10.0.0.1}, {address: 10.0.0.256}"), 5, "spec.endpoints[1].address", "\"10.0.0.256\""),
        (endpoint("{address: 10.0.0.1/24}"), 5, "spec.endpoints[0].address", "without prefix length"),
        (endpoint("{address: \"10.0.0.1:80\"}"), 5, "spec.endpoints[0].address", "without prefix length"),
        (endpoint("{address: \"fe80::1%eth0\"}"), 5, "spec.endpoints[0].address", "zone"),
        (endpoint("{address: \"unix:///run/x\"}"), 5, "spec.endpoints[0].address", "unix socket"),
        (endpoint("{address: host.example.com}"), 5, "spec.endpoints[0].address", "resolution to DNS"),
        (endpoint("{address: 0.0.0.0}"), 5, "spec.endpoints[0].address", "one machine"),
        (endpoint("{address: \"\"}"), 5, "spec.endpoints[0].address", "IP address"),
        (endpoint("{address: 10.0.0.1, port: 80}"), 5, "spec.endpoints[0].port", "is not known"),
        (endpoint("{address: 10.0.0.1, ports: {grpc: 80}}"), 5, "spec.endpoints[0].ports", "use one of http"),
        (endpoint("{address: 10.0.0.1, ports: {http: 0}}"), 5, "spec.endpoints[0].ports.http", "from 1 to 65535"),
        (endpoint("{address: 10.0.0.1, weight: -1}"), 5, "spec.endpoints[0].weight", "a weight"),
        (endpoint("{address: 10.0.0.1, weight: heavy}"), 5, "spec.endpoints[0].weight", "\"heavy\""),
        (endpoint("{address: 10.0.0.1, network: \"a,b\"}"), 5, "spec.endpoints[0].network", "without commas"),
        (endpoint("{address: 10.0.0.1, locality: {region: a}}"), 5, "spec.endpoints[0].locality", "found a mapping"),
        (endpoint("{address: 10.0.0.1, labels: [a]}"), 5, "spec.endpoints[0].labels", "found a list"),
        // workloads
        (workload("address: nowhere.256.\n"), 5, "spec.address", "IP address"),
        (workload("labels: {app: a}\n"), 5, "spec.address", "is missing"),
        (workload("address: 10.0.0.1\n  labels: {app: true}\n"), 6, "spec.labels.app", "found a boolean"),
        (workload("address: 10.0.0.1\n  ports: {http: x}\n"), 6, "spec.ports.http", "\"x\""),
    ];
    assert!(cases.len() >= 50, "{}", cases.len());
    for (yaml, line, field, part) in cases {
        let error = parse_file(&yaml).expect_err(&yaml);
        let shown = error.to_string();
        assert_eq!(error.field, field, "{shown}\n{yaml}");
        assert_eq!(error.line, line, "{shown}\n{yaml}");
        assert!(shown.contains(part), "{part:?} in {shown}\n{yaml}");
        assert!(!error.cure.is_empty() && !shown.contains('\n'), "{shown}");
    }
}

#[test]
fn the_second_document_counts_its_lines_from_the_top_of_the_file() {
    let yaml = format!("{}---\n{}", entry(&[]), entry(&["  hosts: [\"a b\"]"]));

    let error = parse_file(&yaml).unwrap_err();

    let line = yaml.lines().position(|line| line.contains("a b")).unwrap() + 1;
    assert_eq!(error.line, u64::try_from(line).unwrap(), "{error}");
}

#[test]
fn a_field_that_is_set_to_nothing_counts_as_absent() {
    let yaml = entry(&["  addresses:", "  exportTo: null"]);

    assert!(parse_file(&yaml).is_ok());
}

#[test]
fn other_kinds_are_ignored_and_not_read() {
    let yaml =
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nspec: 7\n---\napiVersion: v1\nkind: Pod\n";

    assert_eq!(parse_file(yaml).unwrap().len(), 2);
}

#[test]
fn aliases_that_multiply_are_refused() {
    let mut yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let before = level - 1;
        yaml.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 10].join(", ")));
    }

    assert!(parse_file(&yaml).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = parse_file(&text);
    }

    #[test]
    fn no_damage_to_a_good_file_makes_the_reader_panic(
        at in 0..400_usize, length in 0..20_usize, text in "[ -~\n]{0,12}"
    ) {
        let good = entry(&["  addresses: [240.0.0.1, 10.0.0.0/8]", "  exportTo: [\".\"]"]);
        let start = at.min(good.len());
        let end = (start + length).min(good.len());
        let damaged = format!("{}{text}{}", &good[..start], &good[end..]);
        if let Err(error) = parse_file(&damaged) {
            prop_assert!(!error.to_string().contains('\n'), "{}", error);
        }
    }
}
