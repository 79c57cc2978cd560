#!/usr/bin/env bash
# Situations of folders and pictures: what people's data sets look like, and what the program takes them for.
#   tests/situations/data.sh BUILD_FOLDER [NAME...]
. "$(dirname "$0")/lib.sh"

make() { python3 -c "from inputs import *
import os, shutil
$1" || fault "the inputs could not be made"; }
# reads PICTURES ARGUMENTS...: a tiny tokenizer reads that many pictures of a data set.
reads() {
    local pictures=$1
    shift
    [ -f m.safetensors ] || tiny_model m.safetensors
    succeeds reconstruct -m m.safetensors -t 1 "$@"
    says "^$pictures pictures of 8 x 8"
}
tiny_training() { # ARGUMENTS...: one step of a transformer
    [ -f m.safetensors ] || tiny_model m.safetensors 2
    succeeds train transformer --tokenizer m.safetensors --depth 1 --width 32 --heads 1 --steps 1 --batch 4 -t 1 -q "$@"
}

overview_beside_classes() {
    make "classes('d/train', ['a', 'b'], 6, width=8, height=8); classes('d/test', ['a', 'b'], 5, seed=1, width=8, height=8); picture('d/overview.png'); picture('d/test/sheet.png')"
    head -c 100 /dev/zero >d/._overview.png
    reads 10 --data d
    says "test: 1 picture left out, beside the class folders: sheet.png"
    reads 12 --data d --split train
    reads 22 --data d --split all
    tiny_classifier c d
    succeeds eval --pictures d/test/a --features c/classifier.safetensors --reference d -t 1
    says "^of +5 pictures against 10 of d"
}
situation overview-beside-classes "a contact sheet, and its macOS shadow, beside class folders: the classes are read, the sheet is named" overview_beside_classes

folders_of_nothing() {
    make "classes('d', ['cats', 'dogs'], 4); picture('d/birds/images/1.png'); picture('d/birds/images/2.png')
for name in ('__MACOSX/cats', '@eaDir', 'downloads', 'only_text', '.ipynb_checkpoints', '#recycle', 'lost+found'): os.makedirs('d/' + name)
for name in ('__MACOSX/cats/._00.png', '@eaDir/00.png', 'downloads/cut.webp'): open('d/' + name, 'wb').write(b'RIFF\\4\\0\\0\\0WEBP')
open('d/only_text/read.me', 'w').write('no pictures')"
    succeeds train classifier --data d -o r --side 8 --crop 0 --mult 1,2 --steps 1 --batch 4 -t 1 -q --holdout 0
    says "2 folders left out, without a picture that can be read: downloads, only_text"
    says "10 pictures in 3 classes"
    says "2 pictures deeper than the class folders \(birds/images/1.png, ...\)"
    is_silent_on "MACOSX|eaDir|recycle"
}
situation folders-of-nothing "folders of file managers, of failed downloads, of text, and one with a sub-folder of pictures" folders_of_nothing

swapped_folders() {
    make "classes('d', ['a', 'b'], 6)
for c in 'ab':
    for f in os.listdir('d/' + c): os.truncate('d/%s/%s' % (c, f), os.path.getsize('d/%s/%s' % (c, f)))"
    tiny_training --data d -o r
    cp r/tokens.cache first.cache
    tiny_training --data d -o r --restart
    same_bytes first.cache r/tokens.cache
    is_silent_on "made again"
    mv d/a d/t && mv d/b d/a && mv d/t d/b
    tiny_training --data d -o r --restart
    says "pictures changed since their tokens were made: made again \(d/a/"
    tiny_training --data d -o fresh
    same_bytes fresh/tokens.cache r/tokens.cache
}
situation swapped-folders "two class folders change places, every file keeps its size: tokens are made again, and it is said which" swapped_folders

restored_times() {
    make "classes('d', ['a', 'b'], 6)
data = open('d/a/03.png', 'rb').read(); times = os.stat('d/a/03.png')
open('other.bin', 'wb').write(open('d/b/03.png', 'rb').read())"
    tiny_training --data d -o r
    python3 - <<'PY'
import os
old = os.stat('d/a/03.png')
data = bytearray(open('d/a/03.png', 'rb').read())
new = open('d/a/04.png', 'rb').read()
with open('d/a/03.png', 'r+b') as f: f.write(new); f.truncate(len(new))
os.utime('d/a/03.png', ns=(old.st_atime_ns, old.st_mtime_ns))
PY
    cp r/tokens.cache first.cache
    tiny_training --data d -o r --restart
    says "1 of 11 pictures changed .*d/a/03.png|1 of 12 pictures changed .*d/a/03.png|made again"
    other_bytes first.cache r/tokens.cache
}
situation restored-times "a picture is overwritten and its time put back, as rsync and cp -p do: noticed, by name" restored_times

large_folder() {
    make "classes('d', ['a', 'b'], 1, width=8, height=8)
for c in 'ab':
    for i in range(10700): os.link('d/%s/00.png' % c, 'd/%s/%05d.png' % (c, i))"
    training=(train tokenizer --side 8 --mult 1,1,1 --sides 1,2 --width 32 --codes 16 --steps 2 --batch 4 --eval-count 4 -t 1)
    succeeds "${training[@]}" --data d -o young -q
    [ ! -e young/pictures.index ] || fault "an index of folders that are younger than two seconds"
    sleep 3.1
    succeeds "${training[@]}" --data d -o r --data-index known.index
    says "21402 pictures held out"
    [ ! -e r/pictures.index ] && [ -s known.index ] && [ -z "$(find d -type f ! -name '*.png')" ] || fault "the index is not where it was asked for"
    succeeds "${training[@]}" --data d -o again --data-index known.index
    says "21402 pictures held out"
    same_bytes r/tokenizer.safetensors again/tokenizer.safetensors
    succeeds "${training[@]}" --data d -o plain -q
    same_bytes r/tokenizer.safetensors plain/tokenizer.safetensors
    cp d/a/00.png picture.bin
    refuses 2 "${training[@]}" --data d -o r --restart --data-index picture.bin
    says "picture.bin: is no index of pictures, expected one, or a name that is free"
    same_bytes picture.bin d/a/00.png
    rm d/a/00001.png
    succeeds "${training[@]}" --data d -o r --restart --data-index known.index
    says "21401 pictures held out"
}
situation large-folder "21402 pictures: what they are is kept beside the run, or where it is said, and holds until a folder changes" large_folder

one_level_too_many() {
    make "classes('pictures/pictures', ['a', 'b'], 4)"
    reads 8 --data pictures --split all
    says "the pictures are taken from pictures/pictures"
}
situation one-level-too-many "an archive unpacked into a folder of its own name" one_level_too_many

splits_of_an_archive() {
    make "classes('d/seg_train/seg_train', ['sea', 'street'], 4); classes('d/seg_test/seg_test', ['sea', 'street'], 3, seed=2); classes('d/seg_pred/seg_pred', ['x'], 5)
shutil.rmtree('d/seg_pred')"
    reads 6 --data d
    reads 8 --data d --split train
}
situation splits-of-an-archive "seg_train/seg_train/CLASS beside seg_test/seg_test/CLASS: splits, not classes" splits_of_an_archive

a_class_called_train() {
    make "classes('d', ['plane', 'train', 'car'], 4)"
    reads 12 --data d --split all
    make "shutil.rmtree('d'); [picture('d/%s/images/%d.png' % (c, i)) for c in ('plane', 'train', 'car') for i in range(3)]"
    reads 9 --data d --split all
}
situation a-class-called-train "vehicles: planes, cars and trains; the class train is no split" a_class_called_train

no_test_folder() {
    make "classes('d', ['a', 'b'], 20)"
    tiny_classifier c d
    succeeds classify -m c --data d
    says "no test/ folder: ([0-9]+) of 40 pictures held out by name"
    held=$(grep -oE '[0-9]+ of 40 pictures held out' err.txt | cut -d' ' -f1)
    reads "$held" --data d
    reads $((40 - held)) --data d --split train
    reads 40 --data d --split all
    reads $((40 - held)) --data d --split train --count 40
    cp -r d elsewhere && make "picture('elsewhere/a/zzz.png')"
    succeeds reconstruct -m m.safetensors -t 1 --data elsewhere
    says "of 41 pictures held out"
    refuses 1 classify -m c --data d --holdout 0
    says "no test split.*holdout 0.*split train or all"
    succeeds eval -m m.safetensors --features c/classifier.safetensors --reconstruct d -t 1
    says "^of +$held pictures"
}
situation no-test-folder "class folders without test/: a share is held out by name, the same by every command" no_test_folder

two_pictures() {
    make "classes('d', ['a'], 2); classes('e', ['a', 'b'], 1)"
    reads 1 --data d
    reads 1 --data d --split train
    reads 2 --data e --split train # no class loses its only picture
    refuses 1 reconstruct -m m.safetensors -t 1 --data e
    says "too few pictures to hold one out"
}
situation two-pictures "two pictures in all: one is held out; of classes of one picture none" two_pictures

mixed_formats() {
    golden=$here/../golden/pictures
    mkdir -p d/a d/b
    cp "$golden"/rgb_* "$golden"/rgb.png d/a && cp "$golden"/few* "$golden"/grey* "$golden"/clear* d/b
    cp "$golden/rgb_lossless.webp" d/a/really_webp.jpg
    cp "$golden/rgb.png" d/a/00f3a1 # a hash for a name
    for name in 1.heic 2.heic 3.avif; do echo x >d/a/$name; done
    echo x >d/labels.csv
    reads "$(($(find d -type f | wc -l) - 4))" --data d --split all
    says "d: 4 files left out: 2 .heic \(convert them first\), 1 .avif \(convert them first\), 1 .csv"
    says "8 pictures turned as the EXIF orientation says"
    is_silent_on damaged
}
situation mixed-formats "PNG, JPEG, WebP, GIF, BMP and TIFF, some under wrong names, phone pictures that lie; what is left out is counted" mixed_formats

broken_pictures() {
    make "classes('d', ['a', 'b'], 3)
for i in range(14): open('d/a/x%02d.png' % i, 'wb').write(open('d/a/00.png', 'rb').read()[:90])
open('d/b/pointer.jpg', 'w').write('version https://git-lfs.github.com/spec/v1\noid sha256:0\n')
open('d/b/page.jpg', 'w').write('<!DOCTYPE html><html></html>')"
    reads 6 --data d --split all
    [ "$(grep -c 'damaged PNG' err.txt)" -eq 10 ] || fault "not ten named"
    says "and 6 more pictures that cannot be read"
    rm d/a/x*
    reads 6 --data d --split all
    says "git lfs pull"
    says "page.jpg: a web page"
}
situation broken-pictures "downloads cut short, Git LFS pointers, error pages: ten are named, the rest counted" broken_pictures

a_class_all_broken() {
    make "classes('d', ['a', 'b', 'c'], 3)
for i in range(3): open('d/b/%02d.png' % i, 'r+b').truncate(70)"
    succeeds train classifier --data d -o r --side 8 --crop 0 --mult 1,2 --steps 1 --batch 4 -t 1 -q --holdout 0
    says "class b left out: none of its pictures can be read"
    says "6 pictures in 2 classes"
}
situation a-class-all-broken "a class of which every file was cut short becomes no class" a_class_all_broken

links_in_circles() {
    make "classes('d', ['a', 'b'], 3); os.symlink('..', 'd/a/up'); os.symlink('../b', 'd/a/more'); os.symlink('nowhere', 'd/b/lost.png')"
    reads 9 --data d --split all # b's three are a's too
    says "a link back to a folder that it lies in"
    says "a link that leads nowhere"
}
situation links-in-circles "a link to the folder above, one to a neighbour, one to nowhere" links_in_circles

joined_folders() {
    make "classes('one', ['cats', 'dogs'], 3); classes('two', ['birds', 'cats'], 2, seed=3)"
    succeeds train classifier --data one --data two -o r --side 8 --crop 0 --mult 1,2 --steps 1 --batch 4 -t 1 -q --holdout 0
    says "2 data sets joined: 10 pictures in 3 classes"
    reads 10 --data one --data two --split all
}
situation joined-folders "two folders of pictures, one class in both: joined by name" joined_folders

wide_pictures() {
    make "[picture('d/%s/%d.png' % (c, i), colour, width=32, height=8) for i in range(5) for c, colour in (('a', (250, 10, 10)), ('b', (10, 10, 250)))]"
    for fit in crop pad stretch; do
        tiny_training --data d -o $fit --fit $fit
        reads 10 --data d --split all --fit $fit -o $fit.png
    done
    other_bytes crop/tokens.cache pad/tokens.cache
    other_bytes crop.png pad.png
    other_bytes pad.png stretch.png
    # what a tokenizer was trained with is what later commands do
    succeeds train tokenizer --data d -o tok --side 8 --sides 1,2,4 --mult 1,1 --codes 32 --steps 1 --batch 4 -t 1 -q --fit pad
    succeeds reconstruct -m tok --data d --split all -t 1 -o as_trained.png
    succeeds reconstruct -m tok --data d --split all -t 1 --fit pad -o pad.png
    same_bytes as_trained.png pad.png
    succeeds encode -m tok d/a/0.png -t 1 -o trained.safetensors
    succeeds encode -m tok d/a/0.png -t 1 --fit pad -o pad.safetensors
    succeeds encode -m tok d/a/0.png -t 1 --fit crop -o crop.safetensors
    same_bytes trained.safetensors pad.safetensors
}
situation wide-pictures "pictures four times as wide as high: cropped, padded or squeezed, and later commands do as training did" wide_pictures

see_through() {
    make "[picture('d/%s/%d.png' % (c, i), (200, 100, 50, 40), width=8, height=8, seed=i) for i in range(3) for c in 'ab']"
    for alpha in white black drop; do reads 6 --data d --split all --alpha $alpha -o $alpha.png; done
    reads 6 --data d --split all -o default.png
    same_bytes default.png white.png
    other_bytes white.png black.png
    other_bytes black.png drop.png
    refuses 2 reconstruct -m m.safetensors --data d --alpha grey
    says "expected white, black or drop|white\|black\|drop"
}
situation see-through "pictures with alpha: over white, over black, or their hidden colours" see_through

array_of_pictures() {
    python3 - <<'PY'
import struct, zipfile, random
random.seed(3)
n, side = 12, 8
data = bytes(random.randrange(256) for _ in range(n * side * side * 3))
head = "{'descr': '|u1', 'fortran_order': False, 'shape': (%d, %d, %d, 3), }" % (n, side, side)
head += ' ' * (63 - (10 + len(head)) % 64) + '\n'
body = b'\x93NUMPY\x01\x00' + struct.pack('<H', len(head)) + head.encode() + data
for name, how in (('s.npz', zipfile.ZIP_STORED), ('c.npz', zipfile.ZIP_DEFLATED)):
    with zipfile.ZipFile(name, 'w', how) as z: z.writestr('arr_0.npy', body)
PY
    make "classes('d', ['a', 'b'], 12, width=8, height=8)"
    tiny_classifier c d
    reads 12 --data s.npz --split all
    succeeds eval --pictures s.npz --reference c.npz --features c/classifier.safetensors -t 1
    says "^of +12 pictures against 12 of c.npz"
    succeeds eval --pictures c.npz --reference d --split all --features c/classifier.safetensors -t 1
    says "^of +12 pictures against 24 of d"
}
situation array-of-pictures "samples of another program in an .npz, stored or deflated, as pictures and as reference" array_of_pictures

gaps_in_labels() {
    python3 - <<'PY'
import struct, random
random.seed(1)
open('train-images-idx3-ubyte', 'wb').write(struct.pack('>4I', 2051, 30, 8, 8) + bytes(random.randrange(256) for _ in range(30 * 64)))
open('train-labels-idx1-ubyte', 'wb').write(struct.pack('>2I', 2049, 30) + bytes([3, 7, 200] * 10))
PY
    mkdir -p MNIST/raw && mv train-* MNIST/raw
    succeeds train classifier --data MNIST -o r --side 8 --crop 0 --mult 1,2 --steps 1 --batch 4 -t 1 -q
    says "pictures in 3 classes"
    says "no test split: [0-9]+ of 30 pictures held out by number"
    succeeds classify -m r --data MNIST --split all
    says "^200  *10 "
}
situation gaps-in-labels "IDX in a folder of a folder with the labels 3, 7 and 200 alone, no test files: three classes by those names" gaps_in_labels

flat_folder() {
    make "[picture('flat/%02d.png' % i, seed=i) for i in range(10)]; picture('flat/thumbs/1.png')"
    tiny_training --data flat -o r
    says "no class folders: one class, flat"
    says "1 picture left out, in folders beside 10 pictures"
    succeeds encode -m m.safetensors flat -t 1 -o t.safetensors
}
situation flat-folder "pictures without class folders and a folder of thumbnails: one class, told" flat_folder

announced_bomb() {
    python3 - <<'PY'
import struct, zlib, os
os.makedirs('d/a'); os.makedirs('d/b')
def chunk(name, body): return struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body))
head = struct.pack('>2I5B', 30000, 30000, 8, 2, 0, 0, 0)
open('d/a/bomb.png', 'wb').write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + chunk(b'IDAT', zlib.compress(b'\0' * 1000)) + chunk(b'IEND', b''))
PY
    make "classes('d', ['a', 'b'], 3)"
    reads 6 --data d --split all
    says "bomb.png: the PNG is 30000 x 30000, expected at most 268435456 pixels"
}
situation announced-bomb "a small file that announces 900 million pixels: left out before memory is taken" announced_bomb

