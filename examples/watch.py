#!/usr/bin/env python3
"""Pictures over HTTP with the standard library: a job made, watched scale by scale, its picture saved, refined deeper.

    variant serve -m models/fashion &
    examples/watch.py http://localhost:8080 8
"""
import base64
import json
import sys
import urllib.request


def ask(address, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(address, data)) as answer:
        return json.load(answer)


def events(address):
    """(name, data) as they come."""
    name = None
    with urllib.request.urlopen(address) as answer:
        for line in answer:
            line = line.decode().rstrip("\n")
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                yield name, json.loads(line[6:])


def save(picture, path):
    with open(path, "wb") as file:
        file.write(base64.b64decode(picture["b64_json"]))
    print("saved", path)


def watch(server, job, path):
    for name, data in events(server + job["events_url"]):
        if name == "progress":
            print(f"{data['state']}: scale {data['scale']} of {data['scales']}")
        elif name == "preview":
            save(data, f"{path}-{data['scale']}.png")
        elif name == "completed":
            save(data["data"][0], path + ".png")
            print("layers of each scale:", data["request"]["depths"])
        else:
            sys.exit(data["error"]["message"])


def main():
    server = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8080"
    prompt = sys.argv[2] if len(sys.argv) > 2 else "random"
    model = ask(server + "/api/model")
    least = min(model["depths"], default=1)  # of a supernet, the least that it was trained at
    job = ask(server + "/api/jobs", {"prompt": prompt, "seed": 7, "depth": least, "bridge": 1})
    watch(server, job, "quick")
    # its early scales stay, the late ones are drawn again by all layers
    refined = ask(f"{server}/api/jobs/{job['id']}/refine", {"depth": model["depth"], "keep_scales": 2})
    watch(server, refined, "fine")


if __name__ == "__main__":
    main()
