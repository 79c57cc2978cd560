#!/usr/bin/env bash
# `--sandbox` of the commands that open pictures and checkpoints, and the sandbox of `variant serve`: results are the same, damaged files
# are one line, and where the kernel has none it is refused, by the server told.
#   tests/cli_sandbox.sh BUILD_FOLDER
set -uo pipefail
build=$(cd "$1" && pwd)
# shellcheck source=cli.sh
. "$(dirname "$0")/cli.sh"
model=$root/models/fashion
without=("$build/tests/test_jail" --without-seccomp)
same() { cmp -s "$1" "$2" && ok || bad "$1 and $2 differ"; }
refused() { # words; then the command, which must end with 1 and one line of them
    local words=$1
    shift
    "$@" >out.txt 2>err.txt
    [ $? -eq 1 ] && [ "$(wc -l <err.txt)" -eq 1 ] && grep -q -- "$words" err.txt && ok || bad "$* without \"$words\""
}

"$variant" doctor --no-times >out.txt 2>err.txt
line=$(sed -n 's/^  sandbox    //p' out.txt)
if [[ $line != seccomp* ]]; then
    echo "SKIP cli_sandbox: $line"
    echo "0 passed, 0 failed"
    exit 0
fi

# ---- the same, inside and out
run generate -m "$model" --class Bag -s 3 -o bag.png
for how in "" --sandbox; do
    run encode -m "$model" bag.png $how -o tokens$how.safetensors
    run generate -m "$model" --from bag.png $how -o again$how.png
    run generate -m "$model" --class Coat --init-img bag.png --mask bag.png $how -o edit$how.png
    run inspect "$root/tests/golden/torch/micro_trainer.pth" $how
    sed 's/ms$//' out.txt >inspect$how.txt
    run convert "$root/tests/golden/torch/micro_trainer.pth" $how -o micro$how.safetensors
done
same tokens.safetensors tokens--sandbox.safetensors
same again.png again--sandbox.png
same edit.png edit--sandbox.png
same inspect.txt inspect--sandbox.txt
same micro.safetensors micro--sandbox.safetensors

# ---- damaged files
head -c 120 bag.png >cut.png
refused "cut.png: " "$variant" encode -m "$model" cut.png --sandbox -o cut.safetensors
head -c 3000 "$root/tests/golden/torch/micro_trainer.pth" >cut.pth
refused "cut.pth: " "$variant" inspect cut.pth --sandbox

# ---- a kernel without: asked for, it is not left out silently
refused "no sandbox can be had: this kernel filters no system calls" "${without[@]}" "$variant" encode -m "$model" bag.png --sandbox -o none.safetensors
[ ! -e none.safetensors ] && ok || bad "something was written all the same"
"${without[@]}" "$variant" doctor --no-times >out.txt 2>err.txt
grep -q "^note: no sandbox can be had, this kernel filters no system calls" out.txt && ok || { cp out.txt err.txt; bad "doctor says nothing of it"; }
refused "no sandbox" "${without[@]}" "$variant" serve -m "$model" --port 0 --sandbox
"$variant" bench kernels --sandbox >out.txt 2>err.txt
[ $? -eq 2 ] && ok || bad "a command that opens nothing has the option"

# ---- the server
PYTHONDONTWRITEBYTECODE=1 python3 - "$root/tests" "$variant" "$model" "${without[@]}" <<'P' >err.txt 2>&1 && ok || bad "the server"
import json
import os
import signal
import sys
sys.path.insert(0, sys.argv[1])
from serving import Server, form, picture, png
variant, model, without = sys.argv[2], sys.argv[3], sys.argv[4:]
hole = png(20, 12, lambda x, y: (10 * x, 20 * y, 90, 0 if x < 9 else 255))


def edit(server, image):
    return server.ask("POST", "/v1/images/edits", *form([("image", "a.png", image), ("prompt", "Bag"), ("seed", "5")]))


def started(server, event="listening"):
    return [json.loads(line) for line in server.log if f'"{event}"' in line]


def warned(server):
    return [line for line in started(server, "warning") if "decoded in this process" in line["message"]]


def child(process):
    with open(f"/proc/{process}/task/{process}/children", encoding="ascii") as file:
        return int(file.read().split()[0])


def keeper(server):
    return child(child(server.process.pid))  # the warden's


with Server(variant, model) as server:
    assert started(server)[0]["sandbox"].startswith("seccomp"), server.log
    assert not warned(server), server.log
    answer = edit(server, hole)
    assert answer.status == 200, answer.body
    inside = picture(answer.json()["data"][0])
    answer = edit(server, hole[:70])
    assert answer.status == 400 and answer.error()["code"] == "invalid_image", answer.body
    lost = keeper(server)
    os.kill(lost, signal.SIGKILL)
    answer = edit(server, hole)
    assert answer.status == 200 and picture(answer.json()["data"][0]) == inside, answer.body
    assert keeper(server) != lost
    assert server.get("/healthz").status == 200
    assert server.post("/v1/images/generations", {"prompt": "Bag"}).status == 200
with Server(variant, model, "--no-sandbox") as server:
    answer = edit(server, hole)
    assert answer.status == 200 and picture(answer.json()["data"][0]) == inside, answer.status
    assert "sandbox" not in started(server)[0] and len(warned(server)) == 1 and "--no-sandbox" in warned(server)[0]["message"], server.log
server = Server(variant, model)
server.command = without + server.command
with server:
    assert edit(server, hole).status == 200
    assert len(warned(server)) == 1 and "filters no system calls" in warned(server)[0]["message"], server.log
P

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
