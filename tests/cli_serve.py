"""What `variant serve` does, asked over HTTP.    cli_serve.py VARIANT [TEST...]"""
import base64
import http.client
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "situations"))
import inputs  # noqa: E402
from serving import SLOW, SMALL, Server, form, picture, png, resident, run_tests, synth

VARIANT = os.path.abspath(sys.argv[1])
FOLDER = tempfile.TemporaryDirectory(prefix="serve-")
MODEL = synth(VARIANT, FOLDER.name, "small", SMALL)
TESTS = []


def test(function):
    TESTS.append(function)
    return function


def slow_model():
    path = os.path.join(FOLDER.name, "slow.safetensors")
    return path if os.path.exists(path) else synth(VARIANT, FOLDER.name, "slow", SLOW)


def generated(*options, model=MODEL):
    """The file that `variant generate` writes."""
    path = os.path.join(FOLDER.name, "generated.png")
    subprocess.run([VARIANT, "generate", "-m", model, "-o", path, *options], check=True, capture_output=True)
    with open(path, "rb") as file:
        return file.read()


# ---- the images API

@test
def same_seed_same_bytes():
    with Server(VARIANT, MODEL) as server:
        for body, options in (({"prompt": "1", "seed": 5}, ["--class", "1", "-s", "5"]),
                              ({"prompt": "2", "seed": 9, "depth": 2, "bridge": 1}, ["--class", "2", "-s", "9", "--depth", "2", "--bridge", "1"]),
                              ({"prompt": "0", "seed": 3, "depths": [5, 4, 2, 1], "top_k": 4, "top_p": 0.9, "cfg_scale": 2.5},
                               ["--class", "0", "-s", "3", "--depths", "5,4,2,1", "--top-k", "4", "--top-p", "0.9", "--cfg-scale", "2.5"]),
                              ({"prompt": "0", "seed": 3, "cfg_scales": [0, 1, 2, 0], "uncond_depth": 1},
                               ["--class", "0", "-s", "3", "--cfg-scales", "0,1,2,0", "--uncond-depth", "1"]),
                              ({"prompt": "random", "seed": "18446744073709551615"}, ["-s", "18446744073709551615"])):
            answer = server.post("/v1/images/generations", body)
            assert answer.status == 200, answer.body
            assert picture(answer.json()["data"][0]) == generated(*options), body
        # several at a time, of several classes, each what it is alone
        answer = server.post("/v1/images/generations", {"prompt": "2,0", "n": 3, "seed": 4}).json()
        for index, data in enumerate(answer["data"]):
            assert picture(data) == generated("--class", "2,0", "-n", "1", "-s", "4", "--first", str(index))
            assert data["settings"]["label"] == (2, 0, 2)[index]


@test
def answers_say_what_was_used():
    with Server(VARIANT, MODEL) as server:
        answer = server.post("/v1/images/generations", {"prompt": "1", "model": "dall-e-3", "style": "vivid", "user": "me", "n": 2}).json()
        assert abs(answer["created"] - time.time()) < 60
        assert answer["size"] == "8x8" and answer["quality"] == "auto" and answer["output_format"] == "png"
        assert answer["background"] == "opaque" and answer["request"]["depths"] == "5,5,5,5"
        assert answer["usage"]["output_tokens"] == 2 * (1 + 4 + 9 + 16)
        assert answer["usage"]["total_tokens"] == answer["usage"]["input_tokens"] + answer["usage"]["output_tokens"]
        again = server.post("/v1/images/generations", {"prompt": "1", "n": 2, "seed": answer["request"]["seed"]}).json()
        assert [picture(data) for data in again["data"]] == [picture(data) for data in answer["data"]]
        low = server.post("/v1/images/generations", {"prompt": "1", "quality": "low"}).json()
        assert low["quality"] == "low" and low["request"]["depths"] != "5,5,5,5" and "fast" in low["request"]["depth_because"]
        jpeg = server.post("/v1/images/generations", {"prompt": "1", "output_format": "jpeg", "output_compression": 50}).json()
        assert picture(jpeg["data"][0])[:3] == b"\xff\xd8\xff" and jpeg["output_format"] == "jpeg"
        linked = server.post("/v1/images/generations", {"prompt": "1", "seed": 5, "response_format": "url"}).json()
        address = linked["data"][0]["url"]
        assert address.startswith(f"http://127.0.0.1:{server.port}/api/jobs/")
        fetched = server.get(address.split(str(server.port), 1)[1])
        assert fetched.headers["content-type"] == "image/png" and fetched.body == generated("--class", "1", "-s", "5")


@test
def a_seed_of_minus_one_is_drawn():
    """As `variant generate -s -1` draws one, and clients of other servers ask for it."""
    image = ("image", "a.png", png(8, 8, lambda x, y: (20 * x, 9, 90, 255 * (x > 4))))
    with Server(VARIANT, MODEL) as server:
        answers = [server.post("/v1/images/generations", {"prompt": "1", "seed": seed}) for seed in (-1, "-1", -1.0)]
        answers.append(server.ask("POST", "/v1/images/edits", *form([image, ("prompt", "1"), ("seed", "-1")])))
        assert [answer.status for answer in answers] == [200] * 4, [answer.body[:200] for answer in answers]
        seeds = [answer.json()["request"]["seed"] for answer in answers]
        assert len(set(seeds)) == 4 and all(0 <= int(seed) < 2 ** 32 for seed in seeds), seeds
        assert picture(answers[0].json()["data"][0]) == generated("--class", "1", "-s", seeds[0])
        job = server.post("/api/jobs", {"prompt": "1", "seed": 7}).json()
        server.wait_for('variant_jobs_total{end="completed"}', 5)
        again = server.post(f"/api/jobs/{job['id']}/refine", {"seed": -1, "keep_scales": 1}).json()
        server.wait_for('variant_jobs_total{end="completed"}', 6)
        assert server.get(again["poll_url"]).json()["request"]["seed"] not in ("7", *seeds)
        for seed in (-2, "-2", "-", "random", -0.5):
            answer = server.post("/v1/images/generations", {"prompt": "1", "seed": seed})
            assert answer.status == 400 and answer.error()["param"] == "seed" and "-1 for a random one" in answer.error()["message"], answer.body


@test
def streams_show_pictures_on_the_way():
    with Server(VARIANT, MODEL) as server:
        for partials in range(4):
            _, events = server.stream("POST", "/v1/images/generations", {"prompt": "1", "seed": 5, "stream": True, "partial_images": partials})
            events = list(events)
            assert [name for name, _ in events] == ["image_generation.partial_image"] * partials + ["image_generation.completed"], events
            for index, (name, data) in enumerate(events):
                assert data["type"] == name and data["size"] == "8x8" and data["output_format"] == "png"
                assert {"created_at", "quality", "background"} <= set(data)
                assert picture(data)[:4] == b"\x89PNG"
                if index < partials:
                    assert data["partial_image_index"] == index
            assert picture(events[-1][1]) == generated("--class", "1", "-s", "5")
            assert events[-1][1]["usage"]["total_tokens"] > 0
        _, events = server.stream("POST", "/v1/images/generations", {"prompt": "1", "n": 2, "stream": True, "partial_images": 1})
        assert [data["image_index"] for _, data in events] == [0, 1, 0, 1]


