#!/usr/bin/env bash
# OpenAI's own client of Python, unchanged, against `variant serve` (cli_serve_openai.py), by pip.
#   tests/cli_serve_openai.sh BUILD_FOLDER
set -euo pipefail
build=$(cd "$1" && pwd)
. "$(dirname "$0")/python_packages.sh"
python=$(python_with "$build" openai 2>&1) || { echo "$python"; exit 0; }
PYTHONDONTWRITEBYTECODE=1 exec "$python" "$(dirname "$0")/cli_serve_openai.py" "$build/variant"
