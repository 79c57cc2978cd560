"""What the page of `variant serve` does, in a browser.    cli_page.py VARIANT [TEST...]

One browser, a few servers. Nothing sleeps: what is to come is waited for. Pictures are compared byte by byte with what `variant generate`
and the API make; command lines that the page shows are run.
"""
import base64
import http.client
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse

import browser as browsers
from serving import SLOW, SMALL, Server, picture, run_tests, synth

VARIANT = os.path.abspath(sys.argv[1])
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FASHION = os.path.join(ROOT, "models/fashion")
FOLDER = tempfile.TemporaryDirectory(prefix="page-")
TESTS = []

READY = "return document.body.classList.contains('ready') && /\\d/.test(document.getElementById('cost-memory').textContent)"
IDLE = "return document.getElementById('progress').hidden"
SHOWN = "return document.getElementById('result').hidden ? '' : document.querySelector('#download').href"


def test(function):
    TESTS.append(function)
    return function


def bytes_of(url):
    head, data = url.split(",", 1)
    assert head == "data:image/png;base64", head
    return base64.b64decode(data, validate=True)


def generated(*options):
    path = os.path.join(FOLDER.name, "generated.png")
    subprocess.run([VARIANT, "generate", "-m", FASHION, "-o", path, *options], check=True, capture_output=True, timeout=60)
    with open(path, "rb") as file:
        return file.read()


def made_by(line, **files):
    """What a command line of the page writes, run in a folder with these files; the file that its last -o names."""
    with tempfile.TemporaryDirectory(dir=FOLDER.name) as folder:
        for name, data in files.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
        path = os.path.dirname(VARIANT) + ":" + os.environ["PATH"]
        subprocess.run(["bash", "-ec", line], check=True, capture_output=True, cwd=folder, timeout=60, env=dict(os.environ, PATH=path))
        with open(os.path.join(folder, line.rsplit("-o ", 1)[1].strip("'")), "rb") as file:
            return file.read()


class Page:
    """A page of a server, and what people do with it."""

    def __init__(self, browser, server):
        self.browser, self.server = browser, server
        self.address = f"http://localhost:{server.port}/"

    def open(self, ready=True):
        self.browser.screen(1280, 900)
        self.browser.open("about:blank")
        self.browser.said(), self.browser.requested()
        self.browser.open(self.address)
        if ready:
            self.browser.wait(READY, what="the page to be ready")
        return self

    def choose(self, *names):
        for name in names:
            self.browser.type("#class-search", name)
            self.browser.press("Enter")

    def set(self, **values):
        for name, value in values.items():
            self.browser.type("#" + name.replace("_", "-"), str(value))

    def depth(self, at):
        """The depth number `at` of the slider's, by its keys."""
        self.browser.run("document.getElementById('depth').focus()")
        self.browser.press("\ue011", *["Right"] * at)

    def mode(self, name):
        self.browser.click(f"input[value={name}]")

    def go(self, button="#go"):
        """Presses it, and waits until what it begins is over."""
        self.browser.run("document.getElementById('status').textContent = ''")
        self.browser.click(button)
        self.browser.wait("return document.getElementById('progress').hidden && (document.getElementById('status').textContent || !document.getElementById('fault').hidden)",
                          what=f"the end of what {button} began")

    def draw(self, button="#go"):
        self.go(button)
        assert self.fault() == "", self.fault()
        return bytes_of(self.browser.run(SHOWN))

    def command(self):
        return self.browser.run("return document.getElementById('command').textContent")

    def fault(self):
        return self.browser.run("return document.getElementById('fault').hidden ? '' : document.getElementById('fault-text').textContent")

    def check_quiet(self, *refused):
        """Nothing on the console but requests of these statuses, nothing asked of anybody else."""
        for line in self.browser.said():
            known = line["source"] == "network" and any(f"status of {status} " in line["message"] for status in refused)
            assert known, line
        for address in self.browser.requested():
            assert address.startswith((self.address, "data:", f"blob:{self.address}", "about:blank")), address[:200]


# ---- what is handed over

