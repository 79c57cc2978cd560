#!/usr/bin/env bash
# Runs the commands that README.md, docs/ and the other documents show, on small inputs (documented_commands.py and .txt).
#   tests/documented_commands.sh BUILD_FOLDER [DOCUMENT...]
set -euo pipefail
command -v python3 >/dev/null || { echo "SKIP documented_commands: no python3"; exit 0; }
variant=$(cd "$1" && pwd)/variant
shift
PYTHONDONTWRITEBYTECODE=1 exec python3 "$(dirname "$0")/documented_commands.py" "$variant" "$@"
