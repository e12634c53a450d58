//! The command as people and scripts meet it: outputs, messages, exit codes.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::world::service;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_control-plane"));
    command.args(arguments).stdin(Stdio::null()).env("RUST_LOG", "info");
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the command starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn registry() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, yaml: String| std::fs::write(directory.path().join(name), yaml).unwrap();
    put("reviews.yaml", service("reviews.shop.svc", "shop", 9080, "HTTP", &[], &["10.75.8.5"]));
    put("foreign.yml", service("foreign.other.svc", "other", 80, "TCP", &[], &["192.168.10.5"]));
    put("notes.txt", "not YAML: [".to_owned());
    directory
}

fn explain(directory: &Path, more: &[&str]) -> Output {
    let mut arguments = vec!["explain", "--registry", directory.to_str().unwrap(), "--namespace", "shop"];
    arguments.extend(more);
    run(&arguments)
}

#[test]
fn explain_says_for_each_service_whether_it_is_matched_and_why() {
    let registry = registry();

    let output = explain(registry.path(), &["--addresses", "192.168.10.5,10.75.8.5"]);

    assert_eq!(output.status.code(), Some(0));
    let shown = text(&output.stdout);
    assert!(shown.contains("shop/reviews.shop.svc    matched: endpoint 10.75.8.5, port 9080"), "{shown}");
    assert!(
        shown.contains("other/foreign.other.svc  not matched: endpoint 192.168.10.5 is the proxy's"),
        "{shown}"
    );
}

#[test]
fn explain_with_the_first_address_alone_finds_nothing_and_says_why() {
    let registry = registry();

    let output = explain(registry.path(), &["--addresses", "192.168.10.5,10.75.8.5", "--match", "first"]);

    assert_eq!(output.status.code(), Some(5));
    assert!(text(&output.stdout).contains("but not its first (--match first)"), "{}", text(&output.stdout));
}

#[test]
fn explain_prints_json_for_tools() {
    let registry = registry();

    let output = explain(registry.path(), &["--addresses", "10.75.8.5", "--output", "json"]);

    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let services = value["services"].as_array().unwrap();
    let matched: Vec<&Value> = services.iter().filter(|service| service["matched"] == true).collect();
    assert_eq!(matched.len(), 1);
    assert_eq!(matched[0]["service"], "shop/reviews.shop.svc");
    assert_eq!(matched[0]["details"]["verdict"], "matched");
    assert_eq!(value["faults"].as_array().unwrap().len(), 0);
}

#[test]
fn explain_shows_faults_with_file_and_line_and_has_a_code_for_them() {
    let registry = registry();
    std::fs::write(registry.path().join("bad.yaml"), "\n\nkind: ServiceEntry\n").unwrap();

    let output = explain(registry.path(), &["--addresses", "10.75.8.5"]);

    assert_eq!(output.status.code(), Some(6));
    let shown = text(&output.stdout);
    assert!(shown.contains("fault: bad.yaml:3: apiVersion: is missing"), "{shown}");
    assert!(shown.contains("matched: endpoint 10.75.8.5"), "the others still count: {shown}");
}

