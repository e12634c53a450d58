//! What `deploy/` holds is what people copy: it has to be right.

use planes::conf::NetConf;
use planes::name::PlaneName;

use super::telecom;

#[test]
fn the_deployed_conflist_is_understood_and_its_planes_are_the_documented_ones() {
    let mut entry = telecom::conflist()["plugins"][1].as_object().unwrap().clone();
    entry.insert("name".into(), "telecom".into());

    let conf = NetConf::parse(&entry).unwrap();

    let names: Vec<&str> = conf.planes.iter().map(|plane| plane.name.as_str()).collect();
    assert_eq!(names, ["control", "media", "oam"]);
    assert_eq!(conf.default.iter().map(PlaneName::as_str).collect::<Vec<_>>(), names);
    assert!(conf.bootstrap.is_some());
}
