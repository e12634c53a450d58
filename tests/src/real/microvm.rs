//! A virtual machine with Debian's kernel, for link kinds that this machine's kernel lacks. It runs the same test
//! binary as the host did: no second build, no second test.

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::parts;

/// What the guest prints last; the command's exit status follows.
const EXIT_MARK: &str = "MULTIPLANE-MICROVM-EXIT ";

/// Runs first in the guest: mounts, a spare network card, then the command from `/command`.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin 2>/dev/null
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for dir in /run /tmp /var/lib; do mkdir -p $dir; mount -t tmpfs tmpfs $dir; done
echo 2 >/proc/sys/kernel/printk
modprobe -a virtio_pci virtio_net
ip link set lo up
export PATH=/sbin:/usr/sbin:/bin:/usr/bin HOME=/tmp MULTIPLANE_BINARIES=/programs
cd /
sh /command 2>&1
echo "MULTIPLANE-MICROVM-EXIT $?"
poweroff -f
"#;

/// A guest that is being put together.
#[derive(Debug)]
pub struct MicroVm {
    root: TempDir,
}

/// What came out of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The serial console.
    pub console: String,
    /// The command's exit status; `None` if the guest did not get that far in time.
    pub status: Option<i32>,
}

impl MicroVm {
    /// A guest with busybox, iproute2, util-linux and the kernel's network modules.
    ///
    /// # Panics
    /// If a part is missing.
    #[must_use]
    pub fn new() -> Self {
        let vm = Self { root: tempfile::tempdir().expect("make a temporary folder") };
        for folder in
            ["bin", "sbin", "usr/bin", "usr/sbin", "etc", "dev", "proc", "sys", "programs", "lib/modules"]
        {
            std::fs::create_dir_all(vm.guest(folder)).expect("make a folder of the guest");
        }
        vm.add(&parts::debian("busybox"), "bin/busybox");
        // Not busybox's shell: it would take its own `ip` for the real one.
        vm.add(&parts::debian("dash"), "bin/sh");
        // The kernel loads modules on demand by this path (CONFIG_MODPROBE_PATH).
        symlink("/bin/busybox", vm.guest("sbin/modprobe")).expect("make a link of the guest");
        for tool in ["ip", "bridge", "unshare", "mount"] {
            vm.add(&parts::debian(tool), &format!("usr/sbin/{tool}"));
        }
        vm.write("init", INIT);
        vm.write(crate::requires::MICROVM_MARK, "");
        let modules = parts::kernel().join("lib/modules");
        run(Command::new("cp").arg("-rT").arg(modules).arg(vm.guest("lib/modules")));
        vm
    }

    /// Adds a program and the shared libraries that it asks for.
    ///
    /// # Panics
    /// If it cannot be copied.
    pub fn add(&self, program: &Path, guest_path: &str) {
        self.copy(program, guest_path);
        for library in libraries(program) {
            self.copy(&library, library.to_str().expect("library paths are text"));
        }
    }

    /// Boots, runs a shell script, powers off.
    ///
    /// # Panics
    /// If the machine cannot be started.
    #[must_use]
    pub fn run(&self, script: &str, limit: Duration) -> Outcome {
        self.write("command", script);
        let initrd = tempfile::NamedTempFile::new().expect("make a temporary file");
        self.pack(initrd.path());
        let output = Command::new("timeout")
            .args(["--kill-after=5", &limit.as_secs().to_string()])
            .arg(parts::debian("qemu-system-x86_64"))
            // Not KVM: inside a virtual machine its device node may exist and the guest yet hang.
            .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024"])
            .args(["-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot"])
            .args(["-netdev", "user,id=spare,restrict=on", "-device", "virtio-net-pci,netdev=spare,romfile="])
            .args(["-append", "console=ttyS0 panic=1 quiet tsc=reliable"])
            .arg("-kernel")
            .arg(parts::kernel().join("vmlinuz"))
            .arg("-initrd")
            .arg(initrd.path())
            .stdin(Stdio::null())
            .output()
            .expect("start qemu");
        let mut console = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        console.push_str(&String::from_utf8_lossy(&output.stderr));
        let status =
            console.rsplit_once(EXIT_MARK).and_then(|(_, rest)| rest.lines().next()?.trim().parse().ok());
        Outcome { console, status }
    }

    /// The kernel unpacks the newc format of cpio (Documentation/driver-api/early-userspace/buffer-format.rst).
    fn pack(&self, archive: &Path) {
        let archive = std::fs::File::create(archive).expect("open the archive");
        run(Command::new("sh")
            .args(["-c", "find . -print0 | cpio --null --quiet --create --format=newc"])
            .current_dir(self.root.path())
            .stdout(archive));
    }

    fn guest(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    fn copy(&self, from: &Path, guest_path: &str) {
        let to = self.guest(guest_path);
        std::fs::create_dir_all(to.parent().expect("a path in the guest"))
            .expect("make a folder of the guest");
        let copied = std::fs::copy(from, &to);
        assert!(copied.is_ok(), "copy {} into the guest: {copied:?}", from.display());
    }

    fn write(&self, guest_path: &str, text: &str) {
        let path = self.guest(guest_path);
        let mut file = std::fs::File::create(path).expect("make a file of the guest");
        file.write_all(text.as_bytes()).expect("write a file of the guest");
        file.set_permissions(std::fs::Permissions::from_mode(0o755)).expect("make a file executable");
    }
}

impl Default for MicroVm {
    fn default() -> Self {
        Self::new()
    }
}

/// The absolute paths among what ldd(1) prints; nothing for a static program.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().expect("start ldd");
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace()
        .filter(|word| word.starts_with('/') && !word.ends_with(':'))
        .map(PathBuf::from)
        .collect()
}

fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).status();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{command:?}: {status:?}");
}
