"""A server for tests, and words to it: `variant serve` on a free loopback port, its log, requests with the standard library."""
import base64
import http.client
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
import zlib

SMALL = {"seed": "G", "depth": 5, "width": 64, "heads": 2, "V": 32, "Cvae": 8, "classes": 3, "patch_nums": [1, 2, 3, 4],
         "attn_l2_norm": True, "shared_aln": False, "ch": 32, "ch_mult": [1, 1], "nres": 1}
# pictures that take a while: there is time to watch and to cancel them
SLOW = dict(SMALL, depth=16, width=256, heads=4, patch_nums=[1, 2, 3, 4, 5, 6, 8, 10], ch=32, ch_mult=[1, 2])


def synth(variant, folder, name, shape):
    with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as file:
        json.dump(shape, file)
    path = os.path.join(folder, name + ".safetensors")
    subprocess.run([variant, "synth", os.path.join(folder, name + ".json"), "-o", path], check=True, capture_output=True)
    return path


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    def json(self):
        return json.loads(self.body)

    def error(self):
        return self.json()["error"]


class Server:
    """with Server(variant, model, "--queue", "2") as server: server.post("/api/jobs", {...})"""

    def __init__(self, variant, model, *options):
        self.command = [variant, "serve", "-m", model, "--port", "0", *options]
        self.how = {}  # of subprocess.Popen
        self.log = []

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True, **self.how)
        self.ready = threading.Event()
        self.port = None
        self.reader = threading.Thread(target=self.read_log, daemon=True)
        self.reader.start()
        if not self.ready.wait(120) or not self.port:
            raise AssertionError(f"no server: {self.log}")
        return self

    def read_log(self):
        for line in self.process.stderr:
            self.log.append(line.rstrip("\n"))
            if '"listening"' in line and not self.port:
                self.port = int(json.loads(line)["address"].rsplit(":", 1)[1])
                self.ready.set()
        self.ready.set()

    def __exit__(self, fault, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.reader.join(10)
        if not fault and self.process.returncode != 0:  # sanitizers say so as well
            raise AssertionError(f"exit {self.process.returncode}: " + "\n".join(line for line in self.log if not line.startswith("{")))

    def stop(self):
        """Its exit status after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)

    def ask(self, method, path, body=None, headers=None):
        connection = self.connect()
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        connection.request(method, path, body, headers or {})
        answer = Answer(connection.getresponse())
        connection.close()
        return answer

    def get(self, path, **headers):
        return self.ask("GET", path, headers=headers)

    def post(self, path, body=None, **headers):
        return self.ask("POST", path, body, headers)

    def stream(self, method, path, body=None):
        """The connection and its events as they come: (name, data)."""
        connection = self.connect()
        connection.request(method, path, json.dumps(body) if body is not None else None)
        response = connection.getresponse()
        assert response.status == 200, response.read()
        assert response.getheader("Content-Type") == "text/event-stream"
        return connection, events_of(response)

    def gauges(self):
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
                for line in self.get("/metrics").body.decode().splitlines() if not line.startswith("#")}

    def wait_for(self, name, value, seconds=60.0):
        until = time.time() + seconds
        while time.time() < until:
            if self.gauges()[name] == value:
                return
            time.sleep(0.02)
        raise AssertionError(f"{name} is {self.gauges()[name]}, not {value}, after {seconds} s")

    def wait_for_more(self, name, value, seconds=60.0):
        until = time.time() + seconds
        while time.time() < until:
            if self.gauges()[name] >= value:
                return
            time.sleep(0.02)
        raise AssertionError(f"{name} is {self.gauges()[name]}, less than {value}, after {seconds} s")


def events_of(response):
    name = None
    while True:
        line = response.readline().decode()
        if not line:
            return
        if line.startswith("event: "):
            name = line[7:].strip()
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])
        else:
            assert line == "\n" or line.startswith(":"), line


def resident(server):
    """Megabytes."""
    with open(f"/proc/{server.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def picture(data):
    return base64.b64decode(data["b64_json"], validate=True)


def run_tests(tests, folder, *given):
    """Those that the command line names, or all, each called with what is given; the folder goes and the exit status says whether all passed."""
    chosen = [function for function in tests if len(sys.argv) < 3 or function.__name__ in sys.argv[2:]]
    failed = 0
    for function in chosen:
        start = time.time()
        try:
            function(*given)
            print(f"ok {function.__name__} ({time.time() - start:.1f} s)", flush=True)
        except Exception as error:  # the next ones say more
            failed += 1
            print(f"FAILED {function.__name__}: {error!r}", flush=True)
            traceback.print_exc()
    print(f"{len(chosen) - failed} passed, {failed} failed")
    folder.cleanup()
    sys.exit(failed > 0)


# ---- what is sent

def png(width, height, pixel):
    """A PNG of RGBA pixels, pixel(x, y) each."""
    rows = b"".join(b"\0" + b"".join(bytes(pixel(x, y)) for x in range(width)) for y in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def form(parts):
    """Body and headers of multipart/form-data; a part is (name, value) or (name, file name, bytes)."""
    body = b""
    for part in parts:
        name = f'form-data; name="{part[0]}"' + (f'; filename="{part[1]}"\r\nContent-Type: image/png' if len(part) == 3 else "")
        body += b"--x-y-z\r\nContent-Disposition: " + name.encode() + b"\r\n\r\n" + (part[-1] if len(part) == 3 else part[1].encode()) + b"\r\n"
    return body + b"--x-y-z--\r\n", {"Content-Type": "multipart/form-data; boundary=x-y-z"}
