#!/usr/bin/env bash
# kill -9 at any moment of trainings, sweeps and servers, and while a checkpoint is written (cli_kills.py, io_fail.c); --all: fifty of each.
#   tests/cli_kills.sh BUILD_FOLDER [--all] [SUBJECT...]
set -euo pipefail
command -v python3 >/dev/null || { echo "SKIP cli_kills: no python3"; exit 0; }
build=$(cd "$1" && pwd)
shift
PYTHONDONTWRITEBYTECODE=1 exec python3 "$(dirname "$0")/cli_kills.py" "$build" "$build/tests/io_fail" "$@"
