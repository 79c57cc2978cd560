"""What OpenAI's client sees of `variant serve`: pictures, streams, edits, errors, and how often it asks again.    cli_serve_openai.py VARIANT"""
import base64
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

import openai

from serving import SLOW, SMALL, Server, png, synth

VARIANT = os.path.abspath(sys.argv[1])


def client_of(server, key="none", **options):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=key, timeout=600, **options)


def generated(folder, model, *options):
    path = os.path.join(folder, "generated.png")
    subprocess.run([VARIANT, "generate", "-m", model, "-o", path, *options], check=True, capture_output=True)
    with open(path, "rb") as file:
        return file.read()


def raised(kind, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} of {arguments} {named}")


def answers(server, path="/v1/images/generations"):
    """Statuses of the answers in the log, in order. A line comes right after its answer."""
    time.sleep(0.5)
    lines = [json.loads(line) for line in list(server.log)]
    return [line["status"] for line in lines if line.get("event") == "answer" and line["path"] == path]


def pictures(folder, model):
    wanted = generated(folder, model, "--class", "1", "-s", "5")
    with Server(VARIANT, model) as server:
        client = client_of(server)
        assert [entry.id for entry in client.models.list()] == ["small"] and client.models.retrieve("small").owned_by == "variant"
        answer = client.images.generate(model="small", prompt="1", size="auto", quality="auto", extra_body={"seed": 5})
        assert base64.b64decode(answer.data[0].b64_json) == wanted and answer.size == "8x8" and answer.output_format == "png"
        assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
        assert answer.usage.input_tokens_details.text_tokens == 1
        several = client.images.generate(model="gpt-image-1", prompt="1,2", n=3, output_format="jpeg", output_compression=70, background="auto", moderation="low", user="me")
        assert [base64.b64decode(data.b64_json)[:3] for data in several.data] == [b"\xff\xd8\xff"] * 3
        linked = client.images.generate(prompt="1", response_format="url", extra_body={"seed": 5})
        assert server.get(linked.data[0].url.split(str(server.port), 1)[1]).body == wanted
        for partials in (0, 2, 3):
            with client.images.generate(prompt="1", stream=True, partial_images=partials, extra_body={"seed": 5}) as stream:
                events = list(stream)
            assert [event.type for event in events] == ["image_generation.partial_image"] * partials + ["image_generation.completed"]
            assert [event.partial_image_index for event in events[:-1]] == list(range(partials))
            assert base64.b64decode(events[-1].b64_json) == wanted and events[-1].usage.total_tokens > 0
            assert all(base64.b64decode(event.b64_json)[:4] == b"\x89PNG" and event.size == "8x8" for event in events)


def edits(folder, model):
    whole, hole = png(20, 12, lambda x, y: (10 * x, 20 * y, 90, 255)), png(20, 12, lambda x, y: (0, 0, 0, 0 if x < 9 else 255))
    for name, data in (("whole", whole), ("hole", hole)):
        with open(os.path.join(folder, name + ".png"), "wb") as file:
            file.write(data)
    wanted = generated(folder, model, "--init-img", os.path.join(folder, "whole.png"), "--mask", os.path.join(folder, "hole.png"), "--class", "1", "-s", "5")
    with Server(VARIANT, model) as server:
        client = client_of(server)
        with open(os.path.join(folder, "whole.png"), "rb") as image, open(os.path.join(folder, "hole.png"), "rb") as mask:
            answer = client.images.edit(image=image, mask=mask, prompt="1", n=1, extra_body={"seed": 5})
        assert base64.b64decode(answer.data[0].b64_json) == wanted and answer.size == "20x12"
        listed = client.images.edit(image=[("a.png", io.BytesIO(whole), "image/png")], mask=("b.png", io.BytesIO(hole), "image/png"), prompt="1", extra_body={"seed": 5})
        assert base64.b64decode(listed.data[0].b64_json) == wanted
        events = list(client.images.edit(image=("a.png", whole), mask=("b.png", hole), prompt="1", stream=True, partial_images=2, extra_body={"seed": 5}))
        assert [event.type for event in events] == ["image_edit.partial_image"] * 2 + ["image_edit.completed"]
        assert base64.b64decode(events[-1].b64_json) == wanted
        error = raised(openai.BadRequestError, client.images.edit, image=("a.png", b"no picture"), prompt="1")
        assert error.param == "image" and error.code == "invalid_image"


