//! Plugins of every temper, as shell scripts. Patience is long where it must not run out, and short where it must.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Instant;

use serde_json::json;
use tempfile::TempDir;

use super::*;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);

/// A folder with one plugin in it.
struct Fake {
    folder: TempDir,
    name: PluginName,
    variables: Variables,
    container: ContainerId,
    ifname: IfName,
}

impl Fake {
    fn new(script: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("fake");
        fs::write(&path, format!("#!/bin/sh\ncd {}\n{script}\n", folder.path().display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let variables = [("CNI_PATH", folder.path().to_str().unwrap()), ("PATH", "/usr/bin:/bin")]
            .map(|(name, value)| (name.into(), value.into()))
            .into();
        let [name, container, ifname] = ["fake", "c1", "med0"];
        Self {
            folder,
            name: name.parse().unwrap(),
            variables,
            container: container.parse().unwrap(),
            ifname: ifname.parse().unwrap(),
        }
    }

    /// Answers with this text.
    fn saying(answer: &str) -> Self {
        let fake = Self::new("cat answer");
        fs::write(fake.folder.path().join("answer"), answer).unwrap();
        fake
    }

    fn plugin(&self, patience: Duration) -> Plugin<'_> {
        Plugin::find(&self.name, &self.variables, patience).unwrap()
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            container: &self.container,
            netns: "/proc/1/ns/net".as_ref(),
            ifname: &self.ifname,
            role: Role::Plane,
        }
    }

    async fn add(&self, patience: Duration) -> Result<Given, Error> {
        self.plugin(patience).add(self.subject(), &json!({"cniVersion": "1.0.0", "name": "n"})).await
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.path().join(file)).unwrap_or_default()
    }

    /// Waits for the process whose number the script wrote to be gone.
    fn await_end(&self, file: &str) {
        let begun = Instant::now();
        while begun.elapsed() < LONG {
            let pid = self.read(file);
            let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            if !pid.is_empty() && (stat.is_empty() || stat.contains(") Z ")) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("process {:?} still runs", self.read(file));
    }
}

