#!/usr/bin/env bash
# Builds the sandbox image that containerd imports (no registry of images is needed): busybox, asleep.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

one_at_a_time
image=$cache/sandbox-image-1.tar
if [ ! -e "$image" ]; then
    say "building the sandbox image from busybox"
    work=$(mktemp -d "$cache/image.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work"/layer/{bin,tmp,etc,proc,sys,dev} "$work/image"
    cp /bin/busybox "$work/layer/bin/busybox"
    for applet in sh sleep cat ls ip nc wget id; do ln -s busybox "$work/layer/bin/$applet"; done
    pack() { tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$1" -cf "$2" .; }
    pack "$work/layer" "$work/image/layer.tar"
    digest=$(sha256sum <"$work/image/layer.tar" | cut -d' ' -f1)
    # The docker-archive format: a manifest, a config, and the layers by file name.
    cat >"$work/image/config.json" <<JSON
{"architecture":"$(dpkg --print-architecture)","os":"linux",
 "config":{"Entrypoint":["/bin/sleep","100000"],"Env":["PATH=/bin"]},
 "rootfs":{"type":"layers","diff_ids":["sha256:$digest"]}}
JSON
    cat >"$work/image/manifest.json" <<JSON
[{"Config":"config.json","RepoTags":["multiplane.test/sandbox:1"],"Layers":["layer.tar"]}]
JSON
    pack "$work/image" "$image.new"
    mv "$image.new" "$image"
fi
part sandbox-image.tar "$image"