@test
def wrong_requests_are_told_why():
    with Server(VARIANT, MODEL) as server:
        def refused(path, body, status, param, words, **headers):
            answer = server.ask("POST", path, body, headers)
            error = answer.error()
            assert answer.status == status and error["param"] == param and words in error["message"], (body, answer.body)
            assert set(error) == {"message", "type", "param", "code"} and "\n" not in error["message"]
            assert answer.headers["x-request-id"]
        for path in ("/v1/images/generations", "/api/jobs"):
            refused(path, "", 400, None, "empty")
            refused(path, "{", 400, None, "no JSON")
            refused(path, "[]", 400, None, "no object")
            refused(path, b"\xff{}", 400, None, "UTF-8")
            refused(path, "[" * 4000, 400, None, "no JSON")
            refused(path, "[" * 60000, 400, None, "more than 4096 values")
            refused(path, b'{"prompt": "1\\u0000garbage"}', 400, None, "NUL")
            refused(path, {"prompt": "1", "seed": 2 ** 53 + 1}, 400, "seed", "2^53 - 1")
            refused(path, {}, 400, "prompt", "missing")
            refused(path, {"prompt": "dog"}, 400, "prompt", 'no class "dog"')
            refused(path, {"prompt": "d\u00f6g" * 60}, 400, "prompt", "no class")
            refused(path, {"prompt": "1", "n": 11}, 400, "n", "1 to 10")
            refused(path, {"prompt": "1", "image": "data:,"}, 400, "image", "/api/jobs/edits")
            refused(path, {"prompt": "1", "mask": {"image_url": "data:,"}}, 400, "mask", "/v1/images/edits")
            refused(path, {"prompt": "1", "size": "1024x1024"}, 400, "size", "8x8")
            refused(path, {"prompt": "1", "depth": 6}, 400, "depth", "0 to 5")
            refused(path, {"prompt": "1", "x": "y" * 70000}, 413, None, "larger than")
        for method, path, status in (("GET", "/nothing", 404), ("GET", "/v1/images/generations", 405), ("PUT", "/healthz", 405),
                                     ("GET", "/api/jobs/abc", 404), ("POST", "/api/jobs/abc/refine", 404), ("DELETE", "/api/jobs/abc", 404),
                                     ("GET", "/v1/models/other", 404), ("GET", "/api/plan?max_latency=0", 400), ("GET", "/api/plan?max_latency=x", 400), ("GET", "/api/schedules?measure=perhaps", 400)):
            answer = server.ask(method, path)
            assert answer.status == status, (method, path, answer.status)
            assert answer.error()["message"]
            assert status != 405 or answer.headers["allow"]
        assert server.ask("POST", "/v1/images/generations", b"x" * 70000).status == 413  # told by its length, before it is read
        assert server.get("/v1/models").json()["data"][0]["id"] == "small"
        assert server.get("/v1/models/small").json()["object"] == "model"
        # what is not HTTP does no harm
        for words in (b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
                      b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n"):
            start = time.time()
            try:
                with socket.create_connection(("127.0.0.1", server.port), timeout=60) as raw:
                    raw.sendall(words)
                    raw.shutdown(socket.SHUT_WR)
                    while raw.recv(65536):
                        pass
            except OSError as error:  # it may have closed before all was sent
                assert not isinstance(error, TimeoutError), words
            assert time.time() - start < 20, words
        assert server.get("/healthz").status == 200


@test
def names_are_taken_and_the_nearest_suggested():
    shipped = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../models/fashion")
    with Server(VARIANT, shipped) as server:
        answer = server.post("/v1/images/generations", {"prompt": "Bag, sneaker", "n": 2, "quality": "low"}).json()
        assert [data["settings"]["class"] for data in answer["data"]] == ["Bag", "Sneaker"]
        error = server.post("/v1/images/generations", {"prompt": "Sneeker"}).error()
        assert error["code"] == "unknown_class" and "Sneaker" in error["message"] and "Bag" not in error["message"]
        assert server.get("/v1/models").json()["data"][0]["id"] == "fashion"
        classes = server.get("/api/model").json()["classes"]
        assert len(classes) == 10 and classes[8] == {"label": 8, "name": "Bag"}


# ---- edits

@test
def pictures_are_edited():
    whole = png(20, 12, lambda x, y: (10 * x, 20 * y, 90, 255))
    hole = png(20, 12, lambda x, y: (0, 0, 0, 0 if x < 9 else 255))
    for name, data in (("whole.png", whole), ("hole.png", hole)):
        with open(os.path.join(FOLDER.name, name), "wb") as file:
            file.write(data)
    wanted = generated("--init-img", os.path.join(FOLDER.name, "whole.png"), "--mask", os.path.join(FOLDER.name, "hole.png"), "--class", "1", "-s", "5")
    with Server(VARIANT, MODEL) as server:
        settings = [("prompt", "1"), ("seed", "5"), ("n", "1"), ("model", "gpt-image-1"), ("size", "20x12")]
        for pictures in ([("image", "a.png", whole), ("mask", "b.png", hole)], [("image[]", "a.png", whole), ("mask", "b.png", hole)]):
            answer = server.ask("POST", "/v1/images/edits", *form(pictures + settings))
            assert answer.status == 200, answer.body[:300]
            assert picture(answer.json()["data"][0]) == wanted and answer.json()["size"] == "20x12"
        urls = ["data:image/png;base64," + base64.b64encode(data).decode() for data in (whole, hole)]
        for body in ({"image": urls[0], "mask": urls[1]}, {"images": [{"image_url": urls[0]}], "mask": {"image_url": urls[1]}}):
            answer = server.post("/v1/images/edits", dict(body, prompt="1", seed=5))
            assert answer.status == 200 and picture(answer.json()["data"][0]) == wanted, answer.body[:300]
        connection, events = server.stream("POST", "/v1/images/edits", dict(image=urls[0], mask=urls[1], prompt="1", seed=5, stream=True, partial_images=2))
        events = list(events)
        assert [name for name, _ in events] == ["image_edit.partial_image"] * 2 + ["image_edit.completed"] and picture(events[-1][1]) == wanted
        connection.close()
        # a mask without alpha is what `variant generate --mask` takes: white is drawn again
        inputs.write_png(os.path.join(FOLDER.name, "white.png"), [bytes([255] * 27 + [0] * 33)] * 12)
        with open(os.path.join(FOLDER.name, "white.png"), "rb") as file:
            answer = server.ask("POST", "/v1/images/edits", *form([("image", "a.png", whole), ("mask", "b.png", file.read()), *settings]))
        assert answer.status == 200 and picture(answer.json()["data"][0]) == wanted
        # the picture's own see-through part; several at a time
        own = png(20, 12, lambda x, y: (10 * x, 20 * y, 90, 0 if x < 9 else 255))
        answer = server.ask("POST", "/v1/images/edits", *form([("image", "a.png", own), ("prompt", "1"), ("n", "3")]))
        assert answer.status == 200 and len(answer.json()["data"]) == 3
        server.wait_for("variant_body_bytes", 0)


@test
def wrong_edits_are_told_why():
    whole = png(20, 12, lambda x, y: (10 * x, 20 * y, 90, 255))
    hole = png(20, 12, lambda x, y: (0, 0, 0, 0 if x < 9 else 255))
    other = png(21, 12, lambda x, y: (0, 0, 0, 0))
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 6, 0, 0, 0)
    bomb = head + struct.pack(">I", zlib.crc32(head[12:])) + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">IIBBBBB", 8000, 8000, 8, 6, 0, 0, 0)
    large = head + struct.pack(">I", zlib.crc32(head[12:])) + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    with Server(VARIANT, MODEL, "--max-body", "100000") as server:
        def refused(parts, status, param, words):
            answer = server.ask("POST", "/v1/images/edits", *form(parts))
            error = answer.error()
            assert answer.status == status and error["param"] == param and words in error["message"], answer.body
        refused([("prompt", "1")], 400, "image", "expected one picture, got 0")
        refused([("image", "a", whole), ("image", "b", whole), ("prompt", "1")], 400, "image", "got 2")
        refused([("image", "a", whole), ("prompt", "1")], 400, "image", "no see-through pixel")
        refused([("image", "a", whole), ("mask", "m", whole), ("prompt", "1")], 400, "mask", "no see-through pixel")
        refused([("image", "a", whole), ("mask", "m", other), ("prompt", "1")], 400, "mask", "21 x 12 pixels, the picture has 20 x 12")
        refused([("image", "a", whole), ("mask", "m", hole), ("mask", "n", hole), ("prompt", "1")], 400, "mask", "expected one picture, got more")
        refused([("image", "a", b""), ("mask", "m", hole), ("prompt", "1")], 400, "image", "empty")
        refused([("image", "a", whole), ("mask", "m", hole)], 400, "prompt", "missing")
        refused([("image", "a", whole), ("mask", "m", hole), ("prompt", "dog")], 400, "prompt", "no class")
        refused([("image", "a", whole), ("mask", "m", hole), ("prompt", "1"), ("size", "8x8")], 400, "size", "20x12")
        refused([("image", "a", whole), ("mask", "m", hole), ("prompt", "1"), ("n", "many")], 400, "n", "whole number")
        refused([("image", "a", b"no picture"), ("prompt", "1")], 400, "image", "not a picture")
        refused([("image", "a", whole[:60]), ("mask", "m", hole), ("prompt", "1")], 400, "image", "image: ")
        refused([("image", "a", bomb), ("prompt", "1")], 400, "image", "60000 x 60000")
        refused([("image", "a", large), ("prompt", "1")], 400, "image", "8000 x 8000 pixels, expected")
        refused([("image", "a", b"x" * 100001), ("prompt", "1")], 413, None, "larger than 100000 bytes")
        for body, headers in ((b"nonsense", {"Content-Type": "multipart/form-data; boundary=x"}), (b"", {"Content-Type": "multipart/form-data; boundary=x"}),
                              (b"--x", {"Content-Type": "multipart/form-data"})):
            answer = server.ask("POST", "/v1/images/edits", body, headers)
            assert answer.status == 400 and answer.error()["code"] == "invalid_form", answer.body
        for image, words in (("http://example.org/a.png", "expected a data URL"), ("data:image/png;base64,$", "base64"), (3, "expected a data URL"), ({}, "expected a data URL"),
                             (["data:image/png;base64,AAAA"] * 2, "got 2")):
            answer = server.post("/v1/images/edits", {"prompt": "1", "image": image})
            assert answer.status == 400 and answer.error()["param"] == "image" and words in answer.error()["message"], answer.body
        server.wait_for("variant_body_bytes", 0)


