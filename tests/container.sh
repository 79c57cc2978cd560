#!/usr/bin/env bash
# Containerfile, built: by buildah, on an image of a fresh Debian in the place of a registry's; then what is in the image draws the build's
# picture as the user it names, who can write nothing of it. What it says when it starts and serves is tried by tests/archive.sh.
#   tests/container.sh BUILD_FOLDER
# Needs root, debootstrap, buildah and the package manager's network; else it is skipped.
set -euo pipefail
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
# its storage is a folder of this test's, its containers are folders below that and need no right but root's
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
images() { buildah --root "$folder/images" --runroot "$folder/run" "$@"; }
trap 'images rm --all >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT
. tests/fresh_root.sh
fresh_root_needs
command -v buildah >/dev/null || skip "no buildah"

fresh_root "$folder/root"
empty=$(images from scratch 2>"$folder/said") || skip "buildah: $(tail -1 "$folder/said")"
images add -q "$empty" "$folder/root" / >/dev/null
images commit -q "$empty" system >/dev/null
images rm "$empty" >/dev/null
rm -rf "$folder/root"
begin=$SECONDS
images build -q --pull=never --format docker --build-arg SYSTEM=localhost/system -f Containerfile -t variant . >"$folder/built" 2>&1 || { tail -20 "$folder/built"; exit 1; }
echo "built in $((SECONDS - begin)) s, $(images images --filter reference=localhost/variant --format '{{.Size}}')"

images inspect --type image localhost/variant >"$folder/image.json"
ok "what the image is told to run" python3 - "$folder/image.json" <<'P'
import json, sys
config = json.load(open(sys.argv[1]))["Docker"]["config"]
wanted = {"Entrypoint": ["variant", "serve", "--listen", "0.0.0.0"], "User": "65534:65534", "StopSignal": "SIGTERM"}
wrong = [f"{key}: {config.get(key)}" for key, value in wanted.items() if config.get(key) != value]
wrong += [] if config.get("Healthcheck", {}).get("Test", [None])[0] == "CMD" else ["no Healthcheck"]
sys.exit("; ".join(wrong) or 0)
P
"$build/variant" generate -m models/fashion --class Sneaker -s 3 --depth 6 -o "$folder/want.png" >/dev/null
container=$(images from --pull=never localhost/variant)
images run "$container" -- variant generate -m /opt/variant/share/variant/models/fashion --class Sneaker -s 3 --depth 6 -o - >"$folder/got.png" 2>/dev/null
ok "its picture" cmp "$folder/want.png" "$folder/got.png"
refused() { ! images run "$container" -- sh -c "$1" 2>/dev/null; }
ok "its user writes into nothing of it" refused 'echo x >/opt/variant/x || echo x >/etc/x || echo x >/x'
ok "and has no compiler" refused 'command -v gcc || command -v cmake'
ok "nor OpenBLAS beside its own" refused 'find /usr/lib -name "libopenblas*" | grep .'
echo "$passed passed, 0 failed"
