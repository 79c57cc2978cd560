"""Ten thousand connections that say nothing or little, half closed ones among them: the server answers others meanwhile, and its memory
comes back.    cli_serve_many.py VARIANT
"""
import os
import socket
import sys
import tempfile
import threading
import time

from serving import SMALL, Server, resident, synth

MANY = 10000
WORDS = (b"", b"GET /healthz HT", b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{")
MB_AFTER = 10.0  # more than before, at most: what malloc keeps of threads' heaps


class Others:
    """Somebody who asks for a picture, and how the server does, again and again."""

    def __init__(self, server):
        self.server, self.stopped = server, False
        self.health, self.pictures, self.full = [], [], 0
        self.threads = [threading.Thread(target=self.ask, args=(self.get_health, 0.05)), threading.Thread(target=self.ask, args=(self.get_picture, 0.2))]
        for thread in self.threads:
            thread.start()

    def ask(self, what, pause):
        while not self.stopped:
            what()
            time.sleep(pause)

    def get_health(self):
        start = time.time()
        assert self.server.get("/healthz").status == 200
        self.health.append(time.time() - start)

    def get_picture(self):
        start = time.time()
        answer = self.server.post("/v1/images/generations", {"prompt": "1"})
        assert answer.status == 200 or answer.error()["code"] == "too_many_connections", answer.body
        if answer.status == 200:
            self.pictures.append(time.time() - start)
        else:
            self.full += 1

    def stop(self):
        self.stopped = True
        for thread in self.threads:
            thread.join()
        print(f"    health {len(self.health)} times, at most {max(self.health):.2f} s; pictures {len(self.pictures)} times, at most {max(self.pictures):.2f} s; told to come back {self.full} times")
        assert max(self.health) < 10 and len(self.pictures) >= 3


def connect(server, count):
    """Sockets, each with a part of a request; every fourth has closed its side."""
    held, refused = [], 0
    for i in range(count):
        try:
            raw = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            raw.sendall(WORDS[i % 3])
            if i % 4 == 3:
                raw.shutdown(socket.SHUT_WR)
            held.append(raw)
        except OSError:  # ended while it was made
            refused += 1
    return held, refused


def settle(server, before):
    """Until the connections are gone and what malloc held is given back."""
    server.wait_for("variant_connections", 1)
    until = time.time() + 30
    while resident(server) > before + MB_AFTER and time.time() < until:
        time.sleep(0.5)


def flood(variant, model, *options):
    with Server(variant, model, "-q", *options) as server:
        assert server.post("/v1/images/generations", {"prompt": "1"}).status == 200
        before = resident(server)
        for turn in range(2):
            others, start = Others(server), time.time()
            held, refused = connect(server, MANY)
            took = time.time() - start
            time.sleep(3)
            most, gauges = resident(server), server.gauges()
            others.stop()
            for raw in held:
                raw.close()
            settle(server, before)
            print(f"  {MANY} connections in {took:.1f} s, {refused} ended at once; {gauges['variant_connections']:.0f} open, {gauges['variant_connections_cut_total']:.0f} made way; "
                  f"resident {before:.1f} MB before, {most:.1f} with them, {resident(server):.1f} after", flush=True)
            if "san" not in os.path.basename(os.path.dirname(variant)):  # sanitizers keep what was freed for a while
                assert resident(server) < before + MB_AFTER
        assert server.post("/v1/images/generations", {"prompt": "1"}).status == 200
        server.wait_for("variant_body_bytes", 0)


def main():
    variant = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="serve-many-") as folder:
        model = synth(variant, folder, "small", SMALL)
        print("at most 1000 at a time", flush=True)
        flood(variant, model)
        print("all at a time", flush=True)
        flood(variant, model, "--connections", str(MANY + 500))
    print("passed")


if __name__ == "__main__":
    main()
