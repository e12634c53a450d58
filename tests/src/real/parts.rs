//! Where the peers lie: `make setup` puts a link to each into `target/real/` (tests/setup/).

use std::path::{Path, PathBuf};

/// Debian's package `containernetworking-plugins` installs the reference plugins here.
const DEBIAN_PLUGINS: &str = "/usr/lib/cni";

/// The pinned Envoy.
#[must_use]
pub fn envoy() -> PathBuf {
    part("envoy")
}

/// The folder with Multus, cnitool and the newest reference plugins, built from `tests/peers/go.mod`.
#[must_use]
pub fn peers() -> PathBuf {
    part("peers")
}

/// The sandbox image as a docker-archive.
#[must_use]
pub fn sandbox_image() -> PathBuf {
    part("sandbox-image.tar")
}

/// The microVM's kernel: `vmlinuz` and `lib/modules/`.
#[must_use]
pub fn kernel() -> PathBuf {
    part("kernel")
}

/// The workspace's root.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace lies around us")
}

/// The binary of a Debian package that `tests/setup/packages.sh` installs.
///
/// # Panics
/// If it is not installed.
#[must_use]
pub fn debian(binary: &str) -> PathBuf {
    let found = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        .iter()
        .map(|dir| Path::new(dir).join(binary))
        .find(|path| path.exists());
    assert!(found.is_some(), "{binary} is not installed: run `make setup`");
    found.unwrap_or_default()
}

/// A reference plugin as Debian packages it.
///
/// # Panics
/// If it is not installed.
#[must_use]
pub fn debian_plugin(name: &str) -> PathBuf {
    let path = Path::new(DEBIAN_PLUGINS).join(name);
    assert!(path.exists(), "{} is not installed: run `make setup`", path.display());
    path
}

fn part(name: &str) -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let link = target.join("real").join(name);
    let path = link.canonicalize();
    assert!(path.is_ok(), "{} is missing: run `make setup`", link.display());
    path.unwrap_or_default()
}