classifier=(train classifier --side 8 --crop 0 --mult 1,2 --steps 1 --batch 4 -t 1 -q -o run)

only_test_pictures() {
    make "classes('d/test', ['a', 'b'], 4)"
    refuses 1 "${classifier[@]}" --data d
    says "d: no training pictures: expected train/ beside test/"
    is_silent_on "can be read"
    reads 8 --data d
}
situation only-test-pictures "a test/ folder alone: evaluations read it, a training says what is missing" only_test_pictures

the_test_folder_itself() {
    make "classes('d/train', ['a', 'b'], 9); classes('d/test', ['a', 'b'], 30, seed=1); shutil.copytree('d/test', 'e/Validation'); shutil.copytree('d/test', 'contest')"
    reads 60 --data d/test
    says "d/test: named as test pictures: all 60 are taken"
    reads 60 --data d/test/
    reads 60 --data e/Validation
    (cd d/test && "$variant" reconstruct -m ../../m.safetensors --data . -t 1 >../../out.txt 2>../../err.txt) || fault "$(cat err.txt)"
    says "^60 pictures of"
    succeeds reconstruct -m m.safetensors --data contest -t 1
    says "contest: no test/ folder: [0-9] of 60 pictures held out by name"
}
situation the-test-folder-itself "data/test named instead of data: all of it is test, nothing is held out of it" the_test_folder_itself

