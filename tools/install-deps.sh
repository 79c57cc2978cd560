#!/usr/bin/env bash
# Installs the Debian packages that building, testing and the demo need, if any is missing.
# Called by demo.sh and test.sh; safe to run again. Needs root (or sudo) only when something is missing.
set -euo pipefail

packages=(
    gcc g++ cmake ninja-build pkg-config git ca-certificates
    libopenblas-openmp-dev libpng-dev libjpeg62-turbo-dev zlib1g-dev libxxhash-dev
    libwebp-dev libtiff-dev libgif-dev libexif-dev libseccomp-dev
    libcjson-dev libmicrohttpd-dev libcmocka-dev
    libopenmpi-dev openmpi-bin  # may be missing: no training over ranks
    libchafa-dev libglib2.0-dev # may be missing: generate --show without sixel
    dataset-fashion-mnist
    "$@"
)

missing=()
for package in "${packages[@]}"; do
    state=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)
    [[ $state == ii* ]] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "install-deps: need root to install: ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
fi
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp) # apt has much to say that is no error; all of it is shown where something fails
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" apt-get update -qq && "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    cat "$log" >&2
    echo "install-deps: could not install: ${missing[*]}" >&2
    exit 1
fi