@test
def it_is_embedded_without_what_a_build_lacks(browser, server):
    made = os.path.join(FOLDER.name, "page.c")
    page = os.path.join(ROOT, "src/serve/page/index.html")
    command = ["cmake", f"-DFILES={page}", "-DNAME=files", f"-DOUT={made}", "-DWITHOUT=,image/tiff", "-P", os.path.join(ROOT, "cmake/embed_files.cmake")]
    subprocess.run(command, check=True, timeout=60)
    with open(made) as source, open(page, "rb") as whole:
        embedded = bytes(int(number, 16) for number in source.read().split("{", 1)[1].split("0}")[0].split(",") if number)
        assert embedded == whole.read().replace(b",image/tiff", b"") and b"image/bmp" in embedded


@test
def its_files_may_be_kept_and_run_nothing_of_others(browser, server):
    front = server.get("/")
    assert front.status == 200 and front.headers["content-type"] == "text/html; charset=utf-8"
    policy = front.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    text = front.body.decode()
    with open(os.path.join(os.path.dirname(VARIANT), "CMakeCache.txt")) as cache:
        assert ("image/tiff" in text) == ("VARIANT_TIFF:BOOL=ON" in cache.read()), "the page takes what the program reads"
    names = [part.split('"')[0] for part in text.split('"/page/')[1:]]
    assert {"main.js", "page.css", "icon.svg"} <= set(names)
    for word in ("style=", "onclick=", "<style", "javascript:"):
        assert word not in text, word
    for name in [*names, *os.listdir(os.path.join(ROOT, "src/serve/page"))]:
        answer = server.get("/page/" + name)
        assert answer.status == 200 and answer.headers["cache-control"] == "no-cache", name
        with open(os.path.join(ROOT, "src/serve/page", name), "rb") as file:
            assert answer.body == file.read(), name
        again = server.get("/page/" + name, **{"If-None-Match": answer.headers["etag"]})
        assert again.status == 304 and again.body == b"" and again.headers["etag"] == answer.headers["etag"]
        assert server.get("/page/" + name, **{"If-None-Match": '"other"'}).status == 200
    for wrong in ("/page/nothing", "/page/..%2Fserve.c", "/page/"):
        assert server.get(wrong).status == 404
    assert server.ask("HEAD", "/").headers["content-length"] == str(len(front.body))
    assert server.get("/", Host="example.org").status == 403


# ---- drawing

@test
def the_same_bytes_as_the_command_line_and_the_api(browser, server):
    page = Page(browser, server).open()
    page.choose("snea")
    page.set(seed=7)
    page.depth(2)
    drawn = page.draw()
    assert drawn == generated("--class", "Sneaker", "-s", "7", "--depth", "6")
    answer = server.post("/v1/images/generations", {"prompt": "Sneaker", "seed": 7, "depth": 6}).json()
    assert drawn == picture(answer["data"][0])
    assert drawn == made_by(page.command())
    # a picture a scale, each more than the one before
    scales = browser.run("return [...document.querySelectorAll('#strip img')].map((image) => image.src)")
    assert len(scales) == 7 and len(set(scales)) == 7 and bytes_of(scales[-1]) == drawn
    browser.click("#strip li:first-child button")
    assert browser.run("return document.querySelector('.tile img').src") == scales[0]
    browser.click("#download")
    path = os.path.join(browser.downloads, "sneaker-s7-d6.png")
    until = time.time() + 20
    while not os.path.exists(path):
        assert time.time() < until, os.listdir(browser.downloads)
        time.sleep(0.02)
    with open(path, "rb") as file:
        assert file.read() == drawn
    page.check_quiet()


