#!/usr/bin/env python3
"""Writes the first inputs of the fuzz targets: small valid files of every kind, and the bombs that readers have to refuse, by Python's standard
library alone. usage: make_seeds.py CORPUS. The same bytes each time; what is in the folder beside them (findings) stays. Called by
hand after a target or a format is added."""
import collections
import gzip
import json
import pathlib
import shutil
import struct
import sys
import zipfile
import zlib

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "situations"))
import torch_files  # noqa: E402

GOLDEN = HERE.parent / "golden"
Odict = collections.OrderedDict


def tensors(header, data, blanks=0):
    text = json.dumps(header, separators=(",", ":")).encode() + b" " * blanks
    return struct.pack("<Q", len(text)) + text + data


def safetensors(put):
    kinds = {"F32": 4, "F64": 8, "F16": 2, "BF16": 2, "I8": 1, "U8": 1, "I16": 2, "I32": 4, "I64": 8, "BOOL": 1, "F8_E4M3": 1}
    header, at = {"__metadata__": {"variant.config": '{"format":1}', "note": "a\u00e9\u0001b"}}, 0
    for kind, size in kinds.items():
        header["t." + kind] = {"dtype": kind, "shape": [2, 1], "data_offsets": [at, at + 2 * size]}
        at += 2 * size
    put("kinds", tensors(header, bytes(range(at)), 7))
    put("scalar", tensors({"module.ema.head.bias": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
                           "empty": {"dtype": "F32", "shape": [0, 3], "data_offsets": [4, 4]}}, b"\0\0\x80\x3f"))
    put("misaligned", tensors({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}, "b": {"dtype": "F64", "shape": [1], "data_offsets": [1, 9]}},
                              bytes(9)))
    put("none", tensors({"__metadata__": None}, b""))
    put("bomb_numbers", tensors({"a": [1] * 4000}, b""))
    put("bomb_nested", struct.pack("<Q", 2004) + b'{"a":' + b"[" * 1999)
    put("huge_shape", tensors({"a": {"dtype": "F32", "shape": [2**53, 2**53, 0], "data_offsets": [0, 0]}}, b""))


def torch(put):
    several = Odict([("module.head.weight", torch_files.floats([1.0, 2.0, 3.0])), ("epoch", 3), ("lr", 0.5), ("patch_nums", [1, 2, 3]),
                     ("ema", {"head.weight": torch_files.tensor(bytes(16), (2, 2), "FloatStorage")}),
                     ("neg", torch_files.tensor(bytes(8), (2,), "FloatStorage", {"neg": True})), ("f8", torch_files.byte_tensor(4, "float8_e4m3fn")),
                     ("sub", torch_files.subclass("torchao.Tensor")), ("p", torch_files.parameter(torch_files.floats([4.0]))),
                     ("o", torch_files.Object({"x": 1}))])
    folder = pathlib.Path(put.folder)
    torch_files.save(folder / "stored", several)
    torch_files.save(folder / "deflated", several, compression=zipfile.ZIP_DEFLATED, protocol=4)
    torch_files.save_legacy(folder / "legacy", Odict([("x", torch_files.floats([1.0, 2.0]))]))
    torch_files.save_legacy(folder / "legacy_4", Odict([("x", torch_files.floats([1.0, 2.0]))]), 4)
    for name in ("stored", "deflated"):
        put(name, timeless((folder / name).read_bytes()))
    put("bomb_zip", timeless(zipped({"a/data.pkl": bytes(1 << 20)}, zipfile.ZIP_DEFLATED)))


def zipped(entries, compression=zipfile.ZIP_STORED):
    import io
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression, compresslevel=9) as file:
        for name, data in entries.items():
            file.writestr(zipfile.ZipInfo(name), data, compression)
    return out.getvalue()


def timeless(archive):
    """The same archive without the time it was made at."""
    import io
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        kind = file.infolist()[0].compress_type
        return zipped({i.filename: file.read(i) for i in file.infolist()}, kind)


