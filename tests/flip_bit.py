"""Flips one bit of a tensor in a safetensors file, read by nothing but Python's standard library, which also looks whether the file is one
that any reader of the format takes.    flip_bit.py FILE [PART_OF_A_NAME]: prints the tensor's name; the middle one without a name"""
import json
import struct
import sys

path, wanted = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
with open(path, "rb") as file:
    data = bytearray(file.read())
length, = struct.unpack("<Q", data[:8])
header = json.loads(data[8:8 + length])
meta = header.pop("__metadata__", {})
assert all(isinstance(value, str) for value in meta.values()), "metadata that is no text"
ranges = sorted(tensor["data_offsets"] for tensor in header.values())
assert ranges[0][0] == 0 and ranges[-1][1] == len(data) - 8 - length, "not all of the file"
assert all(a[1] == b[0] for a, b in zip(ranges, ranges[1:])), "tensors apart"
listed = json.loads(meta["variant.checksums"])["xxh3-128-mib"]
assert sorted(listed) == sorted(name for name, tensor in header.items() if tensor["data_offsets"][1] > tensor["data_offsets"][0])
names = [name for name in listed if wanted is None or wanted in name]
name = names[len(names) // 2]
begin, end = header[name]["data_offsets"]
data[8 + length + (begin + end) // 2] ^= 1
with open(path, "wb") as file:
    file.write(data)
print(name)
