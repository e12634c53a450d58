use super::*;

fn resource(name: &str, version: &str) -> Arc<Resource> {
    Resource::known(name, version)
}

fn table(entries: &[(&str, &str)]) -> Table {
    Table::new(entries.iter().map(|(name, version)| resource(name, version)).collect())
}

#[test]
fn tables_differ_in_what_was_added_changed_or_went() {
    let old = table(&[("a", "1"), ("b", "1"), ("c", "1"), ("e", "1")]);
    let new = table(&[("a", "1"), ("b", "2"), ("d", "1"), ("e", "1"), ("f", "1")]);

    let names: Vec<String> = old.differing(&new).iter().map(ToString::to_string).collect();

    assert_eq!(names, ["b", "c", "d", "f"]);
    assert!(old.differing(&old.clone()).is_empty());
    assert_eq!(Table::default().differing(&new).len(), 5);
}

#[test]
fn of_two_resources_with_one_name_the_first_stays() {
    let table = table(&[("b", "1"), ("a", "first"), ("a", "second")]);

    assert_eq!(table.all().len(), 2);
    assert_eq!(&*table.get("a").unwrap().version, "first");
}

#[test]
fn a_prefix_finds_its_group_and_not_its_neighbours() {
    let table = table(&[("80", "1"), ("80/a", "1"), ("80/b", "1"), ("8000/a", "1"), ("81/a", "1")]);

    let names: Vec<&str> = table.starting_with("80/").iter().map(|found| &*found.name).collect();

    assert_eq!(names, ["80/a", "80/b"]);
    assert!(table.starting_with("9").is_empty());
}

#[test]
fn inserting_and_removing_keep_the_order() {
    let mut table = Table::default();
    for name in ["m", "z", "a", "m"] {
        table.insert(resource(name, "1"));
    }

    assert!(table.remove("z").is_some() && table.remove("z").is_none());

    let names: Vec<&str> = table.all().iter().map(|found| &*found.name).collect();
    assert_eq!(names, ["a", "m"]);
}

#[test]
fn the_same_message_has_the_same_version_and_bytes() {
    use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
    let make = |name: &str| RouteConfiguration { name: name.to_owned(), ..Default::default() };

    let (one, same, other) = (
        Resource::encode("x", make("x")),
        Resource::encode("x", make("x")),
        Resource::encode("x", make("y")),
    );

    assert_eq!(one, same);
    assert_ne!(one.version, other.version);
}