# ---- jobs

@test
def jobs_are_made_watched_refined_and_forgotten():
    with Server(VARIANT, MODEL) as server:
        made = server.post("/api/jobs", {"prompt": "1", "seed": 5})
        assert made.status == 202
        job = made.json()
        assert job["poll_url"] == f"/api/jobs/{job['id']}"
        _, events = server.stream("GET", job["events_url"])
        events = list(events)
        assert events[-1][0] == "completed" and picture(events[-1][1]["data"][0]) == generated("--class", "1", "-s", "5")
        state = server.get(job["poll_url"]).json()
        assert state["state"] == "completed" and state["scale"] == state["scales"] == 4
        assert server.get(job["poll_url"] + "/images/0.png").body == generated("--class", "1", "-s", "5")
        assert server.get(job["poll_url"] + "/images/0.webp").body[8:12] == b"WEBP"
        for name in ("1.png", "0.gif", "x.png", "0", "-1.png"):
            assert server.get(job["poll_url"] + "/images/" + name).status == 404
        # the late scales again, shallower; what it keeps is told by its settings
        refined = server.post(job["poll_url"] + "/refine", {"depth": 2, "keep_scales": 2}).json()
        list(server.stream("GET", refined["events_url"])[1])
        result = server.get(refined["poll_url"]).json()
        settings = result["data"][0]["settings"]
        assert settings["given_scales"] == 2 and settings["seed"] == "5" and settings["label"] == 1
        with open(os.path.join(FOLDER.name, "first.png"), "wb") as file:
            file.write(server.get(job["poll_url"] + "/images/0.png").body)
        assert picture(result["data"][0]) == generated("--refine", os.path.join(FOLDER.name, "first.png"), "--keep-scales", "2", "--depth", "2")
        assert server.post(job["poll_url"] + "/refine", {"n": 2}).error()["param"] == "n"
        assert server.post(job["poll_url"] + "/refine", {"keep_scales": 4}).error()["param"] == "keep_scales"
        same = server.post(job["poll_url"] + "/refine", {"prompt": "2"}).json()
        list(server.stream("GET", same["events_url"])[1])
        assert server.get(same["poll_url"]).json()["data"][0]["settings"]["label"] == 2
    with Server(VARIANT, MODEL, "--keep", "300ms") as server:
        job = server.post("/api/jobs", {"prompt": "1"}).json()
        list(server.stream("GET", job["events_url"])[1])
        time.sleep(0.6)
        gone = server.get(job["poll_url"])
        assert gone.status == 404 and "kept for 0.3 seconds" in gone.error()["message"]
    with Server(VARIANT, MODEL, "--keep-size", "1000") as server:  # room for the pixels and tokens of three
        jobs = [server.post("/api/jobs", {"prompt": "1"}).json() for _ in range(5)]
        for job in jobs:
            server.wait_for('variant_jobs_total{end="completed"}', 5)
        server.wait_for("variant_kept_bytes", 3 * (8 * 8 * 3 + 30 * 4))
        assert [server.get(job["poll_url"]).status for job in jobs] == [404, 404, 200, 200, 200]


@test
def jobs_keep_every_scale_until_somebody_has_seen_them():
    with Server(VARIANT, MODEL) as server:
        job = server.post("/api/jobs", {"prompt": "1", "seed": 5, "n": 3, "every_scale": True}).json()
        server.wait_for('variant_jobs_total{end="completed"}', 1)  # nobody has looked so far
        own = 3 * (8 * 8 * 3 + 30 * 4)
        assert server.gauges()["variant_kept_bytes"] == own + 3 * 3 * 8 * 8 * 3
        events = list(server.stream("GET", job["events_url"])[1])
        assert [name for name, _ in events] == ["preview"] * 9 + ["completed"]
        assert [(data["scale"], data["picture"]) for _, data in events[:-1]] == [(scale, i) for scale in (1, 2, 3) for i in range(3)]
        assert len({picture(data) for _, data in events[:-1]}) == 9
        server.wait_for("variant_kept_bytes", own)
        assert [name for name, _ in server.stream("GET", job["events_url"])[1]] == ["completed"]
        for wrong in ("yes", 1):
            assert server.post("/api/jobs", {"prompt": "1", "every_scale": wrong}).error()["param"] == "every_scale"


@test
def one_picture_of_several_is_refined():
    with Server(VARIANT, MODEL) as server:
        job = server.post("/api/jobs", {"prompt": "2,0", "seed": 4, "n": 3}).json()
        list(server.stream("GET", job["events_url"])[1])
        with open(os.path.join(FOLDER.name, "second.png"), "wb") as file:
            file.write(server.get(job["poll_url"] + "/images/1.png").body)
        again = server.post(job["poll_url"] + "/refine", {"picture": 1, "keep_scales": 2, "depth": 2, "seed": 8}).json()
        result = list(server.stream("GET", again["events_url"])[1])[-1][1]
        wanted = generated("--refine", os.path.join(FOLDER.name, "second.png"), "--keep-scales", "2", "--depth", "2", "-s", "8")
        assert len(result["data"]) == 1 and picture(result["data"][0]) == wanted and result["data"][0]["settings"]["label"] == 0
        # and again of what came of it
        with open(os.path.join(FOLDER.name, "third.png"), "wb") as file:
            file.write(wanted)
        more = server.post(f"/api/jobs/{again['id']}/refine", {"keep_scales": 3, "depth": 5}).json()
        result = list(server.stream("GET", more["events_url"])[1])[-1][1]
        assert picture(result["data"][0]) == generated("--refine", os.path.join(FOLDER.name, "third.png"), "--keep-scales", "3", "--depth", "5")
        for wrong in (3, -1, "1"):
            assert server.post(job["poll_url"] + "/refine", {"picture": wrong}).error()["param"] == "picture"


