#!/usr/bin/env bash
# Situations of pictures that are drawn again in part: masks of every kind, pictures of any size, sides added, and what cannot be.
#   tests/situations/edit.sh BUILD_FOLDER [NAME...]
. "$(dirname "$0")/lib.sh"

# png FILE WIDTH HEIGHT KIND: rgb (a pattern of colours), grey, white, black, square (white in its middle), hole (the pattern, its
# middle see-through), through (see-through in its middle, black elsewhere).
png() {
    python3 - "$@" <<'PY'
import struct, sys, zlib
path, width, height, kind = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
middle = lambda x, y: width // 4 <= x < width - width // 4 and height // 4 <= y < height - height // 4
def pixel(x, y):
    pattern = bytes([x * 37 % 256, y * 53 % 256, (x * y + 7) % 256])
    if kind == "rgb": return pattern
    if kind == "grey": return pattern[:1]
    if kind == "hole": return pattern + bytes([0 if middle(x, y) else 255])
    if kind == "through": return bytes([0, 0, 0, 0 if middle(x, y) else 255])
    return bytes([255 if kind == "white" or kind == "square" and middle(x, y) else 0])
colour = {1: 0, 3: 2, 4: 6}[len(pixel(0, 0))]
rows = b"".join(b"\0" + b"".join(pixel(x, y) for x in range(width)) for y in range(height))
def chunk(name, data): return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)) +
                       chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
PY
}

