"""terminal.py - a terminal in memory: a screen of cells, a cursor, and the pictures of kitty's, iTerm2's and the sixel protocol that a program
has drawn on it; and what runs a program inside a pseudo terminal of any size. What it does not know is an error. Used by tests/cli_show.py."""
import base64
import errno
import fcntl
import os
import pty
import re
import select
import struct
import termios
import time

import pixels

CELL = (10, 20)  # pixels of a cell that the pseudo terminals tell
SETTLED = b"\x1b\\\x1b[0m\x1b[999B\r\r\n"  # ends what is open, goes below all
BLANK = (" ", None, None)
TOKEN = re.compile(
    rb"\x1b_G(?P<kitty>[^\x1b]*)\x1b\\|\x1b\]1337;File=(?P<iterm>[^\x07]*)\x07|\x1bP(?P<sixel>[0-9;]*q[^\x1b]*)\x1b\\"
    rb"|\x1b(?P<end>\\)|\x1b\[(?P<csi>[0-9;]*[A-Za-z])|\x1b(?P<saved>[78])|(?P<control>[\r\n])|(?P<text>[^\x00-\x1f\x7f])", re.S)


class Placed:
    """A picture: where it is, and which it is of kitty's."""

    def __init__(self, row, column, picture, keys):
        self.row, self.column, self.picture, self.keys = row, column, picture, keys


def sixel(data):
    """The picture of a sixel sequence: pixels that were not set are None."""
    head, _, body = data.partition("q")
    assert head.split(";")[:2] in (["0", "1"],), f"sixel parameters {head}: what is not set would be painted"
    raster = re.match(r'"(\d+);(\d+);(\d+);(\d+)', body)
    width, height = int(raster.group(3)), int(raster.group(4))
    rows = [[None] * width for _ in range(height)]
    x = y = 0
    colours, colour = {}, None
    for define, choose, repeat, repeated, one, move in re.findall(r"#(\d+;2;\d+;\d+;\d+)|#(\d+)|!(\d+)([?-~])|([?-~])|([$-])", body[raster.end():]):
        if define:
            number, _, *parts = map(int, define.split(";"))
            colours[number] = tuple(round(part * 255 / 100) for part in parts)
            colour = number
        elif choose:
            colour = int(choose)
        elif move:
            x, y = 0, y + (6 if move == "-" else 0)
        else:
            bits = ord(repeated or one) - 63
            for _ in range(int(repeat or 1)):
                for bit in range(6):
                    if bits >> bit & 1:
                        rows[y + bit][x] = colours[colour]
                x += 1
    return rows


