#!/usr/bin/env python3
"""animation.py - the frames of an animated PNG are these pictures, in this order, and its still picture is the last of them.
    tests/animation.py ANIMATION DELAY_MS HOLD_MS LOOPS PICTURE.png ..          # called by tests/cli_animation.sh"""
import sys

import pixels


def read(path):
    with open(path, "rb") as file:
        return file.read()


path, delay, hold, loops = sys.argv[1], *map(int, sys.argv[2:5])
wanted = [pixels.png(read(name)) for name in sys.argv[5:]]
still, frames, times, plays = pixels.animation(read(path))
assert len(frames) == len(wanted), f"{len(frames)} frames, not {len(wanted)}"
for i, (frame, picture) in enumerate(zip(frames, wanted)):
    assert frame == picture, f"frame {i} is not {sys.argv[5 + i]}"
assert still == wanted[-1], "the still picture is not the finished one"
assert times == [delay] * (len(frames) - 1) + [hold], times
assert plays == loops, plays
assert len(frames) == 1 or frames[0] != frames[-1], "nothing grows"

try:
    import PIL.Image
except ImportError:
    print("SKIP: no python3-pil to look at animations with")
    sys.exit()
with PIL.Image.open(path) as image: # another reader sees the same: still picture, then frames
    assert image.is_animated and image.default_image and image.n_frames == len(frames) + 1, image.n_frames
    assert image.info["loop"] == loops, image.info
    for i, picture in enumerate([wanted[-1], *wanted]):
        image.seek(i)
        seen = image.convert("RGB" if picture.channels == 3 else "L")
        assert seen.tobytes() == b"".join(picture.rows), f"Pillow's frame {i}"
        assert i == 0 or image.info["duration"] == times[i - 1], image.info