def pickles(put):
    def view(key, shape, strides, offset=0, kind="FloatStorage", count=16, bits=None):
        call = torch_files.Call(torch_files.V2, Named(key, kind, count), offset, shape, strides, False, Odict(), *([bits] if bits else []))
        return call

    class Named(torch_files.Storage):
        def __init__(self, key, kind, count):
            self.key, self.kind, self.count = key, kind, count

    class Pickler(torch_files.pickle._Pickler):
        def persistent_id(self, value):
            return ("storage", torch_files.STORAGES[value.kind], value.key, "cpu", value.count) if isinstance(value, Named) else None

    def dump(value, protocol=2):
        import io
        out = io.BytesIO()
        Pickler(out, protocol).dump(value)
        return out.getvalue()

    state = Odict([("head.weight", view("0", (2, 3), (3, 1))), ("t", view("0", (3, 2), (1, 3), 1)), ("s", view("1", (), ())), ("neg", view("1", (4,), (2,),
        2, bits={"neg": True})),
                   ("expanded", view("0", (100, 100), (0, 0))), ("module.ema.head.bias", view("1", (1,), (1,), 15))])
    put("state", dump(state))
    put("state_4", dump(state, 4))
    put("trainer", dump({"trainer": {"var_wo_ddp": state, "config": {"patch_nums": (1, 2, 3), "lr": 1e-4, "name": "x", "on": True, "none": None}},
                         "args": [1, 2.5, "a"], 7: {"big": 1 << 80}}))
    put("memo_far", b"\x80\x02Nr\xff\xff\x00\x00.")
    put("marks", b"\x80\x02" + b"(" * 4200 + b".")
    put("itself", b"\x80\x02]q\0h\0a.")
    put("doubling", b"\x80\x02]q\0" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(60)) + b".")


def shards(put):
    put("two", json.dumps({"metadata": {"total_size": 48, "k": "v"}, "weight_map": {"x": "a.safetensors", "y": "a.safetensors",
        "z": "b.safetensors"}}).encode())
    put("elsewhere", b'{"weight_map":{"x":"../a.safetensors"}}')
    put("itself", b'{"weight_map":{"x":"model.safetensors.index.json"}}')
    put("none", b'{"weight_map":{}}')
    put("nul", b'{"weight_map":{"x\\u0000y":"a.safetensors"}}')


def array(descr, shape, data, order="False", version=1):
    text = ("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }" % (descr, order, shape)).encode()
    text += b" " * (63 - (len(text) + 10) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + data


def npy(put):
    put("pictures", array("|u1", "(2, 3, 5)", bytes(range(30))))
    put("colours", array("|u1", "(1, 2, 2, 3)", bytes(12)))
    put("fortran", array(">f8", "(2, 3)", bytes(48), "True"))
    put("halves", array("<f2", "(4L,)", bytes(8), version=2))
    put("scalar", array("<i8", "()", bytes(8)))
    put("bools", array("|b1", "(3, 1)", b"\1\0\1"))
    put("huge", array("<f8", "(4294967296, 4294967296, 0)", b""))
    put("bfloat", array("|V2", "(4,)", bytes(8)))


def npz(put):
    put("pictures_packed", zipped({"arr_0.npy": array("|u1", "(4, 8, 8)", bytes(256)), "y.npy": array("<i4", "(4,)", bytes(16))}, zipfile.ZIP_DEFLATED))
    put("bomb", zipped({"arr_0.npy": array("|u1", "(4, 512, 512)", bytes(1 << 20))}, zipfile.ZIP_DEFLATED))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width, height, bits, colour, rows, *more, interlace=0):
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(more) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


EXIF = (b"II*\0\x08\0\0\0\x02\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\x69\x87\x04\0\x01\0\0\0\x26\0\0\0\0\0\0\0"
        b"\x01\0\x86\x92\x07\0\x0a\0\0\0\x38\0\0\0\0\0\0\0ASCII\0\0\0{}")


def png(put):
    put("grey", png_of(3, 2, 8, 0, b"\0\1\2\3\1\4\5\6"))
    put("text", png_of(1, 1, 8, 0, b"\0\1", chunk(b"tEXt", b'variant\0{"seed":"1"}'), chunk(b"iTXt", b"variant\0\0\0\0\0{}"), chunk(b"zTXt",
        b"variant\0\0" + zlib.compress(b"{}"))))
    put("palette", png_of(4, 1, 2, 3, b"\0\x1b", chunk(b"PLTE", bytes(range(12))), chunk(b"tRNS", b"\0\x80")))
    put("deep", png_of(1, 1, 16, 6, b"\0" + bytes(8), chunk(b"gAMA", struct.pack(">I", 45455)), chunk(b"eXIf", EXIF)))
    put("interlaced", png_of(2, 2, 8, 2, b"\0abc" + b"\0def" + b"\0ghijkl", interlace=1))
    put("bomb_pixels", png_of(32768, 8192, 8, 6, b""))
    put("bomb_side", png_of(2**31 - 1, 1, 8, 0, b""))
    put("bomb_texts", png_of(1, 1, 8, 0, b"\0\1", *[chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes([65]) * 400000, 9)) for _ in range(120)]))
    put("bomb_profile", png_of(1, 1, 8, 0, b"\0\1", chunk(b"iCCP", b"p\0\0" + zlib.compress(struct.pack(">I", 4000000) + bytes(3999996), 9))))