#[test]
fn wrong_usage_is_refused_with_the_flag_and_a_stable_code() {
    let registry = registry();
    let directory = registry.path().to_str().unwrap().to_owned();
    let serve = |more: &[&str]| {
        let mut arguments = vec!["serve", "--registry", &directory];
        arguments.extend(more);
        run(&arguments)
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let cases: Vec<(Output, i32, &str)> = vec![
        (run(&[]), 2, "Usage"),
        (run(&["fly"]), 2, "fly"),
        (run(&["serve"]), 2, "--registry"),
        (serve(&[]), 2, "--listen"),
        (serve(&["--listen", "15010"]), 2, "--listen"),
        (serve(&["--listen", "localhost:15010"]), 2, "--listen"),
        (serve(&["--listen", "127.0.0.1:99999"]), 2, "--listen"),
        (serve(&["--listen", "127.0.0.1:0", "--layout", "round"]), 2, "--layout"),
        (serve(&["--listen", "127.0.0.1:0", "--match", "last"]), 2, "--match"),
        (serve(&["--listen", "127.0.0.1:0", "--inbound", "x"]), 2, "--inbound"),
        (serve(&["--listen", "127.0.0.1:0", "--outbound", "x"]), 2, "--outbound"),
        (serve(&["--listen", "127.0.0.1:0", "--access-log", "x"]), 2, "--access-log"),
        (serve(&["--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0"]), 4, "not a loopback address"),
        (serve(&["--listen", "127.0.0.1:0", "--admin", "[::]:0"]), 4, "not a loopback address"),
        (serve(&["--listen", &taken]), 4, "choose a free port"),
        (serve(&["--listen", "127.0.0.1:0", "--admin", &taken]), 4, "choose a free port"),
        (run(&["serve", "--registry", "/no/such", "--listen", "127.0.0.1:0"]), 3, "/no/such"),
        (explain(Path::new("/no/such"), &["--addresses", "10.0.0.1"]), 3, "/no/such"),
        (explain(registry.path(), &[]), 2, "--addresses"),
        (explain(registry.path(), &["--addresses", ""]), 2, "--addresses"),
        (explain(registry.path(), &["--addresses", "10.0.0.1,"]), 2, "--addresses"),
        (explain(registry.path(), &["--addresses", "10.0.0.1/24"]), 2, "--addresses"),
        (explain(registry.path(), &["--addresses", "fe80::1"]), 2, "link-local"),
        (explain(registry.path(), &["--addresses", "127.0.0.1"]), 2, "127.0.0.1"),
        (explain(registry.path(), &["--addresses", "10.0.0.1", "--output", "xml"]), 2, "--output"),
        (run(&["completion", "csh"]), 2, "csh"),
    ];
    for (output, code, part) in cases {
        let shown = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{part}: {shown}");
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
}

#[test]
fn help_has_examples_and_exit_codes() {
    let shown = text(&run(&["--help"]).stdout);

    assert!(
        shown.contains("control-plane serve --registry") && shown.contains("Exit codes: 0 done"),
        "{shown}"
    );
}

#[test]
fn completion_is_printed_for_bash() {
    let shown = text(&run(&["completion", "bash"]).stdout);

    assert!(shown.contains("complete -F") && shown.contains("--registry"), "{shown}");
}

/// A running `serve` and its admin address.
struct Served {
    child: std::process::Child,
    log: std::path::PathBuf,
    _directory: TempDir,
}

impl Served {
    fn start(registry: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let mut command =
            command(&["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--registry"]);
        command
            .arg(registry)
            .env("NO_COLOR", "1")
            .stderr(std::fs::File::create(&log).unwrap())
            .stdout(Stdio::null());
        Self { child: command.spawn().unwrap(), log, _directory: directory }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn wait_for<T>(&mut self, what: &str, mut found: impl FnMut(&mut Self) -> Option<T>) -> T {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            assert!(Instant::now() < end, "never: {what}\n{}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn admin(&mut self) -> String {
        self.wait_for("it serves", |served| {
            let said = served.said();
            let (_, after) = said.split_once("admin=Some(")?;
            Some(after.split(')').next()?.to_owned())
        })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(address: &str, path: &str) -> Option<(u16, String)> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
}

#[test]
fn serve_follows_its_directory_keeps_the_last_good_state_and_shows_all_of_it() {
    let registry = registry();
    let mut served = Served::start(registry.path());
    let admin = served.admin();
    assert_eq!(get(&admin, "/ready"), Some((200, "ready\n".to_owned())));
    assert_eq!(get(&admin, "/nothing").unwrap().0, 404);
    let hosts = |admin: &str| -> Vec<String> {
        let value: Value = serde_json::from_str(&get(admin, "/debug/registry").unwrap().1).unwrap();
        let host = |service: &Value| service["host"].as_str().unwrap().to_owned();
        value["services"].as_array().unwrap().iter().map(host).collect()
    };
    assert_eq!(hosts(&admin), ["foreign.other.svc", "reviews.shop.svc"]);

    let new = service("new.shop.svc", "shop", 80, "HTTP", &[], &["10.75.8.9"]);
    std::fs::create_dir(registry.path().join("sub")).unwrap();
    std::fs::write(registry.path().join("sub/new.yaml"), new).unwrap();
    served.wait_for("a new file below is taken in", |_| {
        hosts(&admin).contains(&"new.shop.svc".to_owned()).then_some(())
    });

    std::fs::write(registry.path().join("reviews.yaml"), "kind: [\n").unwrap();
    served.wait_for("the bad file is reported", |_| {
        let page = get(&admin, "/debug/registry").unwrap().1;
        (page.contains("\"reviews.yaml\"") && page.contains("mend the syntax")).then_some(())
    });
    assert!(hosts(&admin).contains(&"reviews.shop.svc".to_owned()), "its last good state stays in force");
    assert!(get(&admin, "/metrics").unwrap().1.contains("multiplane_registry_faults 1\n"));

    std::fs::remove_file(registry.path().join("reviews.yaml")).unwrap();
    served.wait_for("a file that is gone takes its services along", |_| {
        (hosts(&admin) == ["foreign.other.svc", "new.shop.svc"]).then_some(())
    });
    assert!(get(&admin, "/metrics").unwrap().1.contains("multiplane_registry_faults 0\n"));
    assert!(get(&admin, "/debug/proxies").unwrap().1.contains("\"proxies\": []"));
    assert!(get(&admin, "/debug/instances").unwrap().1.contains("\"proxies\": []"));
}

#[test]
fn serve_ends_in_order_on_sigterm() {
    let registry = registry();
    let mut served = Served::start(registry.path());
    served.admin();

    let pid = served.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());

    let status = served.wait_for("it ends", |served| served.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}
