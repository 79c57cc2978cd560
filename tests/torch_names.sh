#!/usr/bin/env bash
# State dicts for PyTorch, loaded by PyTorch (torch_names.py). VARIANT_TORCH names a Python that has torch; else python3, if it has.
#   tests/torch_names.sh BUILD_FOLDER
set -euo pipefail
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
python=${VARIANT_TORCH:-python3}
"$python" -c "import torch, numpy" 2>/dev/null || { echo "SKIP $python has no torch (VARIANT_TORCH names a Python that has)"; exit 0; }
PYTHONDONTWRITEBYTECODE=1 exec "$python" tests/torch_names.py "$build/variant" .