#[tokio::test]
async fn a_plugin_gets_the_whole_configuration_and_its_planes_variables() {
    let fake = Fake::new(
        r#"cat > stdin; env > env; echo '{"ips":[{"address":"10.0.0.2/24","gateway":"10.0.0.1"}]}'"#,
    );

    let given = fake.add(LONG).await.unwrap();

    let address =
        GivenAddress { address: "10.0.0.2/24".parse().unwrap(), gateway: Some("10.0.0.1".parse().unwrap()) };
    assert_eq!(given.addresses, [address]);
    assert_eq!(fake.read("stdin"), r#"{"cniVersion":"1.0.0","name":"n"}"#);
    let env = fake.read("env");
    for line in ["CNI_COMMAND=ADD", "CNI_CONTAINERID=c1", "CNI_IFNAME=med0", "CNI_ARGS=IgnoreUnknown=1"] {
        assert!(env.lines().any(|found| found == line), "{line} in {env}");
    }
}

#[tokio::test]
async fn results_of_every_version_are_understood() {
    let cases = [
        (r#"{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.2/24"}]}"#, "10.0.0.2/24 None; []"),
        (
            r#"{"ips":[{"version":"4","address":"10.0.0.2/24","gateway":"","interface":-1}],"dns":{},"routes":null}"#,
            "10.0.0.2/24 None; []",
        ),
        (
            r#"{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.2/24","gateway":"10.0.0.1","routes":[{"dst":"0.0.0.0/0"}]},
                "ip6":{"ip":"fd00::0:2/64"}}"#,
            "10.0.0.2/24 Some(10.0.0.1), fd00::2/64 None; [0.0.0.0/0 None]",
        ),
        (
            r#"{"ips":[{"address":"fd00::2/64"}],"routes":[{"dst":"10.0.0.0/8","gw":"10.0.0.1","mtu":1400}]}"#,
            "fd00::2/64 None; [10.0.0.0/8 Some(10.0.0.1)]",
        ),
    ];
    for (answer, expected) in cases {
        let given = Fake::saying(answer).add(LONG).await.unwrap();

        let addresses: Vec<String> =
            given.addresses.iter().map(|given| format!("{} {:?}", given.address, given.gateway)).collect();
        let routes: Vec<String> =
            given.routes.iter().map(|route| format!("{} {:?}", route.dst, route.gw)).collect();
        assert_eq!(format!("{}; [{}]", addresses.join(", "), routes.join(", ")), expected, "{answer}");
    }
}

#[tokio::test]
async fn an_answer_that_is_none_is_refused_with_the_plugins_name() {
    let missing = "IPAM returned missing IP config";
    let cases = [
        ("{}", missing),
        ("null", missing),
        (r#"{"ips":[]}"#, missing),
        (r#"{"ips":null}"#, missing),
        ("", "its result is no result"),
        ("hello", "its result is no result"),
        ("[]", "its result is no result"),
        (r#"{"ips":[{}]}"#, "missing field `address`"),
        (
            r#"{"ips":[{"address":"10.0.0.2"}]}"#,
            r#"its address "10.0.0.2" is no address with a prefix length"#,
        ),
        (r#"{"ips":[{"address":"10.0.0.2/33"}]}"#, "is no address with a prefix length"),
        (r#"{"ips":[{"address":"10.0.0.2/24","gateway":"x"}]}"#, r#"its gateway "x" is no address"#),
    ];
    for (answer, expected) in cases {
        let error = Fake::saying(answer).add(LONG).await.unwrap_err().to_string();

        assert!(error.contains(expected) && error.contains("plugin fake"), "{answer}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[tokio::test]
async fn an_error_object_is_passed_on_with_its_code() {
    let fake = Fake::new(r#"echo '{"code":11,"msg":"no more","details":"full"}'; exit 1"#);

    let error = crate::Error::from(fake.add(LONG).await.unwrap_err());

    let refusal = error.refusal().unwrap();
    assert_eq!(
        (refusal.code, refusal.msg.as_str(), refusal.details.as_deref()),
        (11, "no more", Some("full"))
    );
    assert_eq!(error.to_string(), "IPAM plugin fake: ADD: no more; full");
}

#[tokio::test]
async fn a_failure_without_an_error_object_shows_what_there_is() {
    for (script, expected) in [
        ("echo oops; exit 3", r#"exit status: 3 and no error object; it wrote "oops\n""#),
        ("kill -9 $$", "signal: 9 (SIGKILL)"),
        (r#"echo '{"msg":"no code"}'; exit 1"#, "no error object"),
    ] {
        let error = Fake::new(script).add(LONG).await.unwrap_err().to_string();

        assert!(error.contains(expected), "{script}: {error}");
    }
}

#[tokio::test]
async fn more_than_a_result_is_not_waited_for() {
    let fake = Fake::new("echo $$ > pid; exec cat /dev/zero");

    let error = fake.add(LONG).await.unwrap_err();

    assert!(matches!(error, Error::Talk { .. }), "{error}");
    fake.await_end("pid");
}

#[tokio::test]
async fn a_plugin_that_hangs_is_killed_with_its_children() {
    let fake = Fake::new("echo $$ > pid; sleep 300 & echo $! > child; wait");

    // Patience may run out before a loaded machine has started the script: then there is nothing to look at.
    let mut patience = SHORT;
    let error = loop {
        let error = fake.add(patience).await.unwrap_err();
        if !fake.read("child").is_empty() {
            break error;
        }
        assert!(patience < LONG, "the plugin never started: {error}");
        patience *= 2;
    };

    assert!(matches!(error, Error::Slow { .. }), "{error}");
    assert!(
        error.to_string().contains(&format!("plugin fake: ADD did not end within {patience:?}")),
        "{error}"
    );
    fake.await_end("pid");
    fake.await_end("child");
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_no_plugin_at_work() {
    let fake = Fake::new("echo $$ > pid; sleep 300");

    let mut patience = SHORT;
    while fake.read("pid").is_empty() {
        assert!(patience < LONG, "the plugin never started");
        assert!(tokio::time::timeout(patience, fake.add(LONG)).await.is_err());
        patience *= 2;
    }

    fake.await_end("pid");
}

#[tokio::test]
async fn a_child_that_keeps_the_pipe_open_does_not_keep_us() {
    let fake = Fake::new(r#"sleep 300 & echo $! > child; echo '{"ips":[{"address":"10.0.0.2/24"}]}'"#);

    let given = fake.add(LONG).await;

    let _ = std::process::Command::new("kill").arg(fake.read("child").trim()).status();
    assert_eq!(given.unwrap().addresses.len(), 1);
}

#[tokio::test]
async fn a_plugin_older_than_a_verb_does_not_fail_it() {
    let old = Fake::new(r#"echo '{"code":4,"msg":"unknown CNI_COMMAND: GC"}'; exit 1"#);
    assert!(old.plugin(LONG).gc(&json!({})).await.is_ok());
    assert!(old.plugin(LONG).del(old.subject(), &json!({})).await.is_err(), "control: DEL is no new verb");

    let ill = Fake::new(r#"echo '{"code":50,"msg":"daemon is down"}'; exit 1"#);
    let error = ill.plugin(LONG).status(&json!({})).await.unwrap_err();
    assert_eq!(error.refusal().map(|refusal| refusal.code), Some(50));
}

#[test]
fn the_first_file_in_cni_path_is_the_plugin() {
    let [first, second] = [Fake::new(""), Fake::new("")];
    fs::create_dir(first.folder.path().join("other")).unwrap();
    fs::write(second.folder.path().join("other"), "").unwrap();
    let path = std::env::join_paths(["/nonexistent".as_ref(), first.folder.path(), second.folder.path()]);
    let variables: Variables = [("CNI_PATH".into(), path.unwrap())].into();
    let find = |name: &str| {
        Plugin::find(&name.parse().unwrap(), &variables, LONG)
            .map(|plugin| plugin.path)
            .map_err(|e| e.to_string())
    };

    assert_eq!(find("fake"), Ok(first.folder.path().join("fake")));
    assert_eq!(find("other"), Ok(second.folder.path().join("other")), "a directory is no plugin");
    let error = find("third").unwrap_err();
    assert!(error.contains("find IPAM plugin third in CNI_PATH \"/nonexistent:"), "{error}");
}

/// What a runtime does when its patience ends: it kills us, and then sends DEL.
#[tokio::test]
async fn a_plugin_does_not_outlive_a_killed_caller() {
    const SELF: &str = "delegate::tests::a_plugin_does_not_outlive_a_killed_caller";
    if let Some(path) = std::env::var_os("IPAM_TEST_PLUGIN") {
        let (name, container, ifname) =
            ("fake".parse().unwrap(), "c1".parse().unwrap(), "med0".parse().unwrap());
        let variables = [("CNI_PATH".into(), path), ("PATH".into(), "/usr/bin:/bin".into())].into();
        let plugin = Plugin::find(&name, &variables, LONG).unwrap();
        let subject =
            Subject { container: &container, netns: "".as_ref(), ifname: &ifname, role: Role::Plane };
        let _ = plugin.add(subject, &json!({})).await;
        return;
    }
    let fake = Fake::new("echo $$ > pid; exec sleep 300");
    let mut caller = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", SELF])
        .env("IPAM_TEST_PLUGIN", fake.folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while fake.read("pid").is_empty() {
        assert!(begun.elapsed() < LONG, "the plugin never started");
        std::thread::sleep(Duration::from_millis(5));
    }

    caller.kill().unwrap();

    assert_eq!(caller.wait().unwrap().signal(), Some(9));
    fake.await_end("pid");
}
