#!/usr/bin/env bash
# The archive for other distributions, as somebody gets it, and the container's image that is made of it: made, packed to the same bytes
# twice, unpacked into a fresh root that has none of our libraries, moved, and pictures drawn there that are the build's; a C program linked with it;
# each library in it told with a licence. Then Containerfile: what it copies is there, and what it runs works there as the user it names.
#   tests/archive.sh BUILD_FOLDER
# Needs root, debootstrap and the package manager's network; else it is skipped.
set -euo pipefail
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. tests/fresh_root.sh
fresh_root_needs

# ---- made

begin=$SECONDS
archive=$(tools/archive.sh --models fashion)
echo "$(basename "$archive"), $(stat -c %s "$archive") bytes, made in $((SECONDS - begin)) s"
cp "$archive" "$folder/first.tar.gz"
touch build/archive/tree/README
tools/archive.sh --models fashion >/dev/null
ok "packed twice, the same bytes" cmp "$archive" "$folder/first.tar.gz"
if tools/archive.sh --models nothing >"$folder/said" 2>&1; then ok "a model that is not there is refused" false; fi
ok "in one line" grep -qx 'archive.sh: models/nothing holds no model' "$folder/said"

# ---- unpacked elsewhere

fresh=$folder/root
fresh_root "$fresh"
for library in openblas png16 tiff microhttpd chafa glib-2.0; do
    ok "the fresh root has no lib$library" [ -z "$(find "$fresh/usr/lib" -name "lib$library.so*")" ]
done
mkdir "$fresh/somewhere"
tar -xzf "$archive" -C "$fresh/somewhere"
mv "$fresh"/somewhere/variant-* "$fresh/somewhere/a new place"
place="/somewhere/a new place"
"$build/variant" generate -m models/fashion --class Sneaker -s 3 --depth 6 -o "$folder/want.png" >/dev/null
begin=$SECONDS
inside "$fresh" "$place/bin/variant" generate -m "$place/share/variant/models/fashion" --class Sneaker -s 3 --depth 6 -o /got.png >/dev/null
echo "drawn in $((SECONDS - begin)) s"
ok "the picture" cmp "$folder/want.png" "$fresh/got.png"
for library in tiff jbig; do # Debian's libtiff needs libjbig, whose licence (GPL-2+) whoever gets the archive would get with it
    ok "the archive has no lib$library" [ -z "$(find "$fresh$place/lib" -name "lib$library*")" ]
done
printf 'II*\0\10\0\0\0' >"$fresh/picture"
status=0
inside "$fresh" "$place/bin/variant" encode -m "$place/share/variant/models/fashion" /picture -o /maps.npz >"$folder/said" 2>&1 || status=$?
ok "a TIFF is refused: $(cat "$folder/said")" [ $status -eq 1 ]
ok "in one line that says so" grep -qx 'variant encode: /picture: a TIFF, which this build does not read (VARIANT_TIFF=OFF): convert it first' "$folder/said"
ok "nor does the page take one" [ "$(grep -c image/tiff "$fresh$place/bin/variant")" -eq 0 ]
for ending in jpg webp; do
    inside "$fresh" "$place/bin/variant" generate -m "$place/share/variant/models/fashion" --class Bag -o /got.$ending >/dev/null
    ok "a picture as $ending" [ -s "$fresh/got.$ending" ]
