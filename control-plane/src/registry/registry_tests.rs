use super::object::parse_file;
use super::*;

fn entry(name: &str, host: &str, rest: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
         hosts: [{host}]\n  resolution: STATIC\n  ports: [{{number: 80, name: http, protocol: HTTP}}]\n  {rest}\n"
    )
}

fn workload(name: &str, address: &str, labels: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: {name}, namespace: shop}}\nspec: \
         {{address: {address}, labels: {{{labels}}}}}\n"
    )
}

fn put(catalogue: &mut Catalogue, unit: &str, yaml: &str) {
    let content = match parse_file(yaml) {
        Ok(objects) => Content::Objects(objects),
        Err(error) => Content::Fault(error),
    };
    catalogue.apply(vec![Change { unit: unit.to_owned(), content }]);
}

fn addresses(registry: &Registry, host: &str) -> Vec<String> {
    let found = registry.services.iter().find(|found| *found.service.host == *host).unwrap();
    found.service.endpoints.iter().map(|endpoint| endpoint.host.to_string()).collect()
}

#[test]
fn a_selector_picks_the_workloads_that_carry_all_of_its_labels() {
    let mut catalogue = Catalogue::default();
    put(&mut catalogue, "s", &entry("s", "s.svc", "workloadSelector: {labels: {app: a, version: \"1\"}}"));
    put(&mut catalogue, "w1", &workload("w1", "10.0.0.1", "app: a, version: \"1\", more: x"));
    put(&mut catalogue, "w2", &workload("w2", "10.0.0.2", "app: a"));
    put(&mut catalogue, "w3", &workload("w3", "10.0.0.3", "app: b, version: \"1\""));

    let registry = catalogue.build(&Registry::default());

    assert_eq!(addresses(&registry, "s.svc"), ["10.0.0.1"]);
}

#[test]
fn a_workload_that_appears_or_goes_changes_the_services_that_select_it() {
    let mut catalogue = Catalogue::default();
    put(&mut catalogue, "s", &entry("s", "s.svc", "workloadSelector: {labels: {app: a}}"));
    put(&mut catalogue, "other", &entry("o", "o.svc", "endpoints: [{address: 10.0.0.9}]"));
    let before = catalogue.build(&Registry::default());

    put(&mut catalogue, "w", &workload("w", "10.0.0.1", "app: a"));
    let after = catalogue.build(&before);

    assert_eq!(addresses(&after, "s.svc"), ["10.0.0.1"]);
    assert_eq!(before.touched(&after), HashSet::from(["10.0.0.1".parse().unwrap()]));
    assert!(Arc::ptr_eq(&before.services[0], &after.services[0]), "what did not change is shared");
    assert!(!Arc::ptr_eq(&before.services[1], &after.services[1]));
}

#[test]
fn a_bad_file_keeps_its_last_good_state_and_mending_it_clears_the_fault() {
    let mut catalogue = Catalogue::default();
    put(&mut catalogue, "s.yaml", &entry("s", "s.svc", "endpoints: [{address: 10.0.0.1}]"));
    put(&mut catalogue, "s.yaml", &entry("s", "s.svc", "endpoints: [{address: 10.0.0.300}]"));

    let registry = catalogue.build(&Registry::default());

    assert_eq!(addresses(&registry, "s.svc"), ["10.0.0.1"]);
    assert!(
        registry.faults[0].to_string().starts_with("s.yaml:9: spec.endpoints[0].address: \"10.0.0.300\": ")
    );
    put(&mut catalogue, "s.yaml", &entry("s", "s.svc", "endpoints: [{address: 10.0.0.3}]"));
    assert!(catalogue.build(&registry).faults.is_empty());
}

#[test]
fn of_two_objects_with_one_name_the_first_file_wins_and_the_second_is_told() {
    let mut catalogue = Catalogue::default();
    put(&mut catalogue, "b.yaml", &entry("s", "b.svc", "endpoints: [{address: 10.0.0.2}]"));
    put(&mut catalogue, "a.yaml", &entry("s", "a.svc", "endpoints: [{address: 10.0.0.1}]"));

    let registry = catalogue.build(&Registry::default());

    assert_eq!(registry.services.len(), 1);
    assert_eq!(addresses(&registry, "a.svc"), ["10.0.0.1"]);
    let fault = registry.faults[0].to_string();
    assert!(
        fault.starts_with("b.yaml:4: metadata.name: ServiceEntry shop/s is already defined in a.yaml"),
        "{fault}"
    );
}

#[test]
fn a_file_that_is_gone_takes_its_services_and_faults_along() {
    let mut catalogue = Catalogue::default();
    put(&mut catalogue, "s", &entry("s", "s.svc", "endpoints: [{address: 10.0.0.1}]"));
    put(&mut catalogue, "s", "kind: [");

    catalogue.apply(vec![Change { unit: "s".to_owned(), content: Content::Removed }]);

    let registry = catalogue.build(&Registry::default());
    assert!(registry.services.is_empty() && registry.faults.is_empty());
}
