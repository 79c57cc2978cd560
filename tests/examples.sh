#!/usr/bin/env bash
# What examples/ shows runs: the C programs against the library, curl and Python against a server, all of one model, and the same pictures.
#   tests/examples.sh BUILD_FOLDER
set -uo pipefail
# shellcheck source=cli.sh
. "$(dirname "$0")/cli.sh"
build=$(dirname "$variant")
: >err.txt

"$variant" synth "$root/tests/examples.json" -o model.safetensors >/dev/null 2>err.txt || bad synth

# the C program, which the tests' build made
if "$build/tests/example_embed" model.safetensors >out.txt 2>err.txt; then ok; else bad "embed: $?"; fi
for words in "deep: scale 3 of 3" "shallow: scale 3 of 3" "cancelled.png: cancelled at scale 1" "shallow.png: layers 5,1,1"; do
    grep -qF "$words" out.txt && ok || { cp out.txt err.txt; bad "embed does not say: $words"; }
done
grep -qx "by another thread: cancelled at scale .*" out.txt && ok || { cp out.txt err.txt; bad "embed's other thread cancels nothing"; }
grep -q "cancelled: scale 2" out.txt && bad "a cancelled request went on" || ok
run generate -m model.safetensors --class 0 -s 7 --depth 1 --bridge 1 -o want.png
cmp -s want.png shallow.png && ok || bad "embed's picture is not the command's"

# a training on pictures of its own, and what the model draws
if "$build/tests/example_train" runs >out.txt 2>err.txt; then ok; else bad "train: $?"; fi
for words in "step 75 of 80" "step 200 of 200" "runs-tokenizer: test_psnr" "runs-transformer: test_loss" "runs-transformer/transformer.safetensors: "; do
    grep -qF "$words" out.txt && ok || { cp out.txt err.txt; bad "train does not say: $words"; }
done
[ "$(head -c 4 bars.png | tail -c 3)" = PNG ] && ok || bad "train draws nothing"

if ! command -v curl >/dev/null || ! command -v python3 >/dev/null; then
    echo "SKIP examples over HTTP: no curl or python3"
else
    "$variant" serve -m model.safetensors --port 0 2>log.txt &
    server=$!
    for _ in $(seq 200); do grep -q listening log.txt && break; sleep 0.05; done
    address=$(sed -n 's/.*"address":"\([^"]*\)".*/\1/p' log.txt)
    if "$root/examples/generate.sh" "$address" 1 curl.png >out.txt 2>err.txt && [ "$(head -c 4 curl.png | tail -c 3)" = PNG ]; then ok; else bad "generate.sh"; fi
    if "$root/examples/generate.sh" "$address" nobody none.png >out.txt 2>err.txt; then bad "generate.sh takes an error for a picture"; else ok; fi
    grep -q 'no class' err.txt && [ ! -e none.png ] && ok || bad "generate.sh does not say what was wrong, or leaves a file"
    if python3 "$root/examples/watch.py" "$address" 1 >out.txt 2>err.txt && [ -s quick.png ] && [ -s fine.png ]; then ok; else bad "watch.py"; fi
    run generate -m model.safetensors --class 1 -s 7 --depth 1 --bridge 1 -o want.png
    cmp -s want.png quick.png && ok || bad "watch.py's picture is not the command's"
    kill -TERM "$server"
    if wait "$server"; then ok; else bad "the server ended with $?"; fi
fi

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