names_of_another_encoding() {
    make "classes('d', ['a'], 6)"
    python3 -c "import shutil; shutil.copytree(b'd/a', b'd/caf\xe9'); shutil.copytree('d/a', 'd/caf\u00e9')"
    succeeds "${classifier[@]}" --data d
    says "a class's name is no UTF-8: it is called caf%E9"
    python3 - <<'PY' || fault "the header is no UTF-8"
import json, struct
content = open("run/classifier.safetensors", "rb").read()
header = json.loads(content[8:8 + struct.unpack("<Q", content[:8])[0]].decode("utf-8"))
assert json.loads(header["__metadata__"]["variant.config"])["classes"] == ["a", "caf\u00e9", "caf%E9"]
PY
    succeeds classify -m run --data d -t 1 --split all
    says "caf%E9 +6"
}
names_that_are_no_line() {
    make "classes('d', ['a'], 6)"
    python3 -c "import shutil; shutil.copytree('d/a', 'd/b\n\033[2Jc')"
    succeeds "${classifier[@]}" --data d
    says "a class's name is no line of text: it is called b%0A%1B\[2Jc"
    succeeds classify -m run --data d -t 1 --split all
    says "b%0A%1B\[2Jc +6"
    ! grep -q $'\033' out.txt || fault "the terminal is told what the name holds"
}
situation names-that-are-no-line "a class folder with a line end and a terminal's command in its name: shown as %0A%1B, in one line" names_that_are_no_line

