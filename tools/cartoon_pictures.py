#!/usr/bin/python3
"""cartoon_pictures.py - a data set of small colour pictures out of three packages of PyPI, each a box of drawn parts that
are put together: animals (animal_avatar), people (python_avatars), cats, monsters, robots and robot heads (robohash).

    apt-get install --no-install-recommends librsvg2-bin python3-pil python3-pip
    python3 -m pip install --no-deps --target /tmp/parts robohash==2.0 python_avatars==1.4.1 animal_avatar==0.0.5
    tools/cartoon_pictures.py /tmp/cartoon --packages /tmp/parts

writes OUT_FOLDER/train/CLASS/NUMBER.png and the same under test/, as `variant train --data OUT_FOLDER` reads them: RGB on
white. The same packages give the same files: which parts a picture has is a hash of its class and number.

No picture is written twice. The test split is by the two parts that make most of a picture (KINDS names them: of a cat the body
and the fur): every tenth of all their pairs is kept for testing, so that no training picture agrees with a test picture in both.
"""
import argparse
import concurrent.futures
import hashlib
import importlib
import importlib.metadata
import importlib.util
import io
import os
import shutil
import subprocess
import sys

from picture_folder import at_least, clear, fail, need_packages

MARK = "cartoon_pictures.txt"  # in a folder that this script wrote, and may write again
PACKAGES = {"robohash": "2.0", "python_avatars": "1.4.1", "animal_avatar": "0.0.5"}
CREDITS = """Written by tools/cartoon_pictures.py. Drawings: robohash (Zikri Kader, Hrvoje Novakovic, Julian Peter Arias: CC BY 3.0;
David Revoy: CC BY 4.0), python_avatars (MIT, after Pablo Stanley's Avataaars), animal_avatar (MIT).
"""
INSTALL = ("python3 -m pip install --no-deps --target FOLDER " + " ".join(f"{name}=={version}" for name, version in PACKAGES.items()) +
           ", then --packages FOLDER")
SCALE = 2  # parts are put together at this multiple of the side
HELD_OUT = 10  # one in so many pairs is for testing
TRIES = 50  # numbers for each picture wanted, after which a class has no more of them


def chance(*words):
    """A large number that is the same for the same words, on every machine and Python."""
    return int.from_bytes(hashlib.sha256(" ".join(map(str, words)).encode()).digest()[:8], "big")