@test
def several_classes_and_settings(browser, server):
    page = Page(browser, server).open()
    page.choose("T-shirt", "bag")
    assert browser.run("return [...document.querySelectorAll('.chips button')].map((chip) => chip.textContent)") == ["T-shirt/top", "Bag"]
    page.set(seed="18446744073709551615", count=3)
    browser.click("summary")
    page.set(cfg="2.5", top_k="40", top_p="0.9", bridge="5")
    page.depth(0)
    page.draw()
    tiles = browser.run("return [...document.querySelectorAll('.tile img')].map((image) => [image.src, image.alt])")
    assert [alt.split(",")[0] for _, alt in tiles] == ["T-shirt/top", "Bag", "T-shirt/top"]
    options = ["--class", "T-shirt/top,Bag", "-s", "18446744073709551615", "--depth", "2", "--bridge", "5", "--cfg-scale", "2.5", "--top-k", "40", "--top-p", "0.9", "-n", "1"]
    for i in (0, 2):
        assert bytes_of(tiles[i][0]) == generated(*options, "--first", str(i))
    browser.click(".tile:nth-child(2)")
    browser.wait("return document.querySelector('.tile:nth-child(2)').getAttribute('aria-pressed') === 'true'")
    assert made_by(page.command()) == bytes_of(tiles[1][0])
    # its settings come back, whatever the controls said since
    browser.press("n")
    browser.click("#defaults")
    browser.click("#history-list li:nth-child(2) button")
    browser.click("#reuse")
    assert browser.run("return ['seed', 'count', 'cfg', 'bridge'].map((id) => document.getElementById(id).value)") == ["18446744073709551615", "3", "2.5", "5"]
    # no class: one at random, which the seed decides
    browser.press("Escape")
    browser.run("document.querySelectorAll('.chips button').forEach((chip) => chip.click())")
    browser.run("document.querySelectorAll('.chips button').forEach((chip) => chip.click())")
    browser.click("#defaults")
    page.set(seed=3, count=1)
    assert page.draw() == generated("-s", "3", "--depth", "2")
    page.check_quiet()


@test
def costs_stand_beside_the_depth(browser, server):
    page = Page(browser, server).open()
    table = server.get("/api/schedules").json()
    assert table["score"] == "FID(classifier)"
    if not table["timed"]:  # the first drawing was not quick enough for that to be done unasked
        browser.click("#measure")
        browser.wait("return /\\d/.test(document.getElementById('cost-time').textContent)", what="times")
        table = server.get("/api/schedules").json()
    words = {}
    for at, depth in enumerate((2, 3, 6, 12)):
        page.depth(at)
        row = next(one for one in table["schedules"] if one["depth"] == depth and one["bridge"] in (4, 7))
        words[depth] = browser.run("return ['time', 'memory', 'quality'].map((id) => document.getElementById(`cost-${id}`).textContent)")
        assert f"{row['distance']:.2g}" in words[depth][2] and "MB" in words[depth][1] and "s" in words[depth][0], words
        heights = browser.run("return [...document.querySelectorAll('#layers i')].map((bar) => parseFloat(bar.style.height))")
        assert heights[:4] == [100] * 4 and all(abs(height - 100 * depth / 12) < 0.1 for height in heights[4:])
    assert "% of full" in words[2][0] and "%" not in words[12][0]
    page.check_quiet()


# ---- depths side by side

# Computed here from the pictures anew: absolute differences, four times.
DIFFERENCE = """
const done = arguments[arguments.length - 1];
const columns = [...document.querySelectorAll('.column')];
const pixels = (image) => {
    const canvas = document.createElement('canvas');
    canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height).data;
};
const all = columns.map((column) => pixels(column.querySelector('img')));
return columns.map((column, i) => {
    const canvas = column.querySelector('canvas');
    if (canvas.hidden) return null;
    const shown = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    let wrong = 0, most = 0;
    for (let k = 0; k < shown.length; ++k) {
        const wanted = k % 4 === 3 ? 255 : Math.min(255, arguments[0] * Math.abs(all[i][k] - all[arguments[1]][k]));
        wrong += shown[k] !== wanted;
        if (k % 4 < 3) most = Math.max(most, wanted);
    }
    return [wrong, most];
});
"""


@test
def depths_side_by_side_and_their_difference(browser, server):
    page = Page(browser, server).open()
    page.choose("Bag")
    page.set(seed=5)
    page.mode("compare")
    browser.click("#depths label:nth-child(2) input")  # not depth 3
    page.go()
    assert page.fault() == ""
    sources = browser.run("return [...document.querySelectorAll('.column img')].map((image) => image.src)")
    assert [bytes_of(source) for source in sources] == [generated("--class", "Bag", "-s", "5", "--depth", depth) for depth in ("2", "6", "12")]
    shown = browser.run(DIFFERENCE, 4, 2)
    assert shown[2] is None and all(wrong == 0 and most > 0 for wrong, most in shown[:2]), shown
    browser.run("const gain = document.getElementById('gain'); gain.value = 9; gain.dispatchEvent(new Event('input'))")
    browser.run("const against = document.getElementById('against'); against.value = '2'; against.dispatchEvent(new Event('change'))")
    shown = browser.run(DIFFERENCE, 9, 0)
    assert shown[0] is None and all(wrong == 0 for wrong, _ in shown[1:]), shown
    browser.click(".column:nth-child(2) button")  # go on with depth 6
    assert bytes_of(browser.run(SHOWN)) == bytes_of(sources[1]) and made_by(page.command()) == bytes_of(sources[1])
    page.check_quiet()