class Screen:
    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.cells = {}       # (row from the first line on, column): (letter, foreground, background)
        self.top = 0          # lines that have scrolled out
        self.row = self.column = 0
        self.colour = [None, None]
        self.saved = None
        self.pictures = []    # everything placed, in order
        self.standing = []    # the cells each time that the cursor goes up: what was drawn before
        self.pieces = None

    def feed(self, data):
        at = 0
        while at < len(data):
            token = TOKEN.match(data, at)
            if token is None:  # a letter of UTF-8
                assert data[at] >= 0x80, f"unknown: {data[at:at + 40]!r}"
            size = {0xC: 2, 0xD: 2, 0xE: 3, 0xF: 4}.get(data[at] >> 4, 1) if data[at] >= 0x80 else 1
            if data[at] >= 0x80 or token.lastgroup == "text":
                self.put(data[at:at + size].decode())
                at += size
                continue
            getattr(self, "on_" + token.lastgroup)(token.group(token.lastgroup))
            at = token.end()

    def put(self, letter):
        if self.column == self.columns:  # text goes on in the next line, which no picture may do
            assert letter != "▀", "a picture is wider than the screen"
            self.on_control(b"\n")
            self.column = 0
        self.cells[self.row, self.column] = (letter, *self.colour)
        self.column += 1

    def on_control(self, which):
        if which == b"\r":
            self.column = 0
        else:
            self.row += 1
            self.top = max(self.top, self.row - self.rows + 1)

    def on_end(self, which):
        pass  # of a string that was cut

    def on_saved(self, which):
        if which == b"7":
            self.saved = (self.row - self.top, self.column)
        else:
            self.row, self.column = self.saved[0] + self.top, self.saved[1]

    def on_csi(self, text):
        numbers, letter = [int(n) if n else 0 for n in text[:-1].decode().split(";")], chr(text[-1])
        by = max(numbers[0], 1)
        if letter == "A":
            self.standing.append(dict(self.cells))
            assert self.row - by >= self.top, "up beyond what can be reached"
            self.row -= by
        elif letter == "B":
            assert by == 999 or self.row + by - self.top < self.rows, "down beyond the screen"
            self.row = min(self.row + by, self.top + self.rows - 1)
        elif letter == "C":
            self.column += by
        elif letter == "K":
            for column in range(self.column, self.columns):
                self.cells.pop((self.row, column), None)
        elif letter == "m" and numbers == [0]:
            self.colour = [None, None]
        elif letter == "m" and numbers[0] in (38, 48):
            kind = {2: tuple, 5: lambda rest: rest[0]}[numbers[1]]
            self.colour[numbers[0] == 48] = kind(numbers[2:])
        else:
            raise AssertionError(f"unknown: ESC [ {text}")

    def place(self, picture, keys):
        self.pictures.append(Placed(self.row, self.column, picture, keys))

    def on_kitty(self, text):
        keys, _, letters = text.partition(b";")
        keys = dict(pair.split("=") for pair in keys.decode().split(","))
        assert len(letters) <= 4096, "a piece that is too long"
        if self.pieces is None:
            assert keys["a"] == "T" and keys["f"] == "100" and keys["q"] == "2" and keys["C"] == "1", keys
            self.pieces = (keys, [])
        else:
            assert set(keys) == {"m"}
        self.pieces[1].append(letters)
        if keys["m"] == "0":
            self.place(pixels.png(base64.b64decode(b"".join(self.pieces[1]), validate=True)), self.pieces[0])
            self.pieces = None

    def on_iterm(self, text):
        keys, _, letters = text.decode().partition(":")
        keys = dict(pair.split("=") for pair in keys.split(";"))
        data = base64.b64decode(letters, validate=True)
        assert keys["inline"] == "1" and int(keys["size"]) == len(data), keys
        self.place(pixels.png(data), keys)

    def on_sixel(self, text):
        self.place(sixel(text.decode()), {})

    def line(self, row):
        return "".join(self.cells.get((row, column), BLANK)[0] for column in range(self.columns)).rstrip()

    def lines(self):
        return [self.line(row) for row in range(self.row + 1)]


def run(command, size=(80, 24), environment=None, interrupt_after=None, stdout=None, measured=True):
    """Runs a command in a terminal of columns and rows; returns (exit status, Screen, bytes, whether the terminal is set as it was).
    interrupt_after: types Ctrl-C once that has been written. stdout: a file instead, the terminal being stderr alone."""
    columns, rows = size
    child, master = pty.fork()
    if child == 0:
        os.environ.clear()
        os.environ.update({"PATH": "/usr/bin:/bin", "TERM": "xterm-256color", **(environment or {})})
        ready = os.open(os.ttyname(2), os.O_RDWR)
        fcntl.ioctl(ready, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, columns * CELL[0] * measured, rows * CELL[1] * measured))
        os.close(ready)
        if stdout:
            os.dup2(os.open(stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), 1)
        try:
            os.execv(command[0], command)
        finally:
            os._exit(127)
    before, seen, ends = None, b"", time.monotonic() + 120
    while time.monotonic() < ends:
        if not select.select([master], [], [], 1)[0]:
            continue
        try:
            part = os.read(master, 65536)
        except OSError as error:
            if error.errno == errno.EIO:
                break
            raise
        if not part:
            break
        before = before or termios.tcgetattr(master)
        seen += part
        if interrupt_after and interrupt_after in seen:
            os.write(master, b"\x03")
            interrupt_after = None
    same = before is None or termios.tcgetattr(master) == before
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(master)
    screen = Screen(columns, rows)
    # At Ctrl-C a terminal throws away what it was sent and had not shown, so that parts of what comes before are missing.
    screen.feed(seen if status != 130 else SETTLED + seen.rpartition(SETTLED)[2])
    return status, screen, seen, same