@test
def edits_are_jobs_as_well():
    whole = png(20, 12, lambda x, y: (10 * x, 20 * y, 90, 255))
    hole = png(20, 12, lambda x, y: (0, 0, 0, 0 if x < 9 else 255))
    with Server(VARIANT, MODEL) as server:
        body, headers = form([("image", "a.png", whole), ("mask", "b.png", hole), ("prompt", "1"), ("seed", "5"), ("every_scale", "true")])
        made = server.ask("POST", "/api/jobs/edits", body, headers)
        assert made.status == 202, made.body
        events = list(server.stream("GET", made.json()["events_url"])[1])
        assert [name for name, _ in events if name == "preview"] == ["preview"] * 3 and events[-1][0] == "completed"
        wanted = server.ask("POST", "/v1/images/edits", *form([("image", "a.png", whole), ("mask", "b.png", hole), ("prompt", "1"), ("seed", "5")])).json()
        assert picture(events[-1][1]["data"][0]) == picture(wanted["data"][0]) and events[-1][1]["size"] == "20x12"
        refused = server.post(made.json()["poll_url"] + "/refine", {})
        assert refused.status == 409 and "edit its picture again" in refused.error()["message"]
        assert server.post("/api/jobs/edits", {"prompt": "1"}).error()["param"] == "image"
        assert server.ask("POST", "/api/jobs/edits", *form([("image", "a.png", whole), ("mask", "b.png", hole), ("prompt", "dog")])).error()["param"] == "prompt"
        server.wait_for("variant_body_bytes", 0)


@test
def schedules_have_costs():
    with Server(VARIANT, MODEL) as server:
        before = server.get("/api/schedules").json()
        told = server.get("/api/model").json()["costs"]
        full = next(one for one in before["schedules"] if one["depth"] == 5)
        assert 0 < full["bytes"] <= told[0]["bytes"] and full["kept"] == 1
        timed = server.get("/api/schedules?measure=true").json()
        assert timed["timed"] and all(one["seconds"] > 0 for one in timed["schedules"]) and len(timed["schedules"]) == len(before["schedules"]) == 1 + 3 * 4
        assert server.get("/api/schedules").json()["timed"]  # it stays known
        assert {"-m", MODEL} == set(server.get("/api/model").json()["arguments"].split(" "))


@test
def jobs_show_every_scale_and_stop_when_told():
    with Server(VARIANT, slow_model()) as server:
        job = server.post("/api/jobs", {"prompt": "1", "seed": 5, "n": 2}).json()
        _, events = server.stream("GET", job["events_url"])
        events = list(events)
        names = [name for name, _ in events]
        assert names[-1] == "completed" and names.count("preview") >= 4, names
        scales = [data["scale"] for name, data in events if name == "progress"]
        assert scales == sorted(scales)
        assert {data["picture"] for name, data in events if name == "preview"} == {0, 1}
        # cancelled at work, by either word
        for method, suffix in (("DELETE", ""), ("POST", "/cancel")):
            job = server.post("/api/jobs", {"prompt": "1", "n": 10}).json()
            server.wait_for("variant_running", 1)
            shown = server.get(job["poll_url"] + "?preview=true").json()
            assert shown["state"] == "running"
            server.ask(method, job["poll_url"] + suffix)
            server.wait_for("variant_running", 0)
            assert server.get(job["poll_url"]).json()["state"] == "cancelled"
            assert server.post(job["poll_url"] + "/refine", {}).status == 409
            _, events = server.stream("GET", job["events_url"])
            assert [name for name, _ in events] == ["cancelled"]
        assert server.gauges()["variant_memory_reserved_bytes"] == 0


# ---- many at a time

@test
def requests_of_all_depths_share_steps():
    with Server(VARIANT, slow_model(), "--queue", "100") as server:
        wishes = [{"prompt": str(i % 3), "seed": i, "depth": (16, 8, 4, 1)[i % 4], "bridge": i % 3} for i in range(12)]
        results = [None] * len(wishes)

        def ask(i):
            results[i] = server.post("/v1/images/generations", wishes[i])
        threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(wishes))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(result.status == 200 for result in results), [result.body[:200] for result in results]
        gauges = server.gauges()
        assert gauges["variant_steps_total"] < 12 * 8, gauges["variant_steps_total"]  # one after another they are 96
        for i in (0, 5, 11):
            w = wishes[i]
            assert picture(results[i].json()["data"][0]) == generated(
                "--class", w["prompt"], "-s", str(w["seed"]), "--depth", str(w["depth"]), "--bridge", str(w["bridge"]), model=slow_model())


