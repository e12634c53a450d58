//! Text on stdin that is no network configuration.

use testbed::plugin::Environment;

use super::{Scene, faults_of_message};

/// What arrives, the code, and what the refusal says.
const CASES: &[(&[u8], u64, [&str; 3])] = &[
    (b"", 6, ["stdin", "", ""]),
    (b" \n", 6, ["stdin", "", ""]),
    (b"{", 6, ["stdin", "EOF", ""]),
    (b"garbage", 6, ["stdin", "line 1", ""]),
    (b"{\"name\": \"a\"} trailing", 6, ["stdin", "trailing", ""]),
    (b"\xff\xfe{}", 6, ["stdin", "line 1", ""]),
    (b"{\"name\": \"\xc3\x28\"}", 6, ["stdin", "", ""]),
    (b"{'name': 'a'}", 6, ["stdin", "line 1", ""]),
    (b"{\"a\": 1e999}", 6, ["stdin", "out of range", ""]),
    (b"null", 6, ["stdin", "null", "an object"]),
    (b"[]", 6, ["stdin", "a list", "an object"]),
    (b"\"text\"", 6, ["stdin", "a string", "an object"]),
    (b"7", 6, ["stdin", "a number", "an object"]),
    (b"{}", 1, ["cniVersion", "0.1.0", "1.1.0"]),
    (b"{\"cniVersion\": 1.0, \"name\": \"a\"}", 6, ["cniVersion", "a number", "a string"]),
    (b"{\"cniVersion\": \"1.0\", \"name\": \"a\"}", 1, ["cniVersion", "\"1.0\"", "1.0.0"]),
    (b"{\"cniVersion\": \"9.9.9\", \"name\": \"a\"}", 1, ["cniVersion", "9.9.9", "1.1.0"]),
    (b"{\"cniVersion\": \"1.1.0\\nx\", \"name\": \"a\"}", 1, ["cniVersion", "1.1.0", "1.1.0"]),
    (b"{\"cniVersion\": \"1.1.0\"}", 7, ["name", "missing", "give the network a name"]),
    (b"{\"cniVersion\": \"1.1.0\", \"name\": \"\"}", 7, ["name", "missing", "give the network a name"]),
    (b"{\"cniVersion\": \"1.1.0\", \"name\": 7}", 6, ["name", "a number", "a string"]),
    (b"{\"cniVersion\": \"1.1.0\", \"name\": \"../../etc\"}", 7, ["network name", "../../etc", "use"]),
    (b"{\"cniVersion\": \"1.1.0\", \"name\": \".\"}", 7, ["network name", "\".\"", "use"]),
    (b"{\"cniVersion\": \"1.1.0\", \"name\": \"a/b\"}", 7, ["network name", "a/b", "use"]),
    (b"{\"cniVersion\": \"1.1.0\", \"name\": \"a\\u0000b\"}", 7, ["network name", "", "use"]),
];

#[test]
fn each_is_refused_by_add_with_its_code() {
    let scene = Scene::new();
    let mut faults = Vec::new();
    for (stdin, code, words) in CASES {
        let answer = scene.world.call_raw("ADD", &scene.pod.environment(), stdin);
        let found = scene.faults(&answer, *code, *words);
        let shown = String::from_utf8_lossy(stdin);
        faults.extend(found.into_iter().map(|fault| format!("{shown}: {fault}")));
    }
    assert_eq!(faults, Vec::<String>::new(), "{faults:#?}");
}

#[test]
fn each_is_refused_by_every_other_verb_without_a_trace() {
    let scene = Scene::new();
    for (stdin, code, _) in CASES {
        for verb in ["CHECK", "DEL", "GC", "STATUS"] {
            let environment = match verb {
                "GC" | "STATUS" => Environment::none(),
                _ => scene.pod.environment(),
            };
            let answer = scene.world.call_raw(verb, &environment, stdin);
            let shown = String::from_utf8_lossy(stdin);
            assert_eq!(faults_of_message(&answer, *code, [""; 3]), Vec::<String>::new(), "{verb} {shown}");
        }
    }
    assert_eq!(scene.before.difference(&scene.world.state(&[&scene.pod])), Vec::<String>::new());
}