# ---- painting over

def renamed(**names):
    """models/fashion with other names of some classes."""
    with open(os.path.join(FASHION, "fashion.safetensors"), "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        rest = file.read()
    config = json.loads(header["__metadata__"]["variant.config"])
    config["classes"] = [names.get(name, name) for name in config["classes"]]
    header["__metadata__"]["variant.config"] = json.dumps(config)
    words = json.dumps(header).encode()
    words += b" " * (-len(words) % 8)
    path = os.path.join(FOLDER.name, "renamed.safetensors")
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(words)) + words + rest)
    return path


@test
def what_is_painted_over_keeps_its_class_whatever_that_is_called(browser, _server):
    """A name that holds a comma, and one that two classes have: neither means the class in a prompt."""
    with Server(VARIANT, renamed(Bag="Bag, large", Sneaker="Coat"), "-q") as server:
        page = Page(browser, server).open()
        for label, name in (("8", "Bag, large"), ("7", "Coat")):
            page.choose(label)
            page.set(seed=7)
            page.draw()
            browser.press("Escape")
            browser.run("document.querySelectorAll('#class-chosen button').forEach((button) => button.click())")
            assert browser.run("return document.getElementById('class-chosen').textContent") == ""
            browser.click("#to-paint")
            browser.wait("return document.activeElement.id === 'mask'")
            assert browser.run("return document.getElementById('class-chosen').textContent") == name
            browser.click("[data-area='0.5,0,1,1']")
            page.set(seed=-1)
            page.draw()
            assert f"--class {label} " in page.command(), page.command()
            assert browser.run("return Number(document.getElementById('seed').value) >= 0")
            browser.run("document.querySelectorAll('#class-chosen button').forEach((button) => button.click())")
            page.mode("draw")
        page.check_quiet()


@test
def a_part_is_painted_and_drawn_again(browser, server):
    page = Page(browser, server).open()
    page.choose("Sneaker")
    page.set(seed=7)
    first = page.draw()
    browser.click("#to-paint")
    browser.wait("return document.activeElement.id === 'mask'")
    page.go()
    assert "Paint what" in page.fault()
    share = "const c = document.getElementById('mask'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; return d.filter((v, i) => i % 4 === 3 && v > 0).length"
    left, top, width, height = browser.run("document.getElementById('easel').scrollIntoView({block: 'center'}); const b = document.getElementById('mask').getBoundingClientRect(); return [b.left, b.top, b.width, b.height]")
    browser.drag([(left + 0.3 * width, top + 0.5 * height), (left + 0.5 * width, top + 0.5 * height), (left + 0.7 * width, top + 0.6 * height)])
    stroke = browser.run(share)
    assert 32 < stroke < 512, stroke
    browser.press("Space")  # where the brush stands now: nothing new is covered, so all of it is taken back at once
    browser.press("Up", "Up", "Shift+Up", "Space")
    dabbed = browser.run(share)
    assert dabbed > stroke
    browser.click("#undo")
    assert browser.run(share) == stroke
    browser.click("#invert")
    assert browser.run(share) == 1024 - stroke
    browser.click("#undo")
    browser.click("[data-area='0.5,0,1,1']")
    browser.click("#erase")
    browser.click("[data-area='0,0,1,0.5']")
    assert 256 <= browser.run(share) < 512, browser.run(share)
    page.set(seed=9)
    again = page.draw()
    assert again != first
    mask = bytes_of(browser.run("return document.getElementById('mask-download').href"))
    name = browser.run("return document.getElementById('mask-download').download")
    assert made_by(page.command(), **{name: mask}) == again
    for name, data in (("first.png", first), ("mask.png", mask)):
        with open(os.path.join(FOLDER.name, name), "wb") as file:
            file.write(data)
    files = [os.path.join(FOLDER.name, name) for name in ("first.png", "mask.png")]
    assert generated("--init-img", files[0], "--mask", files[1], "--class", "Sneaker", "-s", "9", "--depth", "12") == again
    assert browser.run("return document.getElementById('further').hidden")
    # one that somebody brings
    browser.type("#upload", files[0], clear=False)
    browser.wait("return document.getElementById('canvas-picture').alt.includes('first.png')")
    browser.click("#erase")
    browser.click("[data-area='0.25,0.25,0.75,0.75']")
    brought = page.draw()
    name = browser.run("return document.getElementById('mask-download').download")
    mask = bytes_of(browser.run("return document.getElementById('mask-download').href"))
    assert made_by(page.command(), **{"first.png": first, name: mask}) == brought
    page.check_quiet()


