#!/usr/bin/env bash
# schemathesis over the OpenAPI document of `variant serve` (cli_serve_schema.py), by pip.
#   tests/cli_serve_schema.sh BUILD_FOLDER [SECONDS]
set -euo pipefail
build=$(cd "$1" && pwd)
. "$(dirname "$0")/python_packages.sh"
python=$(python_with "$build" schemathesis 2>&1) || { echo "$python"; exit 0; }
PYTHONDONTWRITEBYTECODE=1 exec "$python" "$(dirname "$0")/cli_serve_schema.py" "$build/variant" "${2:-60}"