# rows FILE: pixels of a PNG as text, a line a row, for comparisons; only what this program writes (8 bits, any filter).
rows() {
    python3 - "$1" <<'PY'
import struct, sys, zlib
data, at, packed = open(sys.argv[1], "rb").read(), 8, b""
while at < len(data):
    length, = struct.unpack(">I", data[at:at + 4])
    name, body = data[at + 4:at + 8], data[at + 8:at + 8 + length]
    if name == b"IHDR": width, height, _, colour = struct.unpack(">IIBB", body[:10])
    if name == b"IDAT": packed += body
    at += 12 + length
n = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
flat, before = zlib.decompress(packed), bytes(width * n)
for y in range(height):
    kind, line = flat[y * (width * n + 1)], bytearray(flat[y * (width * n + 1) + 1:(y + 1) * (width * n + 1)])
    for i in range(width * n):
        a, b, c = (line[i - n] if i >= n else 0), before[i], (before[i - n] if i >= n else 0)
        p = a + b - c
        paeth = a if abs(p - a) <= abs(p - b) and abs(p - a) <= abs(p - c) else b if abs(p - b) <= abs(p - c) else c
        line[i] = (line[i] + [0, a, b, (a + b) // 2, paeth][kind]) & 255
    before = bytes(line)
    print(" ".join(line[x * n:x * n + n].hex() for x in range(width)))
PY
}
# kept A B X Y WIDTH HEIGHT: do both show the same there? B's corner is (BX, BY), (X, Y) where they are not given.
part() { rows "$1" | awk -v x="$2" -v y="$3" -v w="$4" -v h="$5" 'NR > y && NR <= y + h {for (i = x + 1; i <= x + w; ++i) printf "%s ", $i; print ""}'; }
kept() { [ "$(part "$1" $3 $4 $5 $6)" = "$(part "$2" "${7:-$3}" "${8:-$4}" $5 $6)" ] || fault "$1 and $2 differ at $3,$4"; }
changed() { [ "$(part "$1" $3 $4 $5 $6)" != "$(part "$2" $3 $4 $5 $6)" ] || fault "$1 and $2 are the same at $3,$4"; }
edit() { succeeds generate -m m.safetensors -t 1 --class 1 --init-img "$@"; }
refuses_edit() { refuses "$1" generate -m m.safetensors -t 1 --class 1 -o none.png --init-img "${@:2}"; [ ! -e none.png ] || fault "wrote none.png"; }

masks() {
    tiny_model m.safetensors
    png a.png 8 8 rgb; png square.png 8 8 square; png through.png 8 8 through; png hole.png 8 8 hole
    edit a.png --mask square.png --feather 0 -o white.png
    edit a.png --mask through.png --feather 0 -o through-made.png
    edit hole.png --feather 0 -o hole-made.png
    for made in white.png through-made.png hole-made.png; do
        kept a.png $made 0 0 8 2; kept a.png $made 0 2 2 4; changed a.png $made 2 2 4 4
    done
    [ "$(rows white.png)" = "$(rows through-made.png)" ] || fault "white and see-through masks differ"
    edit a.png --mask square.png --invert-mask --feather 0 -o inverted.png
    kept a.png inverted.png 2 2 4 4; changed a.png inverted.png 0 0 8 2
    edit a.png --mask square.png --feather 0 --grow 1 -o grown.png
    kept a.png grown.png 0 0 8 1; changed a.png grown.png 2 1 4 1
    edit a.png --mask square.png -o feathered.png
    changed a.png feathered.png 2 2 4 4
}
situation masks "white, see-through, inverted and grown masks change what they should and nothing else" masks

sizes() {
    tiny_model m.safetensors
    while read -r width height; do
        png a.png $width $height rgb; png square.png $width $height square
        edit a.png --mask square.png --feather 0 -o b.png
        kept a.png b.png 0 0 $width $((height / 4)); changed a.png b.png $((width / 4)) $((height / 4)) $((width / 4)) $((height / 4))
    done <<'LIST'
8 8
100 40
33 77
5 4
LIST
    png grey.png 20 16 grey; png square.png 20 16 square
    edit grey.png --mask square.png -o b.png
    edit grey.png --mask square.png -o b.jpg
    edit grey.png --mask square.png --fit stretch -n 2 --grid -o sheet.png
    edit grey.png --mask square.png --pad --depth 2 --bridge 1 -n 2 --save-scales . -o many.png
    for file in many_00.png many_01.png 00_scale_01.png; do [ -s $file ] || fault "no $file"; done
}
situation sizes "pictures of any size come back as large as they were, untouched outside of the mask" sizes

outpainting() {
    tiny_model m.safetensors
    png a.png 10 6 rgb
    edit a.png --outpaint 4,0,6,3 --feather 0 -o b.png
    rows b.png | awk 'END {exit NR != 9}' || fault "not 9 rows"
    [ "$(rows b.png | head -1 | wc -w)" -eq 20 ] || fault "not 20 columns"
    kept a.png b.png 0 0 10 6 4 0
    refuses_edit 2 a.png --outpaint 0,0,0,0; says "adds nothing"
    refuses_edit 2 a.png --outpaint 1,2,3; says "four numbers"
    refuses_edit 2 a.png --outpaint 1,2,3,-4
    refuses_edit 2 a.png --outpaint 1,2,3,99999
    refuses_edit 2 a.png --outpaint 1.5,0,0,0; says "whole numbers"
    refuses_edit 2 a.png --outpaint 32768,0,0,0; says "expected sides up to"
}
situation outpainting "sides are added, and senseless numbers of pixels refused in one line" outpainting

again() {
    tiny_model m.safetensors
    png a.png 20 12 rgb; png square.png 20 12 square; png other.png 20 12 grey
    edit a.png --mask square.png --grow 1 --outpaint 1,0,0,0 --depth 2 --bridge 1 -s 9 -o b.png
    refuses 2 generate -m m.safetensors -t 1 --from b.png -o none.png; says "again, --init-img and --mask"
    refuses_edit 2 a.png --init-img other.png --mask square.png; says "expected one picture, as a run edits one, and there is a.png already"
    mkdir folder; cp a.png folder
    refuses_edit 1 folder --mask square.png; says "folder: is a folder, expected a file"
    refuses 2 generate -m m.safetensors -t 1 --vary b.png -n 2 -o none.png; says "b.png is an edit of another picture"
    refuses 2 generate -m m.safetensors -t 1 --refine b.png --depth 2 -o none.png; says "b.png is an edit of another picture"
    succeeds generate -m m.safetensors -t 1 --from b.png --init-img a.png --mask square.png -o c.png
    same_bytes b.png c.png
    succeeds generate -m m.safetensors -t 1 --from b.png --init-img other.png --mask square.png -o d.png; says "another picture"
    succeeds generate -m m.safetensors -t 1 --class 2 -o own.png
    png small.png 8 8 square
    succeeds generate -m m.safetensors -t 1 --init-img own.png --mask small.png -o e.png; says "no --class: 2"
    succeeds generate -m m.safetensors -t 1 --init-img a.png --mask square.png -o f.png; says "of none"
}
situation again "an edit says what it was made of, and is made again with the picture and the mask beside its settings" again

refusals() {
    tiny_model m.safetensors
    png a.png 8 8 rgb; png square.png 8 8 square; png black.png 8 8 black; png white.png 8 8 white; png large.png 9 8 square
    refuses_edit 2 a.png; says "no see-through pixels"
    refuses_edit 2 a.png --mask large.png; says "large.png: a mask of 9 x 8 pixels, a.png has 8 x 8"
    refuses_edit 2 a.png --mask black.png; says "the mask is all black"
    refuses_edit 2 a.png --mask white.png --invert-mask; says "the mask is all white"
    refuses_edit 1 nowhere.png --mask square.png; says "nowhere.png"
    refuses_edit 1 a.png --mask nowhere.png; says "nowhere.png"
    mkdir folder
    refuses_edit 1 folder --mask square.png; says "folder: is a folder, expected a file"
    refuses_edit 1 a.png --mask folder; says "folder: is a folder, expected a picture's file"
    for begin in from refine vary tokens-in; do
        refuses 1 generate -m m.safetensors -t 1 --$begin folder -o none.png; says "folder: is a folder, expected a file"
    done
    echo text >broken.png
    refuses_edit 1 broken.png --mask square.png; says "broken.png: not a picture"
    refuses_edit 1 a.png --mask broken.png; says "broken.png: not a picture"
    head -c 60 a.png >cut.png
    refuses_edit 1 cut.png --mask square.png; says "cut.png"
    for other in "--keep-scales 2 --tokens-in x" "--refine a.png" "--vary a.png" "--tokens-in x"; do
        refuses_edit 2 a.png --mask square.png $other; says "init-img"
    done
    for alone in "--mask square.png" "--grow 2" "--feather 1" "--outpaint 1,1,1,1" "--invert-mask" "--pad" "--fit pad"; do
        refuses 2 generate -m m.safetensors -t 1 -o none.png $alone; says "give --init-img"
    done
    refuses_edit 2 a.png --mask square.png --grow -1
    edit a.png --mask white.png -o all.png; says "leaves nothing of the picture"
    succeeds generate -m m.safetensors -t 1 --class 1 -o plain.png
    [ "$(rows all.png)" = "$(rows plain.png)" ] || fault "a full mask is no plain picture"
}
situation refusals "masks of another size, empty, unreadable; options that contradict: one line, and nothing is written" refusals

limits() {
    tiny_model m.safetensors
    png a.png 8 8 rgb; png square.png 8 8 square
    edit a.png --mask square.png --max-memory 1G -o b.png; says "plan|fits|b.png"
    edit a.png --mask square.png --compare 3,1 -n 2 -o sheet.png
    edit a.png --mask square.png --smooth --weights bf16 --kv int8 --cfg-scales 0,1,0 -n 3 --batch 2 -o c.png
    for backend in ref cpu; do edit a.png --mask square.png --feather 0 --backend $backend --greedy -o $backend.png; done
    kept a.png ref.png 0 0 8 1; kept a.png cpu.png 0 0 8 1
}
# large FILE WIDTH HEIGHT: a picture of one colour.
large() {
    python3 - "$@" <<'PY'
import struct, sys, zlib
path, width, height = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
pack = zlib.compressobj(1)
rows = b"".join(pack.compress(b"\0" + b"\x80\x40\x20" * width) for _ in range(height)) + pack.flush()
def chunk(name, data): return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                       chunk(b"IDAT", rows) + chunk(b"IEND", b""))
PY
}

large_pictures() {
    tiny_model m.safetensors
    large a.png 3000 2000
    printf '%s' "not read when the limit refuses" >mask.png
    refuses 1 generate -m m.safetensors -t 1 --class 1 --init-img a.png --mask mask.png --max-memory 60M -o b.png
    says "no schedule fits; the nearest takes [0-9.]+ MB of 60.0"
    is_silent_on "mask"
    refuses 1 generate -m m.safetensors -t 1 --class 1 --init-img a.png --outpaint 9000,0,9000,0 --max-memory 300M -o b.png
    says "no schedule fits"
    [ ! -e b.png ] || fault "a picture was written"
    sanitized && return 0
    edit a.png --outpaint 0,0,0,1 --max-memory 90M --json -o b.png
    python3 - <<'PY' || fault "more than was told: $(cat out.txt)"
import json
r = json.load(open("out.txt"))
assert 60e6 < r["plan"]["bytes"] <= 90e6, r["plan"]["bytes"]
assert r["peak_rss_bytes"] < r["plan"]["bytes"] + 60e6, r # the program and its libraries
PY
    for count in 2 3; do
        run generate -m m.safetensors -t 1 --class 1 --init-img a.png --outpaint 0,0,0,1 -n $count --grid --max-memory 130M -o c.png
        [ $code -eq $((count - 2)) ] || fault "a sheet of $count: exit $code"
    done
}
situation large-pictures "what a large picture takes is told before it is read: limits hold" large_pictures

situation limits "budgets, sheets of depths, types and backends go with edits" limits

situations_end