def errors(folder, model):
    keys = os.path.join(folder, "keys")
    with open(keys, "w", encoding="utf-8") as file:
        file.write("a-key-of-this-server\n")
    with Server(VARIANT, model, "--api-key-file", keys) as server:
        error = raised(openai.AuthenticationError, client_of(server, "another-key-of-none").images.generate, prompt="1")
        assert error.code == "invalid_api_key" and error.type == "authentication_error"
        client = client_of(server, "a-key-of-this-server")
        for named, param in (({"prompt": "dog"}, "prompt"), ({"prompt": "1", "n": 11}, "n"), ({"prompt": "1", "size": "1024x1024"}, "size"),
                             ({"prompt": "1", "extra_body": {"depth": 6}}, "depth")):
            error = raised(openai.BadRequestError, client.images.generate, **named)
            assert error.param == param and error.message and error.type == "invalid_request_error" and error.request_id
        assert raised(openai.NotFoundError, client.models.retrieve, "other").code == "model_not_found"
        assert raised(openai.APIStatusError, client.images.generate, prompt="1" * 70000).status_code == 413
        assert answers(server).count(413) == 1 and answers(server).count(400) == 4  # none is asked for again


def one_at_a_time(model):
    """Options with which one request is at work and one may wait."""
    told = subprocess.run([VARIANT, "serve", "-m", model, "--max-memory", "1M", "--keep-size", "1M"], capture_output=True, text=True, timeout=60).stderr
    weights, kept, one = (float(told.split(words)[1].split(" ")[1]) for words in ("weights take", "pictures kept", "one request"))
    return ["--queue", "1", "--max-memory", f"{weights + kept + 2.5 * one:.1f}M", "--keep-size", "1M"]


def fill(server):
    """Jobs until one is told to come back."""
    for _ in range(200):
        answer = server.post("/api/jobs", {"prompt": "1", "n": 10})
        if answer.status == 429 and server.gauges()["variant_running"] > 0:
            return
        time.sleep(0.02)
    raise AssertionError("the queue is never full")


def refused(server, client):
    """The error of a full queue, which may have emptied before the client asks."""
    for _ in range(20):
        fill(server)
        try:
            client.images.generate(prompt="1")
        except openai.RateLimitError as error:
            return error
    raise AssertionError("never refused")


def repeats(model):
    with Server(VARIANT, model, *one_at_a_time(model)) as server:
        error = refused(server, client_of(server, max_retries=0))
        assert error.code == "queue_full" and 1 <= int(error.response.headers["retry-after"]) <= 60
        # with patience it gets its picture, and asks no oftener than it was told
        before = len(answers(server))
        fill(server)
        start = time.time()
        answer = client_of(server, max_retries=20).images.generate(prompt="1")
        seen = answers(server)[before:]
        assert len(answer.data) == 1 and seen[-1] == 200 and set(seen[:-1]) <= {429} and time.time() - start >= len(seen) - 1, seen
        # a deadline that is over is not asked for again; who leaves a stream is not worked for
        error = raised(openai.InternalServerError, client_of(server, max_retries=3).images.generate, prompt="1", n=10, extra_body={"deadline": 0.05})
        assert error.status_code == 504 and error.code == "deadline_exceeded" and answers(server).count(504) == 1
        ended = server.gauges()['variant_jobs_total{end="cancelled"}']
        stream = client_of(server).images.generate(prompt="1", n=10, stream=True, partial_images=3)
        next(iter(stream))
        stream.close()
        server.wait_for('variant_jobs_total{end="cancelled"}', ended + 1)
        # a stream that fails on the way says so
        stream = client_of(server).images.generate(prompt="1", n=10, stream=True, extra_body={"deadline": 0.05})
        assert raised(openai.APIError, list, stream).body["code"] == "deadline_exceeded"


def draining(model):
    with Server(VARIANT, model) as server:
        client, made = client_of(server, max_retries=0), []
        thread = threading.Thread(target=lambda: made.append(client.images.generate(prompt="1", n=10)))
        thread.start()
        server.wait_for("variant_running", 1)
        server.process.terminate()
        while not any('"draining"' in line for line in list(server.log)):
            time.sleep(0.01)
        if thread.is_alive():
            error = raised(openai.APIError, client.images.generate, prompt="1")
            assert isinstance(error, openai.APIConnectionError) or (error.status_code == 503 and error.code == "draining" and error.response.headers["retry-after"])
        thread.join()
        assert len(made[0].data) == 10


def main():
    print("openai", openai.__version__)
    with tempfile.TemporaryDirectory(prefix="serve-openai-") as folder:
        small, slow = synth(VARIANT, folder, "small", SMALL), synth(VARIANT, folder, "slow", SLOW)
        for name, check in (("pictures", lambda: pictures(folder, small)), ("edits", lambda: edits(folder, small)), ("errors", lambda: errors(folder, small)),
                            ("repeats", lambda: repeats(slow)), ("draining", lambda: draining(slow))):
            check()
            print("ok", name, flush=True)


if __name__ == "__main__":
    main()
