"""A headless Chromium for tests, spoken to through chromedriver by the W3C WebDriver protocol with Python's standard library."""
import base64
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's name of an element's id
KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "Tab": "\ue004", "Shift": "\ue008", "Control": "\ue009", "Up": "\ue013", "Down": "\ue015", "Left": "\ue012",
        "Right": "\ue014", "Backspace": "\ue003", "Space": " "}


def missing():
    """What is not installed, in words; "": all is there."""
    names = [("chromedriver",), ("chromium", "chromium-browser", "google-chrome")]
    lacking = [all_of[0] for all_of in names if not any(shutil.which(name) for name in all_of)]
    return f"no {' and no '.join(lacking)} (Debian: chromium chromium-driver)" if lacking else ""


class Broken(Exception):
    """What WebDriver says went wrong; its name is the first argument."""


class Browser:
    """with Browser() as browser: browser.open(address)"""

    def __init__(self, downloads=None, arguments=()):
        self.downloads, self.arguments = downloads, list(arguments)

    def __enter__(self):
        self.home = tempfile.TemporaryDirectory(prefix="browser-")
        # a home of its own: nothing of the user's is read, and nothing stays
        environment = dict(os.environ, HOME=self.home.name, XDG_CONFIG_HOME=self.home.name, XDG_CACHE_HOME=self.home.name)
        self.log = open(os.path.join(self.home.name, "driver.log"), "w+", encoding="utf-8", errors="replace")
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=self.log, stderr=subprocess.STDOUT, env=environment, start_new_session=True)
        try:
            self.port = self.find_port()
            self.session = None
            self.session = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": self.capabilities()}})["sessionId"]
            self.ask("POST", self.at("/timeouts"), {"script": 20000, "pageLoad": 30000, "implicit": 0})
        except BaseException:
            self.__exit__()
            raise
        return self

    def find_port(self):
        until = time.time() + 30
        while time.time() < until and self.driver.poll() is None:
            with open(self.log.name, encoding="utf-8", errors="replace") as log:
                for line in log:
                    if "successfully on port" in line:
                        return int(line.rsplit("port", 1)[1].strip(" .\n"))
            time.sleep(0.02)
        with open(self.log.name, encoding="utf-8", errors="replace") as log:
            raise AssertionError(f"chromedriver does not start: {log.read()[-2000:]}")

    def capabilities(self):
        arguments = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-background-networking",
                     "--disable-component-update", "--disable-sync", "--window-size=1280,900", f"--user-data-dir={self.home.name}/profile", *self.arguments]
        preferences = {"download.default_directory": self.downloads or self.home.name, "download.prompt_for_download": False}
        return {"browserName": "chrome", "goog:chromeOptions": {"args": arguments, "prefs": preferences}, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}

    def __exit__(self, *_):
        try:
            if getattr(self, "session", None):
                self.ask("DELETE", self.at(""))
        except (OSError, Broken):
            pass
        try:  # its own group: the browser and all that it started
            os.killpg(self.driver.pid, signal.SIGTERM)
            self.driver.wait(5)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
        try:
            os.killpg(self.driver.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.driver.wait(10)
        self.log.close()
        for _ in range(50):  # what is about to end may still write into it
            try:
                self.home.cleanup()
                break
            except OSError:
                time.sleep(0.05)

    def at(self, path):
        return f"/session/{self.session}{path}"

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, json.dumps(body) if method == "POST" else None, {"Content-Type": "application/json"})
        value = json.loads(connection.getresponse().read())["value"]
        connection.close()
        if isinstance(value, dict) and "error" in value:
            raise Broken(value["error"], value["message"].split("\n")[0])
        return value

    # ---- pages

    def open(self, address):
        self.ask("POST", self.at("/url"), {"url": address})

    def run(self, script, *arguments):
        """What a script returns; elements come and go as they are."""
        return self.ask("POST", self.at("/execute/sync"), {"script": script, "args": list(arguments)})

    def find(self, selector):
        return self.ask("POST", self.at("/element"), {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)
        self.ask("POST", self.at(f"/element/{self.find(selector)}/click"), {})

    def type(self, selector, text, clear=True):
        element = self.find(selector)
        if clear:
            self.ask("POST", self.at(f"/element/{element}/clear"), {})
        self.ask("POST", self.at(f"/element/{element}/value"), {"text": text})

    def press(self, *keys):
        """Keys after each other, to whatever has the focus; "Control+a" holds the first."""
        actions = []
        for key in keys:
            parts = [KEYS.get(part, part) for part in (key.split("+") if len(key) > 1 else [key])]
            actions += [{"type": "keyDown", "value": part} for part in parts] + [{"type": "keyUp", "value": part} for part in reversed(parts)]
        self.ask("POST", self.at("/actions"), {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def drag(self, points):
        """The left button down at the first point of the window, and up at the last."""
        (x, y), *rest = points
        actions = [{"type": "pointerMove", "duration": 0, "x": int(x), "y": int(y)}, {"type": "pointerDown", "button": 0}]
        actions += [{"type": "pointerMove", "duration": 20, "x": int(x), "y": int(y)} for x, y in rest] + [{"type": "pointerUp", "button": 0}]
        self.ask("POST", self.at("/actions"), {"actions": [{"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": actions}]})

    def wait(self, script, *arguments, seconds=30.0, what=""):
        """Until the script returns something true, which is given back."""
        until = time.time() + seconds
        while True:
            value = self.run(script, *arguments)
            if value:
                return value
            if time.time() > until:
                raise AssertionError(f"waited {seconds} s for {what or script}")
            time.sleep(0.03)

    # ---- what it looks like, what it said

    def devtools(self, command, **parameters):
        return self.ask("POST", self.at("/goog/cdp/execute"), {"cmd": command, "params": parameters})

    def screen(self, width, height, dark=False, calm=False, zoom=1):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=zoom, mobile=width < 600)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}, {"name": "prefers-reduced-motion", "value": "reduce" if calm else "no-preference"}]
        self.devtools("Emulation.setEmulatedMedia", features=features)

    def picture(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.ask("GET", self.at("/screenshot"))))

    def said(self):
        """Lines of the console since the last call."""
        return self.ask("POST", self.at("/se/log"), {"type": "browser"})

    def requested(self):
        """Addresses that were asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.ask("POST", self.at("/se/log"), {"type": "performance"})]
        return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