def copy_of(pattern):
    def put_all(put):
        for path in sorted((GOLDEN / "pictures").glob(pattern)):
            put(path.name, path.read_bytes())
    return put_all


def exif(put):
    put("comment", EXIF)
    put("headed", b"Exif\0\0" + EXIF)
    put("big", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0")


def idx(put):
    def pair(labels, pictures):
        return struct.pack(">H", len(labels)) + labels + pictures
    labels, pictures = b"\0\0\x08\1\0\0\0\3\1\7\1", b"\0\0\x08\3" + struct.pack(">III", 3, 2, 2) + bytes(range(12))
    put("plain", pair(labels, pictures))
    put("gzipped", pair(gzip.compress(labels, 9, mtime=0), gzip.compress(pictures, 9, mtime=0)))
    put("bomb", pair(labels, gzip.compress(b"\0\0\x08\3" + struct.pack(">III", 3, 512, 512) + bytes(3 << 18), 9, mtime=0)))
    put("huge", pair(labels, b"\0\0\x08\3" + struct.pack(">III", 2**31 - 1, 32768, 32768)))


def depths(put):
    def ask(scales, depth, text, one=0, bridge=-1, default=4):
        return struct.pack("bbbbB", scales, depth, one, bridge, default) + text.encode()
    put("depths", ask(7, 12, "12,12,12,12,6,6,3"))
    put("rounded", ask(7, 12, "\nrounded", 6, 4))
    put("layers", ask(3, 8, "\n0-7;0,3,5-7;0-2"))
    put("flexible", ask(10, 16, "\n0,3,7", 0, 6))
    put("prefix", ask(4, 6, "6,6,2,1\nprefix"))
    put("wrong", ask(4, 6, "6, 6,x\n0-9;;"))
    put("most", ask(32, 127, "127," * 31 + "1"))


def classes(put):
    put("plain", "cat\nDog\nankle boot\nT-shirt/top\n\nDOG,cat,uncond,2".encode())
    put("commas", "wolf, grey\nwolf\n7\n\nwolf, grey,7,wolf".encode())
    put("alike", "A\na\n\u00e9t\u00e9\n\nA,a,\u00c9T\u00c9,".encode())
    put("far", "sneaker\nsandal\n\nsneeker".encode())
    put("many", b"a\n\n" + b"0," * 500 + b"0")


def config(put):
    put("whole", json.dumps({"format": 1, "tokenizer": {"sides": [1, 2, 3]}, "transformer": {"heads": 2, "sides": [1, 2, 3]}, "classes": ["a", "b"],
                             "preview_decoder": {"widths": [8, 4], "blocks": 1, "training": {"a": 1}},
                             "supernet": {"bridge": 2, "depths": [6, 3], "layers": "equidistant", "guidance": {"uncond_depth": 2,
                                 "late": "6:1.5,3:2"}}}).encode())
    put("sides", b"[1,2,3,4]")
    put("wrong", b'{"classes":[1],"supernet":{"bridge":-1}}')


def settings(put):
    put("plain", json.dumps({"model": "HASH", "layers": "0-11;0-11;0-11;0-11;0-5;0-5;0,5,11", "label": 7, "seed": "7", "image": 0, "cfg_scale": 1.5,
                             "top_k": 900, "top_p": 0.96,
                             "greedy": False, "smooth": False, "weights": "f32", "kv": "f32", "uncond_layers": "0-11;0-11;0-11;0-11;0,11;0,11;0,11"}).encode())
    put("edit", json.dumps({"model": "HASH", "layers": "0-11;0-11;0-11;0-11;0-5;0-5;0-5", "label": 1, "seed": "18446744073709551615", "scales": 7,
                            "given_scales": 2, "given_tokens": [1, 2, 3, 4, 5],
                            "cfg_scales": [0, 0, 0, 1, 1, 1, 1.5], "edit": {"picture": "0123456789abcdef", "mask": "0123456789abcdef", "grow": 2,
                                "feather": -1, "keep": 0.5, "pull": 0, "fit": "crop",
                                                                          "fill": "mean", "codes": "own", "pad": True, "outpaint": [1, 0, 0, 2]}}).encode())
    put("preview", b'{"model":"HASH","layers":"prefix","seed":"1","decoder":"preview","decoder_hash":"0123456789abcdef"}')


def sweep(put):
    point = {"id": "d6-n4", "depth": 6, "bridge": 4, "selector": "equidistant", "cfg_scale": 1.5, "depths": "12,12,12,12,6,6,6",
             "uncond_depths": "12,12,12,12,2,2,2", "picture_ms": 9.7, "scale_ms": [1, 2, 3, 4, 5, 6, 7],
             "scale_kv_bytes": [1] * 7, "runs": {"picture_ms": [9.6, 9.8], "disturbed": [None, "load"]}, "quality": {"name": "FID(classifier)",
                 "frechet": 0.25, "samples": 10000, "warnings": []}, "more": {"kept": True}}
    whole = {"format": 2, "variant": "0.1.0", "model": {"name": "fashion", "hash": HASH, "depth": 12, "width": 192, "sides": [1, 2, 3, 4, 5, 6, 8],
                                                        "classes": 10, "supernet": True, "depths": [12, 6, 3, 2]},
             "machine": {"processor": "x", "threads": 2}, "settings": {"weights": "f32", "kv": "f32", "batch": 10, "quality": {"score": "FID(classifier)",
                 "draws": 100}}, "points": [point, dict(point, id="z", zone="3-4", quality=None)], "zones": []}
    put("whole", json.dumps(whole, separators=(",", ":")).encode())
    put("least", b'{"model":{},"points":[]}')
    put("newer", b'{"format":9,"model":{},"points":[]}')


HASH = "0123456789abcdef"


def tokens(put):
    maps = {"tokens.npy": array("<i4", "(2, 5)", struct.pack("<10i", *range(10))), "labels.npy": array("<i4", "(2,)", bytes(8)),
            "sides.npy": array("<i4", "(2,)", struct.pack("<2i", 1, 2))}
    put("npz", b"\1" + zipped(maps))
    put("npz_packed", b"\1" + zipped(maps, zipfile.ZIP_DEFLATED))
    told = json.dumps({"model": HASH, "codes": 64, "sides": [1, 2]})
    put("safetensors", b"\0" + tensors({"__metadata__": {"variant.tokens": told}, "tokens": {"dtype": "I32", "shape": [2, 5], "data_offsets": [0, 40]},
                                        "labels": {"dtype": "I32", "shape": [2], "data_offsets": [40, 48]}}, bytes(48)))


def times(put):
    run = {"layers": [12, 6], "alone": [0, 0], "seconds": [0.5, 0.25]}
    put("quiet", json.dumps({"version": VERSION, "key": "key", "machine": "machine", "deep": run, "shallow": dict(run, layers=[6, 3]), "apart": run,
                             "fixed": 0.1}).encode())
    put("disturbed", json.dumps({"version": VERSION, "key": "key", "machine": "machine", "deep": run, "shallow": run, "apart": run, "fixed": 0.1,
                                 "disturbed": "load"}).encode())


VERSION = 2  # of planning/cost.c


def png_url():
    import base64
    return "data:image/png;base64," + base64.b64encode(png_of(2, 2, 8, 6, b"\0" + bytes(8) + b"\0" + bytes(8))).decode()


def wish(put):
    put("plain", json.dumps({"prompt": "Sneaker", "n": 4, "seed": 7, "depth": 6, "bridge": 4, "size": "32x32", "quality": "auto",
                             "response_format": "b64_json"}).encode())
    put("all", json.dumps({"prompt": "Bag,7,uncond", "depths": [12, 12, 12, 12, 6, 6, 3], "cfg_scales": "0,0,0,1,1,1,1.5", "top_k": 900, "top_p": 0.9,
                           "greedy": True, "smooth": False, "seed": "18446744073709551615", "stream": True,
                           "partial_images": 3, "output_format": "jpeg", "output_compression": 80, "deadline": 5, "uncond_depth": 2, "layers": "prefix",
                           "max_latency": 2, "kv": "f32", "decoder": "preview"}).encode())
    put("edit", json.dumps({"prompt": "3", "image": png_url(), "mask": [{"image_url": png_url()}], "grow": 1, "feather": 2, "keep": 0.5}).encode())
    put("zone", b'{"prompt":"1","layers":"0-11;0-11;0-11;0-11;0,5,11;0,5,11;0,5,11","cfg_scale":1.5,"cfg_late":2}')
    put("commas", json.dumps({"prompt": "0," * 300 + "0"}).encode())
    put("numbers", b'{"a":[' + b"1," * 5000 + b"1]}")


def form(put):
    def body(parts, boundary="xyz"):
        out = b""
        for name, more, data in parts:
            out += b"--" + boundary.encode() + b'\r\nContent-Disposition: form-data; name="' + name.encode() + b'"' + more + b"\r\n\r\n" + data + b"\r\n"
        return b"multipart/form-data; boundary=" + boundary.encode() + b"\n" + out + b"--" + boundary.encode() + b"--\r\n"
    picture = png_of(2, 2, 8, 6, b"\0" + bytes(8) + b"\0" + bytes(8))
    file = b'; filename="a.png"\r\nContent-Type: image/png'
    put("edit", body([("image", file, picture), ("mask", file, picture), ("prompt", b"", b"Bag"), ("n", b"", b"2"), ("stream", b"", b"true")]))
    put("list", body([("image[]", file, picture), ("image[]", file, picture)], '"a b"'))
    put("many", body([("a", b"", b"1")] * 120))
    put("encoded", b"application/x-www-form-urlencoded\nprompt=Bag&n=2&x=%41+b")
    put("cut", body([("image", file, picture)])[:150])


KINDS = {"safetensors": safetensors, "torch": torch, "pickle": pickles, "shards": shards, "npz": npz, "npy": npy, "png": png, "jpeg": copy_of("*.jpg"),
         "exif": exif, "idx": idx,
         "depths": depths, "classes": classes, "config": config, "settings": settings, "sweep": sweep, "wish": wish, "form": form, "tokens": tokens, "times": times}


def pictures(put):
    for pattern in ("*.webp", "*.gif", "*.bmp", "*.tif"):
        copy_of(pattern)(put)
    put("bomb.webp", b"RIFF\x1e\0\0\0WEBPVP8L\x11\0\0\0\x2f\xff\xff\xff\x0f\x07\x10\x11\x11\x08\x22\xa2\xff\x01\0\0\0")
    put("clear.gif", b"GIF89a\2\0\1\0\x80\0\0\1\2\3\4\5\6!\xfe\3abc\0!\xf9\4\1\0\0\1\0,\0\0\0\0\2\0\1\0\0\2\2\x44\x0a\0;")
    put("bomb.gif", b"GIF89a\xff\x7f\xff\x1f\x80\0\0" + bytes(6) + b",\0\0\0\0\xff\x7f\xff\x1f\0\2\2\x44\1\0;")
    put("bomb_tile.tif", tiff([(256, 4, 1), (257, 4, 1), (258, 3, 8), (259, 3, 1), (262, 3, 1), (277, 3, 1), (322, 4, 16384), (323, 4, 16384), (324, 4, 8),
                               (325, 4, 1)]))
    put("bomb_samples.tif", tiff([(256, 4, 1), (257, 4, 1), (258, 3, 8), (259, 3, 1), (262, 3, 1), (277, 3, 65535), (278, 4, 1), (273, 4, 8), (279, 4, 1),
                                  (284, 3, 1)]))
    put("bomb.bmp", b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 32768, 8192, 1, 24, 0, 0, 0, 0, 0, 0))


def tiff(tags):
    """A TIFF of one page with those (tag, type, value), 3: 16 bits, 4: 32."""
    entries = b"".join(struct.pack("<HHI", tag, kind, 1) + (struct.pack("<HH", value, 0) if kind == 3 else struct.pack("<I", value)) for tag, kind,
                       value in sorted(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0"


KINDS["picture"] = pictures


def main():
    corpus = pathlib.Path(sys.argv[1])
    for name, make in KINDS.items():
        folder = corpus / name
        folder.mkdir(parents=True, exist_ok=True)

        def put(file, data, folder=folder):
            (folder / file).write_bytes(data)
        put.folder = folder
        make(put)


main()