# ---- from here on

@test
def late_scales_again(browser, server):
    page = Page(browser, server).open()
    page.choose("Coat", "Dress")
    page.set(seed=11, count=2)
    page.depth(0)
    page.draw()
    browser.click(".tile:nth-child(2)")
    first = bytes_of(browser.run(SHOWN))
    browser.run("const depth = document.getElementById('further-depth'); depth.value = '12'")
    refined = page.draw("#refine")
    assert refined != first and refined == made_by(page.command()) and "--refine dress-s11-d2-1.png" in page.command()
    browser.run("const keep = document.getElementById('keep'); keep.value = 2; keep.dispatchEvent(new Event('input'))")
    varied = page.draw("#vary")
    assert varied != refined and varied == made_by(page.command()), page.command()
    assert page.command().count("variant generate") == 3
    assert len(browser.run("return [...document.querySelectorAll('#history-list button')].map((one) => one.title)")) == 4
    page.check_quiet()


# ---- what goes wrong

@test
def what_is_refused_is_told(browser, server):
    page = Page(browser, server).open()
    page.set(seed="many")
    page.go()
    assert "seed" in page.fault() and browser.run("return document.activeElement.id + document.activeElement.getAttribute('aria-invalid')") == "seedtrue"
    page.set(seed=1, count=11)
    page.go()
    assert "1 to 10" in page.fault() and browser.run("return document.querySelectorAll('[aria-invalid]').length") == 1
    page.set(count=1)
    page.draw()
    browser.run("document.getElementById('fault').hidden || 0")
    page.mode("compare")
    browser.run("document.querySelectorAll('#depths input:checked').forEach((box) => box.click())")
    page.go()
    assert "Choose the depths" in page.fault()
    page.check_quiet(400)


@test
def what_the_server_has_forgotten(browser, server):
    with Server(VARIANT, FASHION, "--keep", "1ms", "-q") as short:
        page = Page(browser, short).open()
        page.choose("Bag")
        answer = short.post("/api/jobs", {"prompt": "Bag"}).json()
        short.wait_for('variant_jobs_total{end="completed"}', 1)
        short.wait_for("variant_kept_bytes", 0)  # what is finished is gone at once
        assert short.get(answer["poll_url"]).status == 404
        page.go()
        # the picture may have come, but its job is gone; or it was gone before it could be looked at
        if page.fault() == "":
            page.go("#refine")
        assert "kept for 0.001 seconds" in page.fault(), page.fault()
        page.check_quiet(404)


@test
def a_key_is_asked_for(browser, server):
    keys, model = os.path.join(FOLDER.name, "keys"), synth(VARIANT, FOLDER.name, "small", SMALL)
    with open(keys, "w", encoding="utf-8") as file:
        file.write("first-key-of-ours\n")
    with Server(VARIANT, model, "--api-key-file", keys, "-q") as locked:
        page = Page(browser, locked).open(ready=False)
        for key in ("another-key-of-ours", "first-key-of-ours"):
            browser.wait("return document.getElementById('key-dialog').open", what="the question for the key")
            assert browser.run("return document.activeElement.id") == "key"
            page.set(key=key)
            browser.press("Enter")
            if key[0] == "a":
                browser.wait("return document.getElementById('key-text').textContent.includes('none of')")
        browser.wait(READY)
        page.choose("2")
        assert page.draw() == page.draw()
        assert browser.run("return Object.values(sessionStorage).concat(Object.keys(localStorage), document.cookie)") == ["first-key-of-ours", ""]
        browser.open(page.address)
        browser.wait(READY, what="the key to be known still")
        page.check_quiet(401)


