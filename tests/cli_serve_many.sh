#!/usr/bin/env bash
# Ten thousand connections to `variant serve` (cli_serve_many.py), on loopback.
#   tests/cli_serve_many.sh BUILD_FOLDER
set -euo pipefail
command -v python3 >/dev/null || { echo "SKIP cli_serve_many: no python3"; exit 0; }
[ "$(ulimit -Hn)" = unlimited ] || [ "$(ulimit -Hn)" -ge 12000 ] || { echo "SKIP cli_serve_many: ulimit -Hn is $(ulimit -Hn), 12000 files are needed"; exit 0; }
ulimit -n 12000
PYTHONDONTWRITEBYTECODE=1 exec python3 "$(dirname "$0")/cli_serve_many.py" "$(cd "$1" && pwd)/variant"
