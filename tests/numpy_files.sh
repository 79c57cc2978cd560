#!/usr/bin/env bash
# Files for other programs, read and written by numpy (numpy_files.py), by pip.
#   tests/numpy_files.sh BUILD_FOLDER
set -euo pipefail
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
. tests/python_packages.sh
python=$(python_with "$build" numpy 2>&1) || { echo "$python"; exit 0; }
PYTHONDONTWRITEBYTECODE=1 exec "$python" tests/numpy_files.py "$build/variant" models/fashion
