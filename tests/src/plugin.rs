//! The built plugin, called as a runtime calls it: environment, stdin, the node's namespace, private folders.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use netlink::Netns;
use serde_json::Value;

use crate::binary;
use crate::real::NodeRoot;

/// `multiplane` on one node.
#[derive(Debug, Clone, Copy)]
pub struct Plugin<'a> {
    node: &'a Netns,
    root: &'a NodeRoot,
}

/// The environment of one call (CNI SPEC 1.1.0, section 2, "Parameters").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

/// What a call came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    /// The result or error object; `Null` where stdout was empty.
    pub stdout: Value,
    /// What it logged.
    pub stderr: String,
    /// From start to exit, the folders' set-up included.
    pub duration: Duration,
}

impl<'a> Plugin<'a> {
    /// On the node with the given namespace and folders.
    #[must_use]
    pub fn new(node: &'a Netns, root: &'a NodeRoot) -> Self {
        Self { node, root }
    }

    /// One call. `environment` is all that the plugin gets, besides `CNI_COMMAND`, `CNI_PATH` and `PATH`.
    ///
    /// # Panics
    /// If the plugin cannot be started, or prints something that is no JSON.
    #[must_use]
    pub fn call(&self, verb: &str, environment: &Environment, conf: &Value) -> Answer {
        let command = self.root.command(&binary::path("multiplane"));
        run(self.node, command, &self.root.plugins(), verb, environment, conf.to_string().as_bytes())
    }
}

/// Runs a plugin in the node's namespace with nothing in its environment but what a runtime puts there.
///
/// # Panics
/// If the plugin cannot be started, or prints something that is no JSON.
#[must_use]
pub fn run(
    node: &Netns,
    mut command: Command,
    plugins: &Path,
    verb: &str,
    environment: &Environment,
    stdin: &[u8],
) -> Answer {
    environment.apply(&mut command, plugins, verb);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let begin = Instant::now();
    let child = node.run(|| command.spawn()).expect("enter the node's namespace");
    let mut child = child.expect("start the plugin");
    let mut pipe = child.stdin.take().expect("stdin is a pipe");
    // A plugin that refuses early closes its stdin; its answer says why.
    let _ = pipe.write_all(stdin);
    drop(pipe);
    let output = child.wait_with_output().expect("wait for the plugin");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let json = if stdout.trim().is_empty() { Ok(Value::Null) } else { serde_json::from_str(&stdout) };
    Answer {
        status: output.status.code(),
        stdout: json.unwrap_or_else(|error| unreachable!("stdout is no JSON: {error}: {stdout}")),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        duration: begin.elapsed(),
    }
}

impl Environment {
    /// For verbs that concern no container: GC, STATUS, VERSION.
    #[must_use]
    pub fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// For ADD, CHECK and DEL of `eth0` in the pod with namespace `netns`.
    #[must_use]
    pub fn of(container: &str, netns: &Path) -> Self {
        Self::none()
            .with("CNI_CONTAINERID", container)
            .with("CNI_IFNAME", "eth0")
            .with("CNI_NETNS", &netns.display().to_string())
    }

    /// As a kubelet's runtime calls for a pod of the namespace `default`.
    #[must_use]
    pub fn of_pod(self, name: &str, uid: &str) -> Self {
        let args = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={name};K8S_POD_UID={uid}");
        self.with("CNI_ARGS", &args)
    }

    /// With one variable set.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets a command's environment to this one and what every call has.
    pub fn apply(&self, command: &mut Command, plugins: &Path, verb: &str) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env("CNI_PATH", plugins);
        if !verb.is_empty() {
            command.env("CNI_COMMAND", verb);
        }
        command.envs(&self.0);
    }

    /// Without a variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }
}

impl Answer {
    /// The code of the error object; `None` if there is none.
    #[must_use]
    pub fn code(&self) -> Option<u64> {
        self.stdout["code"].as_u64()
    }

    /// Message and details of the error object, as the pod event shows them.
    #[must_use]
    pub fn message(&self) -> String {
        let part = |key: &str| self.stdout[key].as_str().unwrap_or_default().to_owned();
        let (msg, details) = (part("msg"), part("details"));
        if details.is_empty() { msg } else { format!("{msg}; {details}") }
    }

    /// The answer of a call that has to succeed.
    ///
    /// # Errors
    /// What the plugin said instead.
    pub fn success(self) -> Result<Self, String> {
        if self.status == Some(0) { Ok(self) } else { Err(format!("{} {}", self.stdout, self.stderr)) }
    }
}
