#!/usr/bin/env bash
# Minutes of mixed load on `variant serve`, clients that leave among it (cli_serve_soak.py). Worth the most over a build with sanitizers.
#   tests/cli_serve_soak.sh BUILD_FOLDER [SECONDS [PAUSE]]        # PAUSE: seconds that a client rests between two requests, on average, 0
set -euo pipefail
command -v python3 >/dev/null || { echo "SKIP cli_serve_soak: no python3"; exit 0; }
# what was freed is held for a while, which is to be full soon, so that what grows afterwards is a leak
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=16"
PYTHONDONTWRITEBYTECODE=1 exec python3 "$(dirname "$0")/cli_serve_soak.py" "$(cd "$1" && pwd)/variant" "${2:-120}" "${3:-0}"
