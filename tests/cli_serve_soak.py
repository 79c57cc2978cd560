"""Mixed load on `variant serve` for a while: pictures at all depths, streams, edits, jobs that are watched, refined and cancelled, clients that
leave, nonsense, the model's file replaced and opened again among it. Its memory stays flat, and nothing is held at the end.
    cli_serve_soak.py VARIANT SECONDS PAUSE
"""
import base64
import collections
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time

from serving import SMALL, Server, form, png, resident, synth

CLIENTS = 12
MB_MORE = 12.0  # of the last third, on average, above the second; in the first what malloc keeps for its threads grows
DONE = 'variant_reloads_total{result="done"}'
SHAPE = dict(SMALL, depth=8, width=128, patch_nums=[1, 2, 3, 4, 5, 6], ch_mult=[1, 2])
WHOLE, HOLE = png(20, 12, lambda x, y: (10 * x, 20 * y, 90, 255)), png(20, 12, lambda x, y: (0, 0, 0, 0 if x < 9 else 255))
NONSENSE = (b"\0" * 500, b"GET /healthz HT", b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{",
            b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"GET /" + b"a" * 50000 + b" HTTP/1.1\r\n\r\n")


class Client:
    """One that does this and that."""

    def __init__(self, server, seed, until, pause):
        self.server, self.until, self.pause, self.random = server, until, pause, random.Random(seed)
        self.statuses, self.wrong = collections.Counter(), []
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        ways = (self.picture, self.picture, self.stream, self.leave, self.leave, self.edit, self.job, self.nonsense)
        while time.time() < self.until:
            way = self.random.choice(ways)
            try:
                way()
            except (OSError, AssertionError, KeyError, ValueError) as error:
                self.wrong.append(f"{way.__name__}: {error!r}")
            if self.pause:
                time.sleep(self.random.expovariate(1 / self.pause))

    def wish(self, **more):
        return dict(prompt=self.random.choice(("0", "1,2", "random")), n=self.random.randint(1, 4), depth=self.random.choice((0, 1, 3, 6)), bridge=self.random.randint(0, 3), **more)

    def ask(self, method, path, body=None, headers=None, allowed=(200, 202, 429)):
        answer = self.server.ask(method, path, body, headers)
        self.statuses[answer.status] += 1
        assert answer.status in allowed, (path, answer.status, answer.body[:200])
        return answer

    def picture(self):
        self.ask("POST", "/v1/images/generations", self.wish())

    def edit(self):
        self.ask("POST", "/v1/images/edits", *form([("image", "a.png", WHOLE), ("mask", "b.png", HOLE), ("prompt", "1"), ("n", "2")]))

    def stream(self):
        connection = self.server.connect()
        connection.request("POST", "/v1/images/generations", json.dumps(self.wish(stream=True, partial_images=3)))
        answer = connection.getresponse()
        self.statuses[answer.status] += 1
        last = answer.read().rsplit(b"event: ", 1)[-1]
        connection.close()
        assert answer.status == 429 or last.startswith(b"image_generation.completed"), (answer.status, last[:200])

    def leave(self):
        """In the middle of an answer, at any scale."""
        body = json.dumps(self.wish(stream=self.random.random() < 0.5)).encode()
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=60) as raw:
            raw.sendall(b"POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            time.sleep(self.random.random() ** 3)
            if self.random.random() < 0.3:
                raw.shutdown(socket.SHUT_WR)
                raw.recv(65536)
        self.statuses["left"] += 1

    def job(self):
        answer = self.ask("POST", "/api/jobs", self.wish())
        if answer.status == 429:
            return
        address = answer.json()["poll_url"]
        if self.random.random() < 0.5:
            time.sleep(self.random.random() / 4)
            self.ask("GET", address + "?preview=true")
            self.ask("DELETE", address)
            return
        connection, events = self.server.stream("GET", address + "/events")
        ends = [name for name, _ in events if name in ("completed", "failed", "cancelled")]
        connection.close()
        assert ends == ["completed"], ends
        self.ask("GET", address + "/images/0.webp")
        refined = self.ask("POST", address + "/refine", {"depth": 2}, allowed=(202, 409, 429))
        assert refined.status != 409 or "was made by the model" in refined.error()["message"], refined.body[:300]

    def nonsense(self):
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=60) as raw:
            raw.sendall(self.random.choice(NONSENSE))
            time.sleep(self.random.random() / 10)
        self.ask("POST", "/v1/images/edits", {"prompt": "1", "image": "data:image/png;base64," + base64.b64encode(WHOLE[:60]).decode()}, allowed=(400,))


class Reloads:
    """One of two models takes the place of the server's, and is opened, again and again."""

    def __init__(self, server, model, others, seconds):
        self.server, self.model, self.others = server, model, others
        self.every, self.next, self.asked = min(seconds / 6, 60), time.time() + seconds / 6, 0

    def go_on(self):
        if time.time() < self.next:
            return
        shutil.copy(self.others[self.asked % 2], self.model + ".new")
        os.replace(self.model + ".new", self.model)
        self.server.process.send_signal(signal.SIGHUP)
        self.asked += 1
        self.next = time.time() + self.every


def average(values):
    return sum(values) / len(values)


def main():
    variant, seconds, pause = os.path.abspath(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    with tempfile.TemporaryDirectory(prefix="serve-soak-") as folder:
        model = synth(variant, folder, "soak", SHAPE)
        others = [synth(variant, folder, f"soak{seed}", dict(SHAPE, seed=seed)) for seed in "AB"]
        with Server(variant, model, "-q", "--queue", "8", "--keep-size", "1M") as server:
            clients = [Client(server, i, time.time() + seconds, pause) for i in range(CLIENTS)]
            sizes, reloads = [], Reloads(server, model, others, seconds)
            while any(client.thread.is_alive() for client in clients):
                sizes.append(resident(server))
                reloads.go_on()
                time.sleep(0.5)
            statuses = sum((client.statuses for client in clients), collections.Counter())
            wrong = [line for client in clients for line in client.wrong]
            for name in ("running", "queue", "body_bytes", "memory_reserved_bytes", "kv_reserved_bytes"):
                server.wait_for("variant_" + name, 0)
            gauges, third = server.gauges(), len(sizes) // 3
            second, last = average(sizes[third:2 * third]), average(sizes[2 * third:])
            print(f"{seconds:g} s: " + ", ".join(f"{statuses[key]} {key}" for key in sorted(statuses, key=str)) + "; " +
                  ", ".join(f"{gauges[name]:.0f} {name[8:]}" for name in ('variant_jobs_total{end="completed"}', 'variant_jobs_total{end="cancelled"}', 'variant_answers_total{status="5xx"}', DONE)) +
                  f" of {reloads.asked} asked")
            print(f"resident {second:.1f} MB in the second third, {last:.1f} in the last, {max(sizes):.1f} at most", flush=True)
            assert not wrong, wrong[:5]
            assert gauges['variant_answers_total{status="5xx"}'] == 0 and gauges['variant_jobs_total{end="completed"}'] > 10
            assert gauges[DONE] > 1 and gauges['variant_reloads_total{result="failed"}'] == 0
            assert last < second + MB_MORE
    print("passed")


if __name__ == "__main__":
    main()