def ask_and_leave(server, body):
    """A request whose client goes once it is at work."""
    raw = socket.create_connection(("127.0.0.1", server.port))
    text = json.dumps(body).encode()
    raw.sendall(b"POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
    return raw


@test
def a_client_that_leaves_is_not_worked_for():
    with Server(VARIANT, slow_model()) as server:
        for body in ({"prompt": "1", "n": 10}, {"prompt": "1", "n": 10, "stream": True, "partial_images": 3}):
            raw = ask_and_leave(server, body)
            server.wait_for("variant_running", 1)
            start = time.time()
            raw.close()
            server.wait_for("variant_running", 0)
            assert time.time() - start < 20
        gauges = server.gauges()
        assert (gauges['variant_jobs_total{end="cancelled"}'], gauges["variant_memory_reserved_bytes"]) == (2, 0), gauges
        assert gauges['variant_jobs_total{end="completed"}'] == 0


@test
def a_full_queue_says_when_to_come_back():
    told = subprocess.run([VARIANT, "serve", "-m", slow_model(), "--max-memory", "1M", "--keep-size", "1M"], capture_output=True, text=True, timeout=60)
    weights, kept, one = (float(number) for number in re.search(r"take ([\d.]+) MB, pictures kept ([\d.]+) MB and one request ([\d.]+) MB", told.stderr).groups())
    room = ["--max-memory", f"{weights + kept + 2.5 * one:.1f}M", "--keep-size", "1M"]
    with Server(VARIANT, slow_model(), "--queue", "1", *room) as server:
        jobs = []
        for _ in range(40):
            answer = server.post("/api/jobs", {"prompt": "1", "n": 10})
            jobs.append(answer)
            if answer.status == 429:
                break
            if len(jobs) == 1:  # else the queue may be full before the engine has taken the first
                server.wait_for("variant_running", 1)
        assert answer.status == 429 and 1 <= int(answer.headers["retry-after"]) <= 60 and answer.error()["type"] == "rate_limit_error"
        gauges = server.gauges()
        assert gauges["variant_queue"] <= 1  # none, where a picture was done between the two answers
        assert 0 < gauges["variant_memory_reserved_bytes"] <= gauges["variant_memory_budget_bytes"]
        assert gauges['variant_rejected_total{why="queue_full"}'] == 1
        for answer in jobs:
            if answer.status == 202:
                server.ask("DELETE", answer.json()["poll_url"])
        server.wait_for("variant_queue", 0)
        server.wait_for("variant_running", 0)
    # one that never fits is refused at once: previews are kept as well, and there is room for just a picture without
    room[1] = f"{weights + kept + one + 0.1:.1f}M"
    with Server(VARIANT, slow_model(), *room) as server:
        answer = server.post("/v1/images/generations", {"prompt": "1", "n": 10, "stream": True, "partial_images": 3})
        assert answer.status == 400 and "MB of memory" in answer.error()["message"], answer.body[:200]


@test
def a_full_queue_is_told_of_as_long_as_its_work_takes():
    with Server(VARIANT, slow_model(), "--queue", "3", "--batch", "1") as server:
        assert server.post("/v1/images/generations", {"prompt": "1", "n": 3}).status == 200  # how long pictures take is known
        room = server.gauges()["variant_memory_budget_bytes"]
        jobs = []
        while not jobs or jobs[-1].status == 202:
            jobs.append(server.post("/api/jobs", {"prompt": "1", "n": 10}))
            assert len(jobs) < 3000, room
        backlog = server.gauges()["variant_backlog_seconds"]
        told = int(jobs[-1].headers["retry-after"])
        assert min(60, 0.5 * backlog) <= told <= min(60, 1.5 * backlog + 2), (told, backlog)
        for job in jobs[:-1]:
            server.ask("DELETE", job.json()["poll_url"])


@test
def deadlines_hold():
    with Server(VARIANT, slow_model()) as server:
        answer = server.post("/v1/images/generations", {"prompt": "1", "n": 10, "deadline": 0.2})
        assert answer.status == 504 and answer.error()["code"] == "deadline_exceeded" and answer.headers["x-should-retry"] == "false"
        connection, events = server.stream("POST", "/v1/images/generations", {"prompt": "1", "n": 10, "deadline": 0.2, "stream": True})
        events = list(events)
        assert events[-1][0] == "error" and events[-1][1]["error"]["code"] == "deadline_exceeded"
        connection.close()
        assert server.gauges()['variant_jobs_total{end="expired"}'] == 2


@test
def sigterm_lets_requests_finish():
    with Server(VARIANT, slow_model()) as server:
        results = []
        thread = threading.Thread(target=lambda: results.append(server.post("/v1/images/generations", {"prompt": "1", "seed": 5})))
        thread.start()
        server.wait_for("variant_running", 1)
        kept = server.connect()
        kept.request("GET", "/readyz")
        assert kept.getresponse().read() == b"ready\n"
        server.process.terminate()
        time.sleep(0.3)
        if server.process.poll() is None and not results:
            assert server.get("/readyz").status == 503
            assert server.get("/healthz").status == 200
            late = server.post("/v1/images/generations", {"prompt": "1"})
            assert late.status == 503 and late.headers["retry-after"] and late.error()["code"] == "draining"
        thread.join()
        assert results[0].status == 200
        assert picture(results[0].json()["data"][0]) == generated("--class", "1", "-s", "5", model=slow_model())
        assert server.process.wait(60) == 0
    # what does not finish in time is cancelled, and the server ends all the same
    with Server(VARIANT, slow_model(), "--drain", "300ms") as server:
        server.post("/api/jobs", {"prompt": "1", "n": 10})
        server.wait_for("variant_running", 1)
        start = time.time()
        assert server.stop() == 0 and time.time() - start < 30


# ---- who may ask

@test
def keys_hosts_and_origins():
    keys = os.path.join(FOLDER.name, "keys")
    with open(keys, "w", encoding="utf-8") as file:
        file.write("first-key-of-ours\nsecond-key-of-ours\n")
    with Server(VARIANT, MODEL, "--api-key-file", keys, "--origin", "https://example.org") as server:
        for headers in ({}, {"Authorization": "Bearer wrong-key-of-ours"}, {"Authorization": "first-key-of-ours"}):
            answer = server.ask("POST", "/v1/images/generations", {"prompt": "1"}, headers)
            assert answer.status == 401 and answer.error()["code"] == "invalid_api_key"
        assert server.get("/metrics").status == 401 and server.get("/nothing").status == 401
        assert server.get("/healthz").status == 200 and server.get("/readyz").status == 200
        key = {"Authorization": "Bearer second-key-of-ours"}
        answer = server.ask("POST", "/v1/images/generations", {"prompt": "1", "response_format": "url"}, key)
        assert answer.status == 200
        assert server.get(answer.json()["data"][0]["url"].split(str(server.port))[1]).status == 200  # nobody guesses it
        for host, status in (("example.org", 403), ("localhost", 200), (f"127.0.0.1:{server.port}", 200)):
            assert server.ask("GET", "/v1/models", headers=dict(key, Host=host)).status == status, host
        assert server.ask("GET", "/v1/models", headers=dict(key, Origin="https://evil.example")).status == 403
        shared = server.ask("GET", "/v1/models", headers=dict(key, Origin="https://example.org"))
        assert shared.status == 200 and shared.headers["access-control-allow-origin"] == "https://example.org"
        asked = server.ask("OPTIONS", "/v1/images/generations", headers={"Origin": "https://example.org", "Access-Control-Request-Method": "POST"})
        assert asked.status == 204 and "POST" in asked.headers["access-control-allow-methods"]
        assert server.ask("OPTIONS", "/v1/images/generations", headers={"Origin": "https://evil.example"}).status == 403
    with Server(VARIANT, MODEL) as server:
        answer = server.get("/v1/models")
        assert answer.status == 200 and "access-control-allow-origin" not in answer.headers
        assert server.get("/healthz", **{"X-Request-Id": "mine-7"}).headers["x-request-id"] == "mine-7"
        assert server.get("/healthz", **{"X-Request-Id": "no good\""}).headers["x-request-id"] != "no good\""
        server.wait_for('variant_answers_total{status="2xx"}', 4)  # and all are in the log
        assert any('"mine-7"' in line for line in server.log)
        assert all(json.loads(line)["time"] for line in server.log)


@test
def a_key_may_stand_in_the_environment():
    key = "a-key-of-the-environment"
    server = Server(VARIANT, MODEL)
    server.how = {"env": dict(os.environ, VARIANT_API_KEY=key)}
    with server:
        assert server.get("/v1/models").status == 401
        assert server.get("/v1/models", Authorization="Bearer " + key).status == 200
        with open(f"/proc/{server.process.pid}/cmdline", "rb") as file:
            assert key.encode() not in file.read()
    keys = os.path.join(FOLDER.name, "more-keys")
    with open(keys, "w", encoding="utf-8") as file:
        file.write("another-key-of-ours\n")
    server = Server(VARIANT, MODEL, "--listen", "0.0.0.0", "--api-key-file", keys)
    server.how = {"env": dict(os.environ, VARIANT_API_KEY=key)}
    with server:
        assert [server.get("/v1/models", Authorization="Bearer " + one).status for one in (key, "another-key-of-ours", "neither-of-the-two")] == [200, 200, 401]
    done = subprocess.run([VARIANT, "serve", "-m", MODEL, "--port", "0"], env=dict(os.environ, VARIANT_API_KEY="short"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "VARIANT_API_KEY: a key of 5 letters" in done.stderr and done.stderr.count("\n") == 1, done


@test
def what_cannot_be_is_told_before_serving():
    for words in (["--api-key", "a-secret-that-nobody-sees"], ["--api-key=a-secret-that-nobody-sees"]):  # no file of keys by that name
        done = subprocess.run([VARIANT, "serve", "-m", MODEL, *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and "VARIANT_API_KEY" in done.stderr and "--api-key-file" in done.stderr and "secret" not in done.stderr, done
    for origin in ("example.org", "https://example.org/", "https://Example.org", "https://", "https://example.org:", "https://example.org:port", "https://a b", "null", "", "https://[::1", "ftp://example.org"):
        done = subprocess.run([VARIANT, "serve", "-m", MODEL, "--origin", origin], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and "--origin" in done.stderr and "expected" in done.stderr and done.stderr.count("\n") == 1, (origin, done)
    for deadline in ("1e-9s", "0.9ms", "0s"):
        done = subprocess.run([VARIANT, "serve", "-m", MODEL, "--deadline", deadline], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and "--deadline" in done.stderr and done.stderr.count("\n") == 1, (deadline, done)
    for origin in ("https://example.org:8443", "http://[::1]:8080", "http://localhost", "*"):
        with Server(VARIANT, MODEL, "--origin", origin, "--deadline", "1ms") as server:
            assert server.ask("GET", "/healthz", headers={"Origin": "https://x.example" if origin == "*" else origin}).headers["access-control-allow-origin"] == origin
    for options, status, words in ((["--listen", "0.0.0.0"], 2, "--api-key-file"), (["--listen", "example.org"], 2, "in numbers"),
                                   (["--max-memory", "1M"], 2, "--max-memory: 1.0 MB"), (["--api-key-file", "/nothing"], 1, "/nothing"),
                                   (["--sweep", "/nothing"], 1, "/nothing"), (["--port", "65536"], 2, "0 to 65535"), (["--queue", "0"], 2, "--queue 0")):
        done = subprocess.run([VARIANT, "serve", "-m", MODEL, *options], capture_output=True, text=True, timeout=60)
        assert done.returncode == status and words in done.stderr and done.stderr.count("\n") == 1, (options, done)
    with Server(VARIANT, MODEL) as server:
        done = subprocess.run([VARIANT, "serve", "-m", MODEL, "--port", str(server.port)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and f"port {server.port} cannot be had" in done.stderr, done


# ---- the document

def fits(value, schema, document, where="answer"):
    """As JSON Schema: types, members, enumerations; members that no schema tells are a fault as well."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types

    def is_a(kind):
        if kind in ("integer", "number"):
            return isinstance(value, (int, float)) and not isinstance(value, bool) and (kind == "number" or value == int(value))
        return isinstance(value, kinds[kind])
    assert not types or any(is_a(kind) for kind in types), (where, value, schema)
    assert value in schema.get("enum", [value]), (where, value)
    for name in schema.get("required", []):
        assert name in value, (where, name)
    if isinstance(value, dict) and "properties" in schema:
        for name, member in value.items():
            assert name in schema["properties"], f"{where}.{name} is not in openapi.json"
            fits(member, schema["properties"][name], document, f"{where}.{name}")
    if isinstance(value, dict) and "additionalProperties" in schema:
        for name, member in value.items():
            fits(member, schema["additionalProperties"], document, f"{where}.{name}")
    if isinstance(value, list) and "items" in schema:
        for member in value:
            fits(member, schema["items"], document, where + "[]")


@test
def the_document_is_true():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../src/serve/openapi.json"), encoding="utf-8") as file:
        document = json.load(file)
    with Server(VARIANT, MODEL) as server:
        assert server.get("/openapi.json").json() == document
        asked = set()

        def ask(method, path, template=None, body=None):
            answer = server.ask(method, path, body)
            operation = document["paths"][template or path][method.lower()]
            asked.add(operation["operationId"])
            told = operation["responses"][str(answer.status)]["content"]
            kind = answer.headers["content-type"].split(";")[0]
            assert kind in told, (path, kind)
            if "schema" in told[kind] and kind == "application/json":
                fits(answer.json(), told[kind]["schema"], document, path)
            return answer
        wish = {"prompt": "1"}
        ask("POST", "/v1/images/generations", body=wish)
        ask("POST", "/v1/images/generations", body=dict(wish, response_format="url", quality="low", n=2))
        ask("POST", "/v1/images/generations", body=dict(wish, stream=True))
        ask("POST", "/v1/images/generations", body={})
        hole = "data:image/png;base64," + base64.b64encode(png(9, 9, lambda x, y: (0, 0, 0, 255 * (x > 4)))).decode()
        ask("POST", "/v1/images/edits", body=dict(wish, image=hole, grow=1, feather=2))
        ask("POST", "/v1/images/edits", body=wish)
        job = "/api/jobs/" + ask("POST", "/api/jobs", body=wish).json()["id"]
        ask("GET", job + "/events", "/api/jobs/{id}/events")
        ask("GET", job, "/api/jobs/{id}")
        ask("GET", job + "/images/0.png", "/api/jobs/{id}/images/{name}")
        ask("POST", job + "/refine", "/api/jobs/{id}/refine", {"depth": 1})
        ask("POST", job + "/refine", "/api/jobs/{id}/refine")
        ask("POST", job + "/cancel", "/api/jobs/{id}/cancel")
        ask("DELETE", job, "/api/jobs/{id}")
        ask("GET", "/api/jobs/none", "/api/jobs/{id}")
        ask("POST", "/api/jobs/edits", body=dict(wish, image=hole, every_scale=True))
        ask("POST", "/api/jobs/edits", body=wish)
        ask("GET", "/page/main.js", "/page/{name}")
        ask("GET", "/page/none", "/page/{name}")
        ask("GET", "/api/schedules?measure=true", "/api/schedules")
        for path in ("/", "/api/schedules", "/v1/models", "/api/model", "/api/plan", "/healthz", "/health", "/readyz", "/metrics", "/openapi.json"):
            ask("GET", path)
        ask("GET", "/v1/models/small", "/v1/models/{id}")
        assert asked == {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
        # members of a request are what the server reads: what is none of their types is refused by their name
        schemas = document["components"]["schemas"]
        for path, schema, whole in (("/v1/images/generations", "Wish", wish), ("/api/jobs", "JobWish", wish), ("/v1/images/edits", "Edit", dict(wish, image=hole)),
                                    ("/api/jobs/edits", "JobEdit", dict(wish, image=hole)), (job + "/refine", "Refinement", {})):
            for name, member in schemas[schema]["properties"].items():
                wrong = [{"a": 1}]
                if "enum" in member:
                    wrong.append("no such word")
                if "minimum" in member:
                    wrong.append(member["minimum"] - 1)
                if "maximum" in member:
                    wrong.append(member["maximum"] + 1)
                if "exclusiveMinimum" in member:
                    wrong.append(member["exclusiveMinimum"])
                for value in wrong:
                    answer = server.post(path, dict(whole, **{"stream": True} if name == "partial_images" else {}, **{name: value}))
                    assert answer.status == 400 and answer.error()["param"] == name, (path, name, value, answer.status, answer.body[:200])


# ---- slow and many

def answers_to(server, words, seconds=30.0):
    """The statuses that raw bytes are answered with, until the server closes or says no more for half a second; None: it waits for more."""
    got, open_ = b"", True
    with socket.create_connection(("127.0.0.1", server.port), timeout=0.5) as raw:
        until = time.time() + seconds
        try:
            raw.sendall(words)
            while open_ and time.time() < until:
                data = raw.recv(65536)
                got, open_ = got + data, data != b""
        except TimeoutError:
            pass
        except OSError:  # closed before all was sent
            open_ = False
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d+)", got)]
    return statuses if statuses or not open_ else None


@test
def edits_cancelled_or_expired_while_they_wait_keep_no_picture():
    """Else bodies had no room any more until the jobs are forgotten: all that came was told 503."""
    body, headers = form([("image", "a.png", png(64, 64, lambda x, y: (x, y, 9, 0))), ("prompt", "1")])
    late = form([("image", "a.png", png(64, 64, lambda x, y: (x, y, 9, 0))), ("prompt", "1"), ("deadline", "0.01")])[0]
    with Server(VARIANT, slow_model(), "--batch", "1", "--max-memory", "102M", "--keep-size", "1M") as server:
        long = [server.post("/api/jobs", {"prompt": "1", "n": 10}).json()["id"] for _ in range(12)]
        waiting = server.ask("POST", "/api/jobs/edits", body, headers).json()
        expiring = server.ask("POST", "/api/jobs/edits", late, headers).json()
        assert waiting["state"] == "queued" and server.gauges()["variant_body_bytes"] > 0
        assert server.ask("DELETE", waiting["poll_url"]).json()["state"] == "cancelled"
        server.wait_for("variant_body_bytes", 0, 10)
        assert server.get(expiring["poll_url"]).json()["state"] == "failed"
        for job in long:
            server.ask("DELETE", f"/api/jobs/{job}")


@test
def a_picture_that_never_has_room_is_not_told_to_come_back():
    with Server(VARIANT, MODEL, "--max-body", "1000") as server:
        assert server.post("/v1/images/generations", {"prompt": "1"}).status == 200  # other bodies have their room
    with Server(VARIANT, MODEL, "--max-body", "2K") as server:
        body, headers = form([("image", "a.png", png(1, 50000, lambda x, y: (9, 9, 9, 0))), ("prompt", "1")])
        assert server.ask("POST", "/v1/images/edits", body, headers).status == 400  # a side too long
        body, headers = form([("image", "a.png", png(300, 300, lambda x, y: (9, 9, 9, 0))), ("prompt", "1")])
        answer = server.ask("POST", "/v1/images/edits", body, headers)
        assert answer.status == 413 and len(body) < 2000, (len(body), answer.body)
        assert answer.error()["message"] == "image: takes 0.5 MB once it is decoded, this server has 0.3 MB for all"


@test
def names_of_a_form_are_what_they_are():
    """A member in capitals is another one, and not in the way of ours."""
    with Server(VARIANT, MODEL) as server:
        image = ("image", "a.png", png(8, 8, lambda x, y: (20 * x, 9, 90, 255 * (x > 4))))
        answer = server.ask("POST", "/v1/images/edits", *form([image, ("Prompt", "dog"), ("SEED", "x"), ("prompt", "1"), ("seed", "5")]))
        assert answer.status == 200 and answer.json()["request"]["seed"] == "5", answer.body[:300]
        answer = server.ask("POST", "/v1/images/edits", *form([image, ("Prompt", "1")]))
        assert answer.status == 400 and answer.error()["code"] == "missing_required_parameter", answer.body


def large_png(side):
    """Rows of numbers that differ, see-through on the left; quick to make."""
    rows = b"".join(b"\0" + bytes((40, y * 7 % 251, 90, 0)) * (side // 2) + bytes((y % 256, 30, 200, 255)) * (side - side // 2) for y in range(side))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


HEALTH = """
import http.client, sys, time
while True:
    start = time.time()
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
    connection.request("GET", "/health")
    assert connection.getresponse().read() == b"alive\\n"
    print(time.time() - start, flush=True)
    time.sleep(0.02)
"""


@test
def health_is_told_while_large_pictures_come_and_go():
    """They are read and written on a thread of their own, one after another."""
    sanitized = "san" in os.path.basename(os.path.dirname(VARIANT))
    side = 640 if sanitized else 2048
    whole = large_png(side)
    body, headers = form([("image", "a.png", whole), ("prompt", "1"), ("seed", "5")])
    streamed = form([("image", "a.png", whole), ("prompt", "1"), ("seed", "5"), ("stream", "true"), ("partial_images", "1")])[0]
    with Server(VARIANT, MODEL, "--max-body", "256M") as server:
        answers = []
        # asked for in a process of its own: this one is busy with large bodies
        health = subprocess.Popen([sys.executable, "-c", HEALTH, str(server.port)], stdout=subprocess.PIPE, text=True)
        threads = [threading.Thread(target=lambda i=i: answers.append(server.ask("POST", "/v1/images/edits", streamed if i == 5 else body, headers))) for i in range(6)]
        jobs = [threading.Thread(target=lambda: answers.append(server.ask("POST", "/api/jobs/edits", body, headers)))]
        for thread in threads + jobs:
            thread.start()
        for thread in threads + jobs:
            thread.join()
        health.terminate()
        told = sorted(float(line) for line in health.stdout)
        health.wait()
        assert sorted(answer.status for answer in answers) == [200] * 6 + [202], [answer.body[:200] for answer in answers]
        made = {picture(answer.json()["data"][0]) for answer in answers if answer.status == 200 and answer.headers["content-type"] == "application/json"}
        assert len(made) == 1
        job = next(answer for answer in answers if answer.status == 202).json()
        server.wait_for("variant_running", 0)
        server.wait_for("variant_queue", 0)
        assert server.get(job["poll_url"]).json()["data"][0]["b64_json"] and made == {server.get(f"/api/jobs/{job['id']}/images/0.png").body}
        stream = next(answer for answer in answers if answer.headers["content-type"] == "text/event-stream")
        assert stream.body.count(b"event: image_edit.completed") == 1
        print(f"  health {len(told)} times, at most {told[-1]:.3f} s beside edits of {side} x {side}")
        assert len(told) > 10 and told[-1] < (2.0 if sanitized else 0.5), told[-10:]
        # who leaves while it waits is passed over
        leaving = [ask_and_leave_with(server, body, headers) for _ in range(4)]
        del leaving
        server.wait_for("variant_body_bytes", 0)
        assert server.post("/v1/images/generations", {"prompt": "1"}).status == 200
    # whoever waits when the server ends is let go
    with Server(VARIANT, MODEL, "--max-body", "128M", "--drain", "100ms") as server:
        cut = [threading.Thread(target=lambda: swallow(lambda: server.ask("POST", "/v1/images/edits", body, headers))) for _ in range(4)]
        for thread in cut:
            thread.start()
        server.wait_for_more("variant_body_bytes", len(body))
        assert server.stop() == 0
        for thread in cut:
            thread.join()


def swallow(what):
    try:
        what()
    except (OSError, http.client.HTTPException):
        pass


def ask_and_leave_with(server, body, headers):
    raw = socket.create_connection(("127.0.0.1", server.port))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    raw.sendall(f"POST /v1/images/edits HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body)
    raw.close()


@test
def forms_of_many_parts_are_refused():
    """Before all of them are looked through, which would take a thread for minutes."""
    with Server(VARIANT, MODEL) as server:
        for count in (98, 200000):
            members = b"".join(b'--x-y-z\r\nContent-Disposition: form-data; name="%x"\r\n\r\n1\r\n' % i for i in range(count))
            body, headers = form([("image", "a.png", png(16, 16, lambda x, y: (x, y, 9, 0))), ("prompt", "1")])
            answer = server.ask("POST", "/v1/images/edits", members + body, headers)
            assert answer.status == (200 if count == 98 else 400), (count, answer.body)
            assert count == 98 or answer.error()["message"] == "the form has more than 100 parts", answer.body


@test
def malformed_requests_are_refused():
    host, body = b"Host: localhost\r\n", b'{"prompt":"1"}'

    def post(*headers, body=body, path=b"/v1/images/generations"):
        return b"POST " + path + b" HTTP/1.1\r\n" + host + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body

    def get(*headers, path=b"/healthz"):
        return b"GET " + path + b" HTTP/1.1\r\n" + b"".join(header + b"\r\n" for header in headers) + b"\r\n"

    def form(body, kind=b"multipart/form-data; boundary=x"):
        return post(b"Content-Type: " + kind, b"Content-Length: %d" % len(body), body=body, path=b"/v1/images/edits")
    chunked, own = b"Transfer-Encoding: chunked", host[:-2]
    part = b"--x\r\nContent-Disposition: form-data; name="
    with Server(VARIANT, MODEL) as server:
        for words, wanted in (
                # heads and bodies that end early are waited for
                (b"POST /v1/ima", None), (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", None), (post(b"Content-Length: 50"), None),
                (post(chunked, body=b"e\r\n" + body), None), (post(chunked, body=b"FFFFFF\r\n{}"), None),
                # chunks
                (post(chunked, body=b"5\r\n" + body[:5] + b"\r\n9;x=y\r\n" + body[5:] + b"\r\n0\r\n\r\n"), [200]), (post(chunked, body=b"zz\r\n"), [400]),
                (post(chunked, body=b"-5\r\nhello\r\n"), [400]), (post(chunked, body=b"F" * 18 + b"\r\n"), [413]), (post(chunked, body=b"3\r\n" + body + b"\r\n0\r\n\r\n"), [400]),
                # where does it end? What proxies and servers may read differently
                (post(b"Content-Length: 14", b"Content-Length: 3"), [400]), (post(b"Content-Length: 14", b"Content-Length: 14"), [400]),
                (post(chunked, b"Content-Length: 14", body=b"e\r\n" + body + b"\r\n0\r\n\r\n"), [400]), (post(b"Transfer-Encoding: gzip"), [400]),
                (post(b"Transfer-Encoding: identity, chunked"), [400]), (post(chunked, chunked), [400]), (get(own, b"Host: example.org"), [400]),
                (post(b"Content-Length : 14"), [400]), (post(b"Content-Length: 99999999999999999999999"), [413]), (post(b"Content-Length: 9223372036854775808"), [413]),
                (post(b"Content-Length: +14"), [400]), (post(b"Content-Length: -14"), [400]), (post(b"Content-Length: 14, 14"), [400]), (post(b"Content-Length: many"), [400]),
                # too large
                (get(own, b"X: " + b"a" * 100000), [431]), (get(own, *(b"X%d: y" % i for i in range(5000))), [431]), (get(own, path=b"/" + b"a" * 100000), [414]),
                (get(own, path=b"/healthz?" + b"a=b&" * 20000), [414]), (b"A" * 1000 + b" / HTTP/1.1\r\n" + host + b"\r\n", [405]),
                (b"DELETE /api/jobs/abc HTTP/1.1\r\n" + host + b"Content-Length: 70000\r\n\r\n" + b"x" * 70000, [413]),
                # odd heads
                (get(), [403]), (get(own, path=b"/heal\0thz"), [404]), (get(own, path=b"/api/jobs/a%00b"), [404]), (get(own, path=b"/api/jobs/%zz"), [404]),
                (get(own, b"X: a\r\n b"), [200]), (get(own, b"Authorization: Bearer " + b"k" * 20000), [200]), (get(own, b'Cookie: =;=;;"'), [200]),
                (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [505]), (b"CONNECT localhost:1 HTTP/1.1\r\n" + host + b"\r\n", [404]), (b"OPTIONS * HTTP/1.1\r\n" + host + b"\r\n", [404]),
                (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200, None), (b"\0" * 5000, None),
                # several at once
                (get(own) + post(b"Content-Length: 14") + get(own, b"Connection: close", path=b"/readyz"), [200] * 3),
                (get(own) * 199 + get(own, b"Connection: close"), [200] * 200), (get(own, b"Content-Length: 5") + b"hello" + get(own, b"Connection: close"), [200] * 2),
                (post(b"Content-Length: 14", b"Expect: 100-continue"), [100, 200]),
                # forms
                *((form(words), [400]) for words in (
                    b"", b"--x", b"--x--\r\n", b"--x\r\n\r\n\r\n--x--", b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n", part + b'"\xff\xfe"\r\n\r\na\r\n--x--\r\n',
                    part + b'"' + b"n" * 9000 + b'"\r\n\r\na\r\n--x--\r\n', part + b'"image"\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\n--y--\r\n--x--\r\n',
                    part + b'"image"\r\n\r\nabc', b"\r\n" * 3000, b"--x\r\n" * 2000, b"--x\r\n" + b"A: b\r\n" * 2000 + b"\r\nv\r\n--x--\r\n",
                    (part + b'"prompt"\r\n\r\n1\r\n') * 500 + b"--x--\r\n")),
                *((form(b"--x--", kind), [400]) for kind in (b"multipart/form-data", b"multipart/form-data; boundary=", b'multipart/form-data; boundary="x',
                                                             b"multipart/form-data; boundary=" + b"b" * 5000, b"multipart/form-datax", b"text/plain"))):
            got = answers_to(server, words)
            assert (got[:1] if got and wanted and got[0] >= 400 else got) == wanted, (words[:200], got, wanted)
        server.wait_for("variant_body_bytes", 0)
        gauges = server.gauges()
        assert gauges['variant_answers_total{status="5xx"}'] == 0 and gauges["variant_memory_reserved_bytes"] == 0


def quick(server, path, seconds=5.0):
    start = time.time()
    answer = server.get(path)
    assert time.time() - start < seconds, (path, time.time() - start)
    return answer


@test
def health_is_told_however_many_connect():
    with Server(VARIANT, slow_model(), "--connections", "8", "--queue", "100") as server:
        # those that say nothing, or half a request, make way
        words = (b"", b"GET /healthz HT", b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{")
        idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
        for i, raw in enumerate(idle):
            raw.sendall(words[i % 3])
        assert quick(server, "/healthz", 20).status == 200
        until = time.time() + 30  # a moment after they have come the first of them are ended
        while (answer := server.post("/v1/images/generations", {"prompt": "1"})).status == 503 and time.time() < until:
            assert answer.headers["retry-after"] == "1" and answer.error()["code"] == "too_many_connections"
            time.sleep(0.2)
        assert answer.status == 200
        gauges = server.gauges()
        assert gauges["variant_connections"] <= 8 + 64 and gauges["variant_connections_cut_total"] > 0, gauges
        for raw in idle:
            raw.close()
        while server.gauges()["variant_connections"] > 1 and time.time() < until:  # the one that asks
            time.sleep(0.05)
        # those that are answered stay; others are told to come back
        job = server.post("/api/jobs", {"prompt": "1", "n": 10}).json()
        server.wait_for("variant_connections", 1)
        busy = [server.stream("GET", job["events_url"])[0] for _ in range(8)]
        before = server.gauges()['variant_rejected_total{why="connections"}']
        told = [server.post("/api/jobs", {"prompt": "1", "n": 10}) for _ in range(3)]
        assert [answer.status for answer in told] == [503] * 3
        assert told[0].error()["code"] == "too_many_connections" and told[0].headers["retry-after"] == "1" and told[0].headers["connection"] == "close"
        for path in ("/healthz", "/readyz", "/metrics"):
            assert quick(server, path).status == 200
        assert server.gauges()['variant_rejected_total{why="connections"}'] == before + 3
        for connection in busy:
            connection.close()
        server.wait_for("variant_connections", 1)
        assert server.ask("DELETE", job["poll_url"]).status == 200
        server.wait_for("variant_running", 0)
    done = subprocess.run(["bash", "-c", 'ulimit -n 200 && exec "$@"', "_", VARIANT, "serve", "-m", MODEL, "--port", "0"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "--connections 1000" in done.stderr and done.stderr.count("\n") == 1, done


@test
def an_address_with_many_connections_makes_way_first():
    with Server(VARIANT, MODEL, "--connections", "8") as server:
        def connect(address):
            raw = socket.create_connection(("127.0.0.1", server.port), source_address=(address, 0))
            raw.sendall(b"GET /healthz HT")
            return raw
        alone, held = connect("127.0.0.2"), []
        for _ in range(3):  # it has idled the longest each time, and yet others go
            held += [connect("127.0.0.1") for _ in range(10)]
            time.sleep(0.4)
        assert server.gauges()["variant_connections_cut_total"] > 10
        alone.sendall(b"TP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert alone.recv(12) == b"HTTP/1.1 200"
        for raw in (alone, *held):
            raw.close()


@test
def streams_cancelled_at_every_scale_leave_nothing():
    scales, after = len(SLOW["patch_nums"]), []
    sanitized = "san" in os.path.basename(os.path.dirname(VARIANT))  # slow, and what was freed is kept for a while
    with Server(VARIANT, slow_model()) as server:
        for _ in range(1 if sanitized else 3):
            for scale in range(scales):
                raw = ask_and_leave(server, {"prompt": "1", "n": 3, "stream": True, "partial_images": 3})
                server.wait_for("variant_running", 1)
                until = time.time() + 60
                while time.time() < until and sum(server.gauges()[f'variant_pictures_at_scale{{scale="{k}"}}'] for k in range(scale, scales)) == 0:
                    time.sleep(0.005)
                raw.close()
                server.wait_for("variant_running", 0)
            gauges = server.gauges()
            for name in ("memory_reserved", "kept", "body", "kv_reserved"):
                assert gauges[f"variant_{name}_bytes"] == 0, (name, gauges)
            after.append(resident(server))
        assert gauges['variant_jobs_total{end="cancelled"}'] >= len(after) * (scales - 2), gauges  # near its end one may come through
        assert max(after) < after[0] + 8, after  # MB
        assert server.post("/v1/images/generations", {"prompt": "1", "seed": 5}).status == 200


@test
def silent_and_half_closed_clients_hold_nothing():
    with Server(VARIANT, MODEL) as server:
        idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
        for i, raw in enumerate(idle):
            raw.sendall((b"", b"POST /api/jobs HT", b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{")[i % 3])
        assert server.get("/healthz").status == 200
        for raw in idle[::2]:
            raw.shutdown(socket.SHUT_WR)
        assert server.post("/v1/images/generations", {"prompt": "1"}).status == 200
        for raw in idle:
            raw.close()
        server.wait_for("variant_body_bytes", 0)


@test
def no_change_of_a_stream_is_slept_over():
    """A job may change while its stream looks at it. Were that slept over, the stream would go on with the comment that comes after 15 silent seconds."""
    slowest = []

    def ask(server):
        connection = server.connect()
        for seed in range(40):
            start = time.time()
            connection.request("POST", "/v1/images/generations", json.dumps({"prompt": "1", "seed": seed, "stream": True, "partial_images": 3}))
            assert b"event: image_generation.completed" in connection.getresponse().read()
            slowest.append(time.time() - start)
        connection.close()
    with Server(VARIANT, MODEL, "-q") as server:
        threads = [threading.Thread(target=ask, args=(server,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(slowest) == 8 * 40 and max(slowest) < 12, sorted(slowest)[-5:]


@test
def a_connection_serves_many_requests():
    with Server(VARIANT, MODEL) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.connect()
        kept = connection.sock
        for i in range(5):
            connection.request("POST", "/v1/images/generations", json.dumps({"prompt": "1", "seed": i}))
            assert len(json.loads(connection.getresponse().read())["data"]) == 1
            assert connection.sock is kept
        connection.close()


if __name__ == "__main__":
    run_tests(TESTS, FOLDER)