situation names-of-another-encoding "a class folder unpacked with a Latin-1 name: a name that every reader of model files can read" names_of_another_encoding

arrays_of_other_shapes() {
    make "
import struct, zipfile
def save(name, shape, text=None, kind='|u1', spoil=False):
    count = 1
    for side in shape: count *= side
    header = \"{'descr': '%s', 'fortran_order': False, 'shape': %s, }\" % (kind, text or shape)
    header = header.ljust(117) + '\\n'
    body = b'\\x93NUMPY\\1\\0' + struct.pack('<H', len(header)) + header.encode() + bytes(i * 37 % 256 for i in range(count * int(kind[2])))
    with zipfile.ZipFile(name, 'w') as archive: archive.writestr('arr_0.npy', body)
    if spoil:
        content = bytearray(open(name, 'rb').read()); content[400] ^= 1; open(name, 'wb').write(content)
save('one.npz', (8, 8, 3)); save('first.npz', (6, 3, 8, 8)); save('floats.npz', (6, 8, 8, 3), kind='<f4')
save('python2.npz', (6, 8, 8, 3), text='(6L, 8L, 8L, 3L)'); save('spoilt.npz', (6, 8, 8, 3), spoil=True)"
    reads 6 --data python2.npz --split all
    refuses 1 reconstruct -m m.safetensors --data one.npz --split all
    says "arr_0 is \(8, 8, 3\) of u1, one picture without the axis N"
    refuses 1 reconstruct -m m.safetensors --data first.npz --split all
    says "arr_0 is \(6, 3, 8, 8\) of u1: expected pictures, \(N, H, W, 3\)"
    refuses 1 reconstruct -m m.safetensors --data floats.npz --split all
    says "of f4: expected"
    refuses 1 reconstruct -m m.safetensors --data spoilt.npz --split all
    says "does not match its checksum"
}
situation arrays-of-other-shapes "one picture alone, channels first, floats, Python 2's sizes, a flipped bit: read right or called what it is" arrays_of_other_shapes

situations_end
