"""PyTorch checkpoints out of safetensors files, with nothing but Python's standard library: what torch.save writes in its zip and in
its legacy form, and what it would write of tensors that the program does not read. Functions that a checkpoint names are stood in
for by empty ones, for pickle to write their names."""
import collections
import io
import pickle
import struct
import sys
import types
import zipfile

from inputs import Safetensors

OrderedDict = collections.OrderedDict
SIZES = {"FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "DoubleStorage": 8, "LongStorage": 8, "IntStorage": 4,
         "ComplexFloatStorage": 8, "UntypedStorage": 1}
KINDS = {"F32": "FloatStorage", "F16": "HalfStorage", "BF16": "BFloat16Storage", "F64": "DoubleStorage", "I64": "LongStorage",
         "I32": "IntStorage"}


def _named(path, is_class=False):
    """A function (or a class) that pickle takes for the one at `path`."""
    module, name = path.rsplit(".", 1)
    parts = module.split(".")
    for i in range(len(parts)):
        here = ".".join(parts[:i + 1])
        if here not in sys.modules:
            sys.modules[here] = types.ModuleType(here)
    made = type(name, (), {}) if is_class else (lambda *arguments: None)
    made.__module__, made.__name__, made.__qualname__ = module, name, name
    setattr(sys.modules[module], name, made)
    return made


V2, V3 = _named("torch._utils._rebuild_tensor_v2"), _named("torch._utils._rebuild_tensor_v3")
PARAMETER, SUBCLASS = _named("torch._utils._rebuild_parameter"), _named("torch._tensor._rebuild_from_type_v2")
STORAGES = {name: _named("torch.storage." + name if name == "UntypedStorage" else "torch." + name, True) for name in SIZES}


class Storage:
    def __init__(self, kind, data):
        self.kind, self.data = kind, bytes(data)


class Call:
    """function(*arguments), as pickle's REDUCE."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


class Object:
    """An instance of a class of somebody's own, with a dictionary of attributes."""

    def __init__(self, attributes):
        self.attributes = attributes

    def __reduce__(self):
        return _named("somebody.Module"), (), self.attributes


def strides(shape):
    out, step = [], 1
    for side in reversed(shape):
        out.insert(0, step)
        step *= side
    return tuple(out)


def tensor(data, shape, kind="FloatStorage", bits=None):
    more = (bits,) if bits else ()
    return Call(V2, Storage(kind, data), 0, tuple(shape), strides(shape), False, collections.OrderedDict(), *more)


def floats(values):
    return tensor(struct.pack("<%df" % len(values), *values), (len(values),))


def byte_tensor(count, dtype):
    """As torch writes 8-bit floats and unsigned numbers: _rebuild_tensor_v3 over bytes."""
    return Call(V3, Storage("UntypedStorage", bytes(count)), 0, (count,), (1,), False, collections.OrderedDict(), _named("torch." + dtype))


def subclass(path):
    """A tensor of a class of its own, of two storages."""
    return Call(SUBCLASS, V2, _named(path, True), (floats([1.0, 2.0]), floats([3.0])), {})


def parameter(value):
    return Call(PARAMETER, value, True, collections.OrderedDict())


def state(path, scale=1.0):
    """The tensors of a safetensors file (F32 ones times `scale`), as a state dict."""
    file, out = Safetensors(path), collections.OrderedDict()
    for name in file.names():
        entry = file.header[name]
        begin, end = entry["data_offsets"]
        data = bytes(file.data[begin:end])
        if scale != 1.0 and entry["dtype"] == "F32":
            count = len(data) // 4
            data = struct.pack("<%df" % count, *(scale * v for v in struct.unpack("<%df" % count, data)))
        out[name] = tensor(data, entry["shape"], KINDS[entry["dtype"]])
    return out


def prefixed(words, values):
    return collections.OrderedDict((words + name, value) for name, value in values.items())


class _Pickler(pickle._Pickler):
    def __init__(self, file, protocol, legacy):
        super().__init__(file, protocol)
        self.storages, self.legacy = {}, legacy

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        key = self.storages.setdefault(id(value), (str(len(self.storages)), value))[0]
        identifier = ("storage", STORAGES[value.kind], key, "cpu", len(value.data) // SIZES[value.kind])
        return identifier + (None,) if self.legacy else identifier


def _pickle(value, protocol, legacy):
    stream = io.BytesIO()
    pickler = _Pickler(stream, protocol, legacy)
    pickler.dump(value)
    return stream.getvalue(), list(pickler.storages.values())


def save(path, value, protocol=2, compression=zipfile.ZIP_STORED, byteorder="little", root="archive"):
    pickled, storages = _pickle(value, protocol, False)
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr(root + "/data.pkl", pickled)
        file.writestr(root + "/byteorder", byteorder)
        for key, storage in storages:
            file.writestr(f"{root}/data/{key}", storage.data)
        file.writestr(root + "/version", "3\n")


def save_legacy(path, value, protocol=2):
    pickled, storages = _pickle(value, protocol, True)
    with open(path, "wb") as file:
        for part in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}):
            pickle.dump(part, file, protocol)
        file.write(pickled)
        pickle.dump([key for key, _ in storages], file, protocol)
        for _, storage in storages:
            file.write(struct.pack("<q", len(storage.data) // SIZES[storage.kind]) + storage.data)
