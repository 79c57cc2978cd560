#!/usr/bin/env python3
"""Load on `variant serve`: how many pictures a second, and how long each takes, by clients that ask again at once or by a rate of arrival.

    bench/serve_load.py build/release/variant models/fashion --clients 1,64 --seconds 20
    bench/serve_load.py build/release/variant models/fashion --rates 20,40,60 --seconds 20
    bench/serve_load.py build/release/variant models/fashion --clients 16 --stream      # and until the first picture on the way

Starts a server of its own, asks for one picture a request at depths that take turns (--depths), and prints a line for each load; any
answer but 200 and 429 is counted as an error. Clients run in this process and take their share of the processor.
"""
import argparse
import http.client
import json
import os
import random
import re
import subprocess
import threading
import time


class Server:
    def __init__(self, options):
        self.process = subprocess.Popen([options.variant, "serve", "-m", options.model, "--port", "0", "--queue", "100000", "-q", *options.serve],
                                        stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        found = re.search(r'"address":"http://[^"]*:(\d+)"', line)
        if not found:
            raise SystemExit(line + self.process.stderr.read())
        self.port = int(found.group(1))
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def counters(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}

    def resident(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Load:
    """What clients saw."""

    def __init__(self, options, server):
        self.options, self.server, self.lock = options, server, threading.Lock()
        self.seconds, self.first, self.errors, self.full, self.number = [], [], 0, 0, 0

    def body(self):
        with self.lock:
            number, self.number = self.number, self.number + 1
        wish = {"prompt": "random", "seed": number, "depth": self.options.depths[number % len(self.options.depths)]}
        if self.options.stream:
            wish.update(stream=True, partial_images=3)
        return json.dumps(wish)

    def ask(self, connection):
        start = time.monotonic()
        connection.request("POST", "/v1/images/generations", self.body())
        answer = connection.getresponse()
        first = None
        if self.options.stream and answer.status == 200:
            while not answer.readline().startswith(b"data: "):
                pass
            first = time.monotonic() - start
        answer.read()
        took = time.monotonic() - start
        with self.lock:
            if answer.status == 200:
                self.seconds.append(took)
                self.first += [first] if first else []
            else:
                self.full += answer.status == 429
                self.errors += answer.status != 429

    def client(self, until):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port)
        while time.monotonic() < until:
            self.ask(connection)

    def arrivals(self, rate, until):
        """Requests at random times, a thread each, whether those before are answered or not."""
        source, threads = random.Random(1), []
        at = time.monotonic()
        while at < until:
            time.sleep(max(0.0, at - time.monotonic()))
            threads.append(threading.Thread(target=lambda: self.ask(http.client.HTTPConnection("127.0.0.1", self.server.port))))
            threads[-1].start()
            at += source.expovariate(rate)
        return threads

    def run(self, clients, rate):
        before, start = self.server.counters(), time.monotonic()
        until = start + self.options.seconds
        if rate:
            threads = self.arrivals(rate, until)
        else:
            threads = [threading.Thread(target=self.client, args=(until,)) for _ in range(clients)]
            for thread in threads:
                thread.start()
        resident = []
        while any(thread.is_alive() for thread in threads):
            resident.append(self.server.resident())
            time.sleep(0.25)
        took, after = time.monotonic() - start, self.server.counters()
        self.print(f"{rate} a second" if rate else f"{clients} clients", took, resident or [self.server.resident()],
                   after["variant_step_seconds_total"] - before["variant_step_seconds_total"])

    def print(self, name, took, resident, stepped):
        def at(values, share):
            return 1e3 * sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0
        first = f", first preview p50 {at(self.first, 0.5):.0f} ms" if self.first else ""
        print(f"{name}: {len(self.seconds) / took:.1f} pictures/s, p50 {at(self.seconds, 0.5):.0f} p95 {at(self.seconds, 0.95):.0f} p99 {at(self.seconds, 0.99):.0f} ms{first}, "
              f"{self.errors} errors, {self.full} times 429, engine at work {100 * stepped / took:.0f} %, "
              f"resident {resident[len(resident) // 5]:.0f} MB early, {max(resident):.0f} at most, {resident[-1]:.0f} at the end", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731
    parser.add_argument("variant")
    parser.add_argument("model")
    parser.add_argument("--clients", type=numbers, default=[])
    parser.add_argument("--rates", type=numbers, default=[])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--depths", type=numbers, default=[0, 6, 3, 2], help="of the late scales, in turn; 0: all layers")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--serve", type=str.split, default=[], help="more options of variant serve")
    options = parser.parse_args()
    server = Server(options)
    try:
        for clients, rate in [(clients, 0) for clients in options.clients] + [(0, rate) for rate in options.rates]:
            Load(options, server).run(clients, rate)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
