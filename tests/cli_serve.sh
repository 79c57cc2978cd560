#!/usr/bin/env bash
# `variant serve` on a free loopback port, spoken to with Python's standard library (cli_serve.py).
#   tests/cli_serve.sh BUILD_FOLDER [TEST...]
set -euo pipefail
command -v python3 >/dev/null || { echo "SKIP cli_serve: no python3"; exit 0; }
variant=$(cd "$1" && pwd)/variant
shift
PYTHONDONTWRITEBYTECODE=1 exec python3 "$(dirname "$0")/cli_serve.py" "$variant" "$@"