@test
def waiting_is_shown_and_can_be_ended(browser, server):
    model = synth(VARIANT, FOLDER.name, "slow", SLOW)
    with Server(VARIANT, model, "-q") as slow:
        page = Page(browser, slow).open(ready=False)
        browser.wait("return document.body.classList.contains('ready')")
        page.choose("1")
        page.set(count=10)
        browser.click("#go")
        browser.wait("return /Scale \\d of 8/.test(document.getElementById('progress-text').textContent)", what="its progress")
        slow.wait_for("variant_running", 1)
        browser.press("Escape")
        browser.wait(IDLE, what="its end")
        assert browser.run("return document.getElementById('status').textContent") == "Cancelled." and page.fault() == ""
        slow.wait_for("variant_running", 0)
        assert slow.gauges()['variant_jobs_total{end="cancelled"}'] == 1
        page.check_quiet()
    # no room beside one that is at work: the others wait, and the page says where
    told = subprocess.run([VARIANT, "serve", "-m", model, "--max-memory", "1M", "--keep-size", "1M"], capture_output=True, text=True, timeout=60)
    weights, kept, one = (float(told.stderr.split(words)[1].split(" MB")[0]) for words in ("weights take ", "pictures kept ", "one request "))
    with Server(VARIANT, model, "-q", "--max-memory", f"{weights + kept + 2.5 * one:.1f}M", "--keep-size", "1M") as full:
        page = Page(browser, full).open(ready=False)
        browser.wait("return document.body.classList.contains('ready')")
        jobs = [full.post("/api/jobs", {"prompt": "1", "n": 10}).json() for _ in range(12)]
        page.choose("1")
        browser.click("#go")
        browser.wait("return /place \\d+ in the queue/.test(document.getElementById('progress-text').textContent)", what="its place in the queue")
        browser.click("#cancel")
        browser.wait(IDLE, what="its end")
        for job in jobs:
            full.ask("DELETE", job["poll_url"])
        page.check_quiet()


# ---- for everybody

# Interactive elements and pictures without a name; contrast of text below 4.5 (3 of large text).
NAMELESS = """
const shown = (element) => element.checkVisibility({visibilityProperty: true});
const nameOf = (element) => (element.getAttribute('aria-label') || element.labels?.[0]?.textContent || element.alt || element.title || element.querySelector("img[alt]")?.alt || element.textContent || '').trim()
    || (element.getAttribute('aria-labelledby') || '').split(' ').map((id) => document.getElementById(id)?.textContent || '').join('').trim();
return [...document.querySelectorAll('button, a, input, select, summary, canvas, progress, img:not([alt=""]), [role], [tabindex]')]
    .filter((element) => shown(element) && element.type !== 'hidden' && !nameOf(element)).map((element) => element.outerHTML.slice(0, 120));
"""
CONTRAST = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const rgba = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (element) => { for (; element; element = element.parentElement) { const c = rgba(getComputedStyle(element).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255, 255]; };
const low = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let looked = 0;
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || !element.checkVisibility({visibilityProperty: true}) || element.closest('.unseen, .skip, script, :disabled')) continue;
    const style = getComputedStyle(element), a = light(rgba(style.color)), b = light(behind(element));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), size = parseFloat(style.fontSize);
    ++looked;
    if (ratio < (size >= 24 || (size >= 18.6 && Number(style.fontWeight) >= 700) ? 3 : 4.5)) low.push([node.textContent.trim().slice(0, 40), ratio.toFixed(2)]);
}
return [looked, low];
"""
WIDE = """
const wide = [...document.querySelectorAll('body *')].filter((e) => e.checkVisibility() && !e.closest('.unseen, .skip') && e.getBoundingClientRect().right > innerWidth + 0.5 && !e.closest('#class-list'));
return [document.documentElement.scrollWidth, innerWidth, wide.map((e) => e.outerHTML.slice(0, 80))];
"""
SMALL_TARGETS = """
return [...document.querySelectorAll('button, a, input, select, summary')].filter((e) => e.checkVisibility({opacityProperty: true}) && !e.closest('.skip'))
    .map((e) => [e.outerHTML.slice(0, 80), e.closest('label')?.getBoundingClientRect() || e.getBoundingClientRect()]).filter(([, box]) => box.height < 24 || box.width < 24);
