#!/usr/bin/env bash
# `variant generate --show`: cli_show.py, on two synthetic models.
#   tests/cli_show.sh BUILD_FOLDER
set -uo pipefail
command -v python3 >/dev/null || { echo "SKIP cli_show: no python3"; exit 0; }
# shellcheck source=cli.sh
. "$(dirname "$0")/cli.sh"
cat >model.json <<'JSON'
{"seed": "H", "depth": 3, "width": 64, "heads": 2, "V": 64, "Cvae": 8, "classes": 3, "patch_nums": [1, 2, 4, 8],
 "attn_l2_norm": true, "shared_aln": false, "ch": 32, "ch_mult": [1, 1, 1], "nres": 1}
JSON
"$variant" synth model.json -o model.safetensors >/dev/null && "$variant" synth "$root/tests/examples.json" -o small.safetensors >/dev/null || exit 1
chafa=no
[[ $(ldd "$variant") == *libchafa* ]] && chafa=yes
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$root/tests" python3 "$root/tests/cli_show.py" "$variant" $chafa
