#!/usr/bin/env bash
# The page of `variant serve` in a headless Chromium that chromedriver drives (browser.py), against real servers (cli_page.py).
#   tests/cli_page.sh BUILD_FOLDER [TEST...]
set -euo pipefail
command -v python3 >/dev/null || { echo "SKIP cli_page: no python3"; exit 0; }
variant=$(cd "$1" && pwd)/variant
shift
PYTHONDONTWRITEBYTECODE=1 exec python3 "$(dirname "$0")/cli_page.py" "$variant" "$@"
