#!/usr/bin/env python3
"""Pictures of the page of `variant serve` for docs/: page-draw.png, page-compare.png, page-paint.png, page-phone.png.

    tools/page_pictures.py build/ci/variant docs     # needs chromium and chromedriver; pngquant, where it is there, makes them smaller
"""
import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests"))
import browser as browsers  # noqa: E402
from serving import Server  # noqa: E402

READY = "return document.body.classList.contains('ready') && /\\d/.test(document.getElementById('cost-time').textContent)"
DONE = "return document.getElementById('progress').hidden && document.getElementById('status').textContent.startsWith('Done')"


def draw(browser):
    browser.run("document.getElementById('status').textContent = ''")
    browser.click("#go")
    browser.wait(DONE)


def take(browser, folder, name, width, height, **screen):
    browser.screen(width, height, calm=True, **screen)
    browser.run("document.activeElement.blur(); scrollTo(0, 0)")
    path = os.path.join(folder, name)
    browser.picture(path)
    if shutil.which("pngquant"):
        subprocess.run(["pngquant", "--force", "--speed", "1", "--output", path, "128", path], check=True)


def main():
    variant, folder = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    os.chdir(ROOT)  # so that the model's path is the one that people type
    with browsers.Browser() as browser, Server(variant, "models/fashion", "--sweep", "docs/sweep/fashion", "-q") as server:
        server.get("/api/schedules?measure=true")
        browser.screen(1280, 920, calm=True)
        browser.open(f"http://localhost:{server.port}/")
        browser.wait(READY)
        for seed, name in ((3, "Bag"), (2, "Ankle boot"), (5, "Dress"), (7, "Sneaker")):
            browser.run("document.querySelectorAll('.chips button').forEach((chip) => chip.click())")
            browser.type("#class-search", name)
            browser.press("Enter")
            browser.type("#seed", str(seed))
            draw(browser)
        browser.run("document.getElementById('depth').focus()")
        browser.press("Left")
        take(browser, folder, "page-draw.png", 1280, 1010)
        browser.screen(1280, 920)
        browser.click("#to-paint")
        browser.wait("return !document.getElementById('easel').hidden && document.getElementById('mask').width === 32")
        browser.run("document.getElementById('easel').scrollIntoView({block: 'center'})")
        left, top, width, height = browser.run("const b = document.getElementById('mask').getBoundingClientRect(); return [b.left, b.top, b.width, b.height]")
        browser.drag([(left + x * width, top + y * height) for x, y in ((0.62, 0.42), (0.75, 0.5), (0.88, 0.4), (0.8, 0.6))])
        take(browser, folder, "page-paint.png", 1280, 780)
        browser.screen(1280, 920)
        browser.click("input[value=compare]")
        draw(browser)
        take(browser, folder, "page-compare.png", 1280, 940)
        browser.click("input[value=draw]")
        browser.click("#history-list li:nth-child(7) button")
        browser.screen(360, 780, dark=True, calm=True, zoom=2)
        browser.run("document.activeElement.blur(); document.getElementById('stage').scrollIntoView()")
        path = os.path.join(folder, "page-phone.png")
        browser.picture(path)
        if shutil.which("pngquant"):
            subprocess.run(["pngquant", "--force", "--speed", "1", "--output", path, "128", path], check=True)


if __name__ == "__main__":
    main()
