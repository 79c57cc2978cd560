"""Requests that schemathesis draws from the OpenAPI document, to a real server: none may make it fail, and its answers have to be those
that the document tells.    cli_serve_schema.py VARIANT SECONDS

Twice for SECONDS: by the document as it is served, whose requests mostly name classes that no model has; and by that document
narrowed to what this model has, where everything that the document allows has to be taken, so that jobs are made, watched,
refined and cancelled.
"""
import base64
import copy
import json
import os
import subprocess
import sys
import tempfile

from serving import SMALL, Server, picture, png, synth

# What 5xx may say: a deadline that was too short, and more than the server holds at a time. DELETE ends a job,
# which can be looked at afterwards. /api/jobs/edits is a job's path for GET as well, and Allow says so. A request may be right by the document and wrong for the model.
SETTINGS = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503", "504"]
[checks.use_after_free]
enabled = false
[checks.allow_header_conformance]
enabled = false
[checks.positive_data_acceptance]
enabled = {narrowed}
"""


def drop(properties, *names):
    return {name: member for name, member in properties.items() if name not in names}


def narrow_wish(schema, edit):
    """To classes, sizes and layers of the small model; one of the ways to say depths and guidance each time."""
    p = schema["properties"]
    p["seed"] = {"type": ["integer", "null"], "minimum": -1, "maximum": 2 ** 53 - 1}
    p["prompt"] = {"enum": ["random", "all", "0", "1", "2", "0,2"] + ([] if "prompt" in schema.get("required", []) else [None])}
    if "size" in p:
        p["size"] = {"enum": ["auto", "9x9" if edit else "8x8", None]}
    if edit:
        p["image"], p["mask"] = {"enum": [edit]}, {"enum": [edit, None]}
        p["grow"]["maximum"] = p["feather"]["maximum"] = 9
    if "keep_scales" in p:
        p["keep_scales"]["maximum"] = 3
        p["picture"] = {"enum": [0, None]}
    for name, most in (("depth", 5), ("bridge", 4), ("uncond_depth", 5)):
        p[name]["maximum"] = most
    p["deadline"]["maximum"] = 20
    for name in ("depths", "cfg_scales"):
        p[name] = {"type": ["array", "null"], "items": dict(p[name]["items"], **({"maximum": 5} if name == "depths" else {})), "minItems": 4, "maxItems": 4}
    way = {key: value for key, value in schema.items() if key != "properties"}
    # what latency can be had depends on the machine
    return {"anyOf": [dict(way, properties=drop(p, "max_latency", *names)) for names in (("depths", "cfg_scales"), ("depth", "bridge", "cfg_scale"))]}


def narrowed(document, edit):
    document = copy.deepcopy(document)
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        if {"prompt", "depth"} <= set(schema.get("properties", {})):
            schemas[name] = narrow_wish(schema, edit if "image" in schema["properties"] else None)
    for path in document["paths"].values():
        for operation in path.values():
            operation.get("requestBody", {"content": {}})["content"].pop("multipart/form-data", None)
    return document


def draw(server, folder, document, seconds, is_narrowed):
    path, settings = os.path.join(folder, "openapi.json"), os.path.join(folder, "schemathesis.toml")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)
    with open(settings, "w", encoding="utf-8") as file:
        file.write(SETTINGS.format(narrowed=str(is_narrowed).lower()))
    # fuzzing and sequences repeat until the time is over; texts with a NUL are refused, which a schema cannot say
    command = [os.path.join(os.path.dirname(sys.executable), "schemathesis"), "--config-file", settings, "run", path, "--url", f"http://127.0.0.1:{server.port}",
               "--max-time", str(seconds), "--generation-database", "none", "--generation-allow-x00", "false", "--suppress-health-check", "all", "--no-shrink", "--no-color",
               "--request-timeout", "120", "--warnings", "off", "--continue-on-failure", "--workers", "1", "--seed"]
    # two at a time, as processes: Python 3.11 cannot parse in two threads (AST constructor recursion depth mismatch)
    both = [subprocess.Popen([*command, seed], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for seed in "12"]
    passed = True
    for one in both:
        said = one.communicate(timeout=seconds + 600)[0]
        print(said[said.find("== SUMMARY"):] if one.returncode == 0 else said, flush=True)
        passed &= one.returncode == 0
    return passed


def main():
    variant, seconds = os.path.abspath(sys.argv[1]), int(sys.argv[2])
    failed = False
    with tempfile.TemporaryDirectory(prefix="serve-schema-") as folder:
        model = synth(variant, folder, "small", SMALL)
        with Server(variant, model, "--deadline", "20s") as server:
            document = server.get("/openapi.json").json()
            whole = picture(server.post("/v1/images/generations", {"prompt": "1"}).json()["data"][0])
            assert whole[:4] == b"\x89PNG"
            hole = "data:image/png;base64," + base64.b64encode(png(9, 9, lambda x, y: (20 * x, 9, 90, 255 * (x > 4)))).decode()
            for is_narrowed in (False, True):
                failed |= not draw(server, folder, narrowed(document, hole) if is_narrowed else document, seconds, is_narrowed)
            gauges = server.gauges()
            print({name: value for name, value in gauges.items() if name.startswith("variant_jobs_total")})
            failed |= gauges['variant_jobs_total{end="completed"}'] < 10 or gauges['variant_jobs_total{end="failed"}'] > gauges['variant_jobs_total{end="expired"}']
            server.wait_for("variant_running", 0)
            server.wait_for("variant_body_bytes", 0)
            server.wait_for("variant_memory_reserved_bytes", 0)
    print("failed" if failed else "passed")
    sys.exit(failed)


if __name__ == "__main__":
    main()
