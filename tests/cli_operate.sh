#!/usr/bin/env bash
# How `variant serve` is operated: on a free loopback port, asked with Python's standard library (cli_operate.py).
#   tests/cli_operate.sh BUILD_FOLDER [TEST...]
set -euo pipefail
command -v python3 >/dev/null || { echo "SKIP cli_operate: no python3"; exit 0; }
variant=$(cd "$1" && pwd)/variant
shift
PYTHONDONTWRITEBYTECODE=1 exec python3 "$(dirname "$0")/cli_operate.py" "$variant" "$@"