def on_white(layers, side, Image):
    """RGBA layers of one size, one above the other, in a square on white."""
    size = max(layers[0].size)
    square = Image.new("RGBA", (size, size), "white")
    for layer in layers:
        square.alpha_composite(layer, ((size - layer.width) // 2, size - layer.height))
    return square.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)


def rasterised(svg, side, Image):
    png = subprocess.run(["rsvg-convert", "--height", str(side)], input=svg.encode(), stdout=subprocess.PIPE, check=True).stdout
    return Image.open(io.BytesIO(png)).convert("RGBA")


class Layers:
    """A set of robohash: a folder of PNG files for each part, named NUMBER#ORDER, laid one above the other by their order."""

    def __init__(self, name, coloured=False):
        package = importlib.util.find_spec("robohash").submodule_search_locations[0]  # its code, which is not run, needs others
        sets = os.path.join(package, "sets", name)
        colours = sorted(os.listdir(sets)) if coloured else [""]
        self.layers = {}
        for colour in colours:
            for part in os.listdir(os.path.join(sets, colour)):
                folder = os.path.join(sets, colour, part)
                self.layers.setdefault(part.split("#")[1], {})[colour] = [os.path.join(folder, file) for file in sorted(os.listdir(folder))]
        self.parts = {part: range(len(self.layers[part][colours[0]])) for part in sorted(self.layers)}
        if coloured:
            self.parts["colour"] = colours
        self.read = {}

    def layer(self, path, side, Image):
        if path not in self.read:
            self.read[path] = Image.open(path).convert("RGBA").resize((side, side), Image.Resampling.LANCZOS)
        return self.read[path]

    def draw(self, chosen, side, Image):
        files = [self.layers[part][chosen.get("colour", "")][chosen[part]] for part in sorted(self.layers)]
        return on_white([self.layer(file, SCALE * side, Image) for file in files], side, Image)


class Animals:
    """animal_avatar: a round badge in one of five colours with a face in one of six. Half of them have a spot, and half hair."""

    def __init__(self):
        shapes = importlib.import_module("animal_avatar.shapes")
        palette = importlib.import_module("animal_avatar.palette")
        self.svg = importlib.import_module("animal_avatar.utils.svg")
        none = shapes.EMPTY_SHAPE
        self.shapes = {"face": shapes.FACES, "spot": (none,) * len(shapes.PATTERNS) + shapes.PATTERNS, "ears": shapes.EARS,
                       "hair": (none,) * len(shapes.HAIRS) + shapes.HAIRS, "muzzle": shapes.MUZZLES, "eyes": shapes.EYES,
                       "brows": shapes.BROWS}
        self.parts = {part: range(len(choices)) for part, choices in self.shapes.items()}
        self.parts.update(colour=palette.AVATAR_COLORS, background=palette.BACKGROUND_COLORS)

    def draw(self, chosen, side, Image):
        drawn = "".join(choices[chosen[part]](chosen["colour"]) for part, choices in self.shapes.items())
        svg = self.svg.create_svg(500, self.svg.create_background(True, chosen["background"]), drawn, self.svg.create_blackout(True))
        return on_white([rasterised(svg, SCALE * side, Image)], side, Image)


class People:
    """python_avatars, without shirts that carry a print, sickness and crosses for eyes. Two in three have no beard, two in three
    no glasses; beards have the colour of the hair."""

    LEFT_OUT = {"ClothingType": {"NONE", "GRAPHIC_SHIRT"}, "EyeType": {"X_DIZZY"}, "MouthType": {"VOMIT"}, "HairType": {"NONE"},
                "FacialHairType": {"NONE"}, "AccessoryType": {"NONE"}}

    def __init__(self):
        self.avatars = importlib.import_module("python_avatars")

        def named(kind):
            return [member for member in getattr(self.avatars, kind) if member.name not in self.LEFT_OUT.get(kind, ())]

        def seldom(kind):
            return [getattr(self.avatars, kind).NONE] * 2 * len(named(kind)) + named(kind)

        self.parts = {"top": named("HairType") + named("HatType"), "clothing": named("ClothingType"), "eyebrows": named("EyebrowType"),
                      "eyes": named("EyeType"), "nose": named("NoseType"), "mouth": named("MouthType"),
                      "facial_hair": seldom("FacialHairType"), "accessory": seldom("AccessoryType"), "skin_color": named("SkinColor"),
                      "hair_color": named("HairColor"), "clothing_color": named("ClothingColor"), "hat_color": named("ClothingColor")}

    def draw(self, chosen, side, Image):
        avatar = self.avatars.Avatar(style=self.avatars.AvatarStyle.TRANSPARENT, facial_hair_color=chosen["hair_color"], **chosen)
        return on_white([rasterised(avatar.render(), SCALE * side, Image)], side, Image)


# Class: (what draws it, the two parts whose pairs the split keeps apart).
KINDS = {"animal": (Animals, ("ears", "muzzle")),
         "cat": (lambda: Layers("set4"), ("00body", "01fur")),
         "monster": (lambda: Layers("set2"), ("03Faces", "04Body")),
         "person": (People, ("top", "clothing")),
         "robot": (lambda: Layers("set1", coloured=True), ("01Body", "02Face")),
         "robot-head": (lambda: Layers("set3"), ("01BaseFace", "03Antenna"))}


def is_for_testing(kind, chosen, pair):
    return chance("pair", kind, *(chosen[part] for part in pair)) % HELD_OUT == 0


def choose(kind, parts, pair, wanted):
    """Parts of the first pictures of this class: {"train": [{part: choice}], "test": [...]}, as many as `wanted` of both."""
    chosen, seen = {split: [] for split in wanted}, set()
    for number in range(TRIES * sum(wanted.values())):
        one = {part: choices[chance(kind, number, part) % len(choices)] for part, choices in parts.items()}
        split = "test" if is_for_testing(kind, one, pair) else "train"
        key = tuple(map(str, one.values()))
        if key not in seen and len(chosen[split]) < wanted[split]:
            seen.add(key)
            chosen[split].append(one)
    for split, count in wanted.items():
        if len(chosen[split]) < count:
            fail(f"{kind}: only {len(chosen[split])} different pictures for {split}, of {count} asked for")
    return chosen


def write_class(kind, out, side, wanted, packages):
    """Writes the pictures of a class; runs in a process of its own."""
    Image = load_libraries(packages)
    make, pair = KINDS[kind]
    drawer = make()
    for split, pictures in choose(kind, drawer.parts, pair, wanted).items():
        folder = os.path.join(out, split, kind)
        os.makedirs(folder, exist_ok=True)
        for number, chosen in enumerate(pictures):
            drawer.draw(chosen, side, Image).save(os.path.join(folder, f"{number:05d}.png"))
    return kind


def load_libraries(packages):
    """Pillow's Image; ends with a line that names the packages where anything is missing."""
    if packages:
        sys.path.insert(0, packages)
    need_packages([("Pillow", "python3-pil", importlib.util.find_spec("PIL") is not None),
                   ("rsvg-convert", "librsvg2-bin", shutil.which("rsvg-convert") is not None)])
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        fail(f"{packages or 'the modules of ' + sys.executable}: no {', no '.join(missing)} of PyPI: {INSTALL}")
    from PIL import Image
    return Image


def warn_of_versions():
    for name, version in PACKAGES.items():
        found = importlib.metadata.version(name)
        if found != version:
            print(f"cartoon_pictures: {name} is {found}, not {version}: other pictures than the model's", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description="cartoons put together of the parts that three packages of PyPI ship, as a folder of pictures",
                                     epilog="Classes: " + ", ".join(KINDS) + ". Packages: " + INSTALL)
    parser.add_argument("out", metavar="OUT_FOLDER", help="new, empty, or written by this script before")
    parser.add_argument("--packages", metavar="FOLDER", help="where pip put the packages (default: where Python looks for modules)")
    parser.add_argument("--side", type=at_least(8), default=64, help="of the pictures (default %(default)s)")
    parser.add_argument("--train", type=at_least(1), default=4000, metavar="N", help="training pictures a class (default %(default)s)")
    parser.add_argument("--test", type=at_least(1), default=300, metavar="N", help="test pictures a class (default %(default)s)")
    parser.add_argument("--jobs", type=at_least(1), default=os.cpu_count(), metavar="N", help="processes (default: one a core)")
    options = parser.parse_args()
    load_libraries(options.packages)
    warn_of_versions()
    try:
        clear(options.out, MARK, CREDITS)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")
    wanted = {"train": options.train, "test": options.test}
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        tasks = [pool.submit(write_class, kind, options.out, options.side, wanted, options.packages) for kind in KINDS]
        for task in concurrent.futures.as_completed(tasks):
            print(f"{task.result()}: {options.train} to train, {options.test} to test", flush=True)


if __name__ == "__main__":
    main()
