#!/usr/bin/env bash
# Builds the image of the recommender in R, and pulls nothing: the base image is made from Debian packages.
#
#     ./build.sh IMAGE            for example r-recommender:latest
#
# An image of that name which was built from these same files is kept. The base image is kept under its own tag, so that
# a change of the R code costs seconds. Needs a running container engine, and mmdebstrap, which is installed where it is not
# there.
#
#     BASE=debian:bookworm-slim   takes this base image instead, from a registry or the engine
#     MIRROR=http://...           of Debian, http://deb.debian.org when not set
#     ENGINE=podman               docker when not set
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 IMAGE" >&2; exit 2; }
image=$1
here=$(cd "$(dirname "$0")" && pwd)
engine=${ENGINE:-docker}
mirror=${MIRROR:-http://deb.debian.org}
base=${BASE:-sagebrush/debian:bookworm}
label=sagebrush.recipe

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

make_base() { # the smallest Debian 12 that apt works in, without documentation
    if ! command -v mmdebstrap >/dev/null 2>&1; then
        command -v apt-get >/dev/null 2>&1 || { echo "install mmdebstrap, or set BASE to a Debian 12 image" >&2; exit 1; }
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap >/dev/null
    fi
    local folder
    folder=$(mktemp -d)
    # shellcheck disable=SC2064 # the folder of now
    trap "rm -rf '$folder'" EXIT
    as_root mmdebstrap --variant=minbase --quiet \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' \
        bookworm "$folder/base.tar" \
        "deb $mirror/debian bookworm main" \
        "deb $mirror/debian bookworm-updates main" \
        "deb $mirror/debian-security bookworm-security main"
    "$engine" import "$folder/base.tar" "$base" >/dev/null
}

if ! "$engine" version >/dev/null 2>&1; then
    echo "no container engine answers to \`$engine version\`: install and start one, docker.io of Debian for example" >&2
    exit 1
fi
recipe=$(cd "$here" && { echo "$base"; cat Dockerfile entrypoint.sh ./*.R; } | sha256sum | cut -c1-16)
if [ "$("$engine" image inspect --format "{{index .Config.Labels \"$label\"}}" "$image" 2>/dev/null)" = "$recipe" ]; then
    echo "$image is up to date"
    exit 0
fi
if [ -z "${BASE:-}" ] && ! "$engine" image inspect "$base" >/dev/null 2>&1; then
    echo "making the base image $base"
    make_base
fi
echo "building $image"
"$engine" build --build-arg "BASE=$base" --label "$label=$recipe" --tag "$image" "$here"
