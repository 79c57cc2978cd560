#!/usr/bin/env bash
# valgrind over what sanitizers do not see into (BLAS, libpng): a tiny synthetic model drawn from, on both backends.
#   tests/valgrind.sh BUILD_FOLDER
set -euo pipefail
export OPENBLAS_CORETYPE=Haswell # or the program might start itself again, away from valgrind
variant=$(cd "$1" && pwd)/variant
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cat >"$out/tiny.json" <<'JSON'
{"seed": "V", "depth": 3, "width": 64, "heads": 2, "V": 32, "Cvae": 8, "classes": 3, "patch_nums": [1, 2, 3],
 "attn_l2_norm": true, "shared_aln": false, "ch": 32, "ch_mult": [1, 1], "nres": 1}
JSON
check=(valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite)
"${check[@]}" "$variant" synth "$out/tiny.json" -o "$out/tiny.safetensors" >/dev/null
for backend in cpu ref; do
    "${check[@]}" "$variant" generate -m "$out/tiny.safetensors" --backend $backend -t 1 -n 2 --depth 2 --bridge 1 \
        -o "$out/$backend.png" >/dev/null 2>&1
done
echo "3 passed, 0 failed"
