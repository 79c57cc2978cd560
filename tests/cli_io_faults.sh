#!/usr/bin/env bash
# Each system call of the commands fails once, on the program itself (cli_io_faults.py, io_fail.c); --all: of all commands, and more of each.
#   tests/cli_io_faults.sh BUILD_FOLDER [--all] [COMMAND...]
set -euo pipefail
command -v python3 >/dev/null || { echo "SKIP cli_io_faults: no python3"; exit 0; }
build=$(cd "$1" && pwd)
shift
PYTHONDONTWRITEBYTECODE=1 exec python3 "$(dirname "$0")/cli_io_faults.py" "$build" "$build/tests/io_fail" "$@"
