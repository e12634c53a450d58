//! The node's own `/run` and `/var/lib`: what a runtime, Multus and the plugins keep there lies in a temporary
//! folder, and the machine's own stays untouched.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Binds the folders over the machine's in a mount namespace of their own, then becomes the command.
const ENTER: &str = r#"set -e; root=$1; shift
mount --bind "$root/run" /run
mount --bind "$root/var-lib" /var/lib
exec "$@""#;

/// A node's private folders.
#[derive(Debug)]
pub struct NodeRoot {
    dir: TempDir,
}

impl NodeRoot {
    /// Empty folders.
    ///
    /// # Panics
    /// If they cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let open = std::fs::Permissions::from_mode(0o755);
        // Envoy, as user 1337, walks through it to the bootstrap.
        let dir = tempfile::Builder::new()
            .prefix("multiplane-node-")
            .permissions(open)
            .tempdir()
            .expect("make a temporary folder");
        for name in ["run", "var-lib", "plugins", "conf"] {
            std::fs::create_dir(dir.path().join(name)).expect("make a folder");
        }
        Self { dir }
    }

    /// A folder for whatever the node needs besides.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What the node sees as `/run`.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// The folder with the CNI plugins (`bin_dir`, `CNI_PATH`).
    #[must_use]
    pub fn plugins(&self) -> PathBuf {
        self.dir.path().join("plugins")
    }

    /// The folder with the network configurations (`conf_dir`, `NETCONFPATH`).
    #[must_use]
    pub fn conf(&self) -> PathBuf {
        self.dir.path().join("conf")
    }

    /// Installs a plugin under its file name.
    ///
    /// # Panics
    /// If it cannot be linked.
    pub fn install(&self, plugin: &Path) {
        let name = plugin.file_name().expect("a plugin is a file");
        let link = self.plugins().join(name);
        std::os::unix::fs::symlink(plugin, &link)
            .unwrap_or_else(|error| panic!("link {} to {}: {error}", link.display(), plugin.display()));
    }

    /// Writes a network configuration.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn configure(&self, file: &str, conf: &serde_json::Value) {
        // A runtime that watches the folder reloads on a rename within it (facts/kubernetes-seen.md).
        let path = self.conf().join(file);
        let new = self.conf().join(format!(".{file}.new"));
        std::fs::write(&new, format!("{conf:#}")).expect("write a network configuration");
        std::fs::rename(new, path).expect("rename a network configuration");
    }

    /// A command that sees the private folders. It is started in the namespaces of the thread that spawns it.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        self.enter(&[], program)
    }

    /// As [`NodeRoot::command`], and in a process namespace of its own: whatever it starts ends with it.
    #[must_use]
    pub fn command_with_own_processes(&self, program: &Path) -> Command {
        self.enter(&["--pid", "--fork", "--kill-child", "--mount-proc"], program)
    }

    fn enter(&self, unshare: &[&str], program: &Path) -> Command {
        let mut command = Command::new("unshare");
        command.arg("--mount").args(unshare).args(["--", "sh", "-c", ENTER, "sh"]);
        command.arg(self.dir.path()).arg(program);
        command
    }
}

impl Default for NodeRoot {
    fn default() -> Self {
        Self::new()
    }
}
