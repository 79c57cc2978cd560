#!/usr/bin/env python3
"""Load on `variant serve`: how many pictures a second, and how long each takes, by clients that ask again at once or by a rate of arrival.

    bench/serve_load.py build/release/variant models/fashion --clients 1,64 --seconds 20
    bench/serve_load.py build/release/variant models/fashion --rates 20,40,60 --seconds 20
    bench/serve_load.py build/release/variant models/fashion --clients 16 --stream      # and until the first picture on the way
    bench/serve_load.py build/release/variant models/fashion --rates 10,20,30 --json bench/results/serve_load.json      # for bench/serve_plot.py

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
        resident = resident or [self.server.resident()]
        stepped = after["variant_step_seconds_total"] - before["variant_step_seconds_total"]
        return {"rate": rate, "clients": clients, "seconds": round(took, 2), "pictures": len(self.seconds), "errors": self.errors, "full": self.full,
                **{f"p{share}_ms": at(self.seconds, share) for share in (50, 95, 99)}, **({"first_preview_p50_ms": at(self.first, 50)} if self.first else {}),
                "engine_share": round(stepped / took, 3), "resident_mb": [round(mb, 1) for mb in (resident[len(resident) // 5], max(resident), resident[-1])]}


def at(values, share):
    """Milliseconds that `share` of a hundred do not exceed."""
    return round(1e3 * sorted(values)[min(len(values) - 1, share * len(values) // 100)], 1) if values else 0.0


def tell(r):
    first = f", first preview p50 {r['first_preview_p50_ms']:.0f} ms" if "first_preview_p50_ms" in r else ""
    early, most, end = r["resident_mb"]
    print(f"{r['rate']} a second" if r["rate"] else f"{r['clients']} clients", end=": ")
    print(f"{r['pictures'] / r['seconds']:.1f} pictures/s, p50 {r['p50_ms']:.0f} p95 {r['p95_ms']:.0f} p99 {r['p99_ms']:.0f} ms{first}, {r['errors']} errors, {r['full']} times 429, "
          f"engine at work {100 * r['engine_share']:.0f} %, resident {early:.0f} MB early, {most:.0f} at most, {end:.0f} at the end", flush=True)


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
    parser.add_argument("--json", help="a file for the figures, and which processor they are of")
    parser.add_argument("--serve", type=str.split, default=[], help="more options of variant serve")
    options = parser.parse_args()
    server, loads = Server(options), []
    try:
        for clients, rate in [(clients, 0) for clients in options.clients] + [(0, rate) for rate in options.rates]:
            loads.append(Load(options, server).run(clients, rate))
            tell(loads[-1])
    finally:
        server.stop()
    if options.json:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            processor = re.search(r"model name\s*: (.*)", file.read()).group(1)
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": f"{processor}, {os.cpu_count()} processors, clients on them as well", "model": options.model, "depths": options.depths, "loads": loads}, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