done
inside "$fresh" "$place/bin/variant" generate -m "$place/share/variant/models/fashion" --class Bag --show=sixel >"$folder/sixel"
ok "sixel, by chafa" grep -qP '\x1bP' "$folder/sixel"
ok "hardened" tests/hardened.sh "$build" "$fresh$place/bin/variant" "$fresh$place/lib/libvariant.so.0"
ok "README says which glibc" grep -qE 'with glibc 2\.[0-9]+ or later' "$fresh$place/README"
ok "nothing in it names the folder it was made in" [ -z "$(grep -rlF "$PWD" "$fresh$place")" ]
for file in "$fresh$place"/lib/*.so*; do
    name=$(basename "$file")
    [[ $name == libvariant* ]] && continue
    of=$(awk -v name="$name" '$1 == name { print $2 }' "$fresh$place/share/doc/variant/LIBRARIES.txt")
    ok "$name is told, with a licence" [ -s "$fresh$place/share/doc/variant/licenses/$of.txt" ]
done
for file in man/man1/variant-generate.1 bash-completion/completions/variant zsh/vendor-completions/_variant fish/vendor_completions.d/variant.fish; do
    ok "share/$file" [ -s "$fresh$place/share/$file" ]
done

# A C program of somebody with a compiler, who has no headers of the other libraries.
sed -n '/#include <stdio.h>/,/^ \*     }$/p' include/variant.h | sed -E 's/^ \*( {5})?//' >"$folder/program.c"
export PKG_CONFIG_PATH=$fresh$place/lib/pkgconfig PKG_CONFIG_LIBDIR=/nowhere
eval "cc -Wall -Werror '$folder/program.c' -o '$fresh/program' $(pkg-config --cflags --libs variant)"
mkdir "$fresh/models"
ln -s "$place/share/variant/models/fashion" "$fresh/models/fashion"
inside "$fresh" env LD_LIBRARY_PATH="$place/lib" /program
ok "the C program's picture" [ "$(head -c 4 "$fresh/sneaker.png" | tail -c 3)" = PNG ]

# ---- the container

. tests/container_file.sh Containerfile
ok "Containerfile has two stages" [ "${#container_from[@]}" -eq 2 ]
ok "its first stage makes the archive" [ "${container_runs[*]}" = "tools/archive.sh --models fashion" ]
ok "it copies what the archive leaves" [ "${container_copied[*]}" = "/src/build/archive/tree /opt/variant" ]
ok "which is there" [ -x "${container_copied[0]#/src/}/bin/variant" ]
ok "its user is nobody in particular" [ "$container_user" = 65534:65534 ]
ok "what is kept out of it is there to be kept out" grep -qx build .dockerignore
mkdir -p "$fresh/opt"
mv "$fresh$place" "$fresh/opt/variant"
chmod 1777 "$fresh/tmp"
# What the image would have around a command: its environment, its user, and /proc.
within=(/usr/bin/unshare --mount /bin/bash -c '/bin/mount -t proc proc "$1/proc" && exec /usr/sbin/chroot --userspec="$2" "$1" "${@:3}"' -
    "$fresh" "$container_user")
status=0
env -i "${container_env[@]}" "${within[@]}" "${container_entry[@]}" "${container_command[@]}" >"$folder/said" 2>&1 || status=$?
ok "without a key it is refused: $(tail -1 "$folder/said")" [ $status -ne 0 ]
ok "and says what is wanted" grep -q -- api-key "$folder/said"
key=of-a-test-alone-0123456789
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# on loopback alone here, and at a port that is free
entry=("${container_entry[@]/0.0.0.0/127.0.0.1}")
env -i "${container_env[@]}" VARIANT_API_KEY=$key "${within[@]}" "${entry[@]}" "${container_command[@]}" --port "$port" >"$folder/served" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
healthy() { env -i "${container_env[@]}" "${within[@]}" "${container_health[@]//8080/$port}" 2>/dev/null; }
for ((i = 0; i < 100; ++i)); do
    healthy && break
    sleep 0.1
done
ok "healthy: $(tail -1 "$folder/served")" healthy
python3 - "$port" "$key" "$folder/served.png" <<'P'
import base64, json, sys, urllib.request
port, key, out = sys.argv[1:]
request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/images/generations", json.dumps({"prompt": "Sneaker", "depth": 6, "seed": 3}).encode(),
                                 {"Authorization": "Bearer " + key, "Content-Type": "application/json"})
open(out, "wb").write(base64.b64decode(json.load(urllib.request.urlopen(request, timeout=60))["data"][0]["b64_json"]))
P
ok "the server's picture" cmp "$folder/want.png" "$folder/served.png"
kill -TERM "$server"
status=0
wait "$server" || status=$?
ok "it ends when asked to ($status)" [ $status -eq 0 ]
unhealthy() { ! healthy; }
ok "and is not healthy then" unhealthy
echo "$passed passed, 0 failed"
