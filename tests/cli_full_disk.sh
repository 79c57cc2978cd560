#!/usr/bin/env bash
# A disk that fills up while a training or a sweep writes, a small tmpfs: the last checkpoint stays, the error names the file, and with room again the run
# goes on to the same bytes (cli_full_disk.py); --all: every kind of training, more sizes.
#   tests/cli_full_disk.sh BUILD_FOLDER [--all]
set -euo pipefail
command -v python3 >/dev/null || { echo "SKIP cli_full_disk: no python3"; exit 0; }
build=$(cd "$1" && pwd)
shift
for apart in "unshare --mount" "unshare --user --map-root-user --mount"; do
    if $apart sh -c 'mount -t tmpfs -o size=64k none /mnt' 2>/dev/null; then
        PYTHONDONTWRITEBYTECODE=1 exec $apart python3 "$(dirname "$0")/cli_full_disk.py" "$build" "$@"
    fi
done
echo "SKIP cli_full_disk: nothing may be mounted here"
