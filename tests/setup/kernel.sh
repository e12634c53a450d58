#!/usr/bin/env bash
# Unpacks a Debian kernel and its network modules for the microVM that tests link kinds this kernel lacks.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

one_at_a_time
# Debian moves on within 6.1; any of them has the modules, so one that lies in the cache is kept.
home=$(find "$cache" -maxdepth 1 -name 'kernel-6.1.*' -type d | sort -V | tail -n 1)
if [ -z "$home" ]; then
    newest() {
        apt-cache search --names-only '^linux-image-6\.1\.0-[0-9]+-amd64$' | cut -d' ' -f1 | sort -V | tail -n 1
    }
    package=$(newest)
    if [ -z "$package" ]; then
        quietly apt-update apt-get update
        package=$(newest)
    fi
    [ -n "$package" ] || fail "Debian offers no linux-image-6.1.0-*-amd64: is main of bookworm in the sources?"
    say "fetching $package (70 MB): the microVM's kernel"
    work=$(mktemp -d "$cache/kernel.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    chmod 0755 "$work"
    fetch() { cd "$work" && apt-get download "$package"; }
    (fetch >"$cache/kernel.log" 2>&1) || { quietly apt-update apt-get update; quietly kernel fetch; }
    dpkg -x "$work"/linux-image-*.deb "$work/all"
    version=$(basename "$work"/all/lib/modules/*)
    modules=$work/tree/lib/modules/$version
    mkdir -p "$modules/kernel/drivers"
    cp "$work/all/boot/vmlinuz-$version" "$work/tree/vmlinuz"
    # The network stack, the devices that the tests make or plug in, and the libraries they depend on.
    from=$work/all/lib/modules/$version/kernel
    for dir in net lib crypto drivers/net/bonding drivers/net/ipvlan drivers/net/vxlan drivers/virtio; do
        mkdir -p "$modules/kernel/$(dirname "$dir")"
        cp -r "$from/$dir" "$modules/kernel/$dir"
    done
    for name in dummy macvlan macvtap tap veth virtio_net net_failover vrf; do
        cp "$from/drivers/net/$name.ko" "$modules/kernel/drivers/net/"
    done
    for name in wireless mac80211 bluetooth ceph sunrpc rxrpc 9p nfc can batman-adv mptcp smc tipc; do
        rm -rf "$modules/kernel/net/$name"
    done
    cp "$work/all/lib/modules/$version"/modules.{order,builtin} "$modules/"
    busybox depmod -b "$work/tree" "$version"
    home=$cache/kernel-$version
    mv "$work/tree" "$home"
fi
part kernel "$home"