"""


@test
def everybody_can_use_it(browser, server):
    page = Page(browser, server).open()
    page.choose("Bag")
    page.draw()
    for width, height in ((1280, 900), (360, 740)):
        for mode in ("draw", "compare", "paint"):
            page.mode(mode)
            if mode == "compare" and width > 400:
                page.go()
            if mode == "paint" and width > 400:
                page.mode("draw")
                browser.click("#to-paint")
                browser.wait("return !document.getElementById('easel').hidden")
            browser.run("document.querySelector('details').open = true")
            for dark in (False, True):
                browser.screen(width, height, dark=dark, calm=True)
                looked, low = browser.run(CONTRAST)
                assert looked > 20 and not low, (width, mode, dark, low)
            nameless = browser.run(NAMELESS)
            assert not nameless, (width, mode, nameless)
            scrolled, window, wide = browser.run(WIDE)
            assert scrolled <= window == width and not wide, (width, mode, scrolled, wide)
            small = browser.run(SMALL_TARGETS)
            assert not small, (width, mode, small)
    assert browser.run("return getComputedStyle(document.querySelector('#layers i')).transitionDuration") == "0s"
    identifiers = browser.run("return [...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert len(identifiers) == len(set(identifiers))
    # what the browser tells a screen reader
    tree = browser.devtools("Accessibility.getFullAXTree")["nodes"]
    roles = {}
    for node in tree:
        if not node.get("ignored"):
            roles.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    assert "Seed" in roles["textbox"] and "Class" in roles["combobox"] and any("Depth" in name for name in roles["slider"]), roles
    assert roles["heading"][0].strip() == "variant" and "status" in roles and len(roles["main"]) == 1
    page.check_quiet()


@test
def keys_alone_are_enough(browser, server):
    page = Page(browser, server).open()
    # Tab goes through all there is, in the order in which it lies on the page, and the focus is seen
    order = []
    for _ in range(60):
        browser.press("Tab")
        at = browser.run("const e = document.activeElement; return e === document.body ? null : [e.id || e.value || e.textContent, e.matches(':focus-visible')]")
        if at is None or (order and at[0] == order[0]):
            break
        assert at[1], at
        order.append(at[0])
    assert "class-search" in order and "go" in order, order
    wanted = ["help-button", "draw", "class-search", "seed", "new-seed", "count", "fresh", "depth", "go"]
    assert [name for name in order if name in wanted] == wanted, order
    # a class, a seed, a depth, a picture: no pointer
    browser.press("/")
    browser.press(*"sand", "Down", "Up", "Enter")
    browser.press("Backspace", "Backspace", *"anklx", "Escape", *"ankle", "Enter", "Tab", "Control+a", *"21", "Tab")
    browser.press("[", "[")
    browser.run("document.getElementById('status').textContent = ''")
    browser.press("Control+Enter")
    browser.wait("return document.getElementById('status').textContent.startsWith('Done')")
    assert bytes_of(browser.run(SHOWN)) == generated("--class", "Ankle boot", "-s", "21", "--depth", "3")
    assert browser.run("return document.getElementById('status').textContent") == "Done: Ankle boot, seed 21, depth 3."
    browser.press("2")
    assert not browser.run("return document.getElementById('compare-view').hidden")
    browser.press("?")
    assert browser.run("return document.getElementById('help').open && document.getElementById('help').contains(document.activeElement)")
    browser.press("Escape")
    browser.wait("return !document.getElementById('help').open")
    browser.run("document.getElementById('letters').checked = false")
    browser.press("1")
    assert browser.run("return document.getElementById('draw-view').hidden")  # letters are off
    page.check_quiet()


def main():
    lacking = browsers.missing()
    if lacking:
        print(f"SKIP cli_page: {lacking}")
        return
    downloads = os.path.join(FOLDER.name, "downloads")
    os.mkdir(downloads)
    os.environ["XDG_CACHE_HOME"] = os.path.join(FOLDER.name, "cache")  # times are measured here, and kept nowhere
    with browsers.Browser(downloads) as browser, Server(VARIANT, FASHION, "--sweep", os.path.join(ROOT, "docs/sweep/fashion"), "-q") as server:
        run_tests(TESTS, FOLDER, browser, server)


if __name__ == "__main__":
    main()
