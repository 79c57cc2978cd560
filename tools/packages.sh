#!/usr/bin/env bash
# Makes the Debian packages variant, libvariant0, libvariant-dev and python3-variant in build/package/packages, and prints their paths.
# Two builds of the same sources make the same bytes.
#   tools/packages.sh
set -euo pipefail
cd "$(dirname "$0")/.."
tools/install-deps.sh python3 python3-dev python3-cffi python3-numpy dpkg-dev
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export SOURCE_DATE_EPOCH
mkdir -p build
log=build/packages.log
rm -rf build/package/packages
exec 3>&1 4>&2 >"$log" 2>&1
trap '[ $? -eq 0 ] || { tail -20 "$log"; echo "packages.sh: failed; all of it is in $log"; } >&4' EXIT
cmake --preset package
cmake --build --preset package
(cd build/package && cpack -B packages)
ls build/package/packages/*.deb >&3
