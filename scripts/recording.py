#!/usr/bin/env python3
"""Makes an SVG of what a command showed on a terminal: scripts/recording.py TYPESCRIPT TIMING SVG COMMAND [FROM=TO…]

Record with util-linux' script, in a terminal of 100 columns:

  script -q -e -f -O build.typescript -T build.timing -c 'imgforge build web --publish'

The picture plays the run in 20 seconds, with waits shortened in proportion, and stays at its end. It needs no program and no
font: browsers, and the pages that GitHub and GitLab show, play it by CSS. Who asks for less motion sees the end at once.
COMMAND stands above it. FROM=TO shows another path in place of one of the host that recorded.
"""
import html
import re
import sys
from pathlib import Path

COLUMNS, ROWS, SECONDS, FRAMES = 100, 22, 20, 60
WIDTH, HEIGHT = 8.4, 18
COLOURS = {31: "#e06c75", 32: "#7fc97f", 33: "#e5c07b", 34: "#61afef", 35: "#c678dd", 36: "#56b6c2"}


class Screen:
    """As much of a terminal as progress lines need: cells with a style, and the scrolling of what is full."""

    def __init__(self):
        self.lines, self.row, self.column, self.style = [{}], 0, 0, ""

    def feed(self, text):
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b.|[^\x1b]", text):
            if len(part) == 1:
                self.character(part)
            elif part[1] == "[":
                self.control(part[-1], part[2:-1])

    def character(self, char):
        if char == "\n":
            self.down(1)
        elif char == "\r":
            self.column = 0
        elif char == "\b":
            self.column = max(0, self.column - 1)
        elif char >= " ":
            if self.column >= COLUMNS:
                self.column = 0
                self.down(1)
            self.lines[self.row][self.column] = (char, self.style)
            self.column += 1

    def down(self, count):
        self.row += count
        while len(self.lines) <= self.row:
            self.lines.append({})

    def control(self, kind, values):
        numbers = [int(n) if n.isdigit() else 0 for n in values.split(";")]
        count = max(1, numbers[0])
        if kind == "A":
            self.row = max(0, self.row - count)
        elif kind == "B":
            self.down(count)
        elif kind == "C":
            self.column += count
        elif kind == "D":
            self.column = max(0, self.column - count)
        elif kind == "G":
            self.column = count - 1
        elif kind == "K":
            line = self.lines[self.row]
            self.lines[self.row] = {} if numbers[0] == 2 else {n: c for n, c in line.items() if n < self.column}
        elif kind == "J":
            self.control("K", "0")
            del self.lines[self.row + 1:]
        elif kind == "m":
            for number in numbers:
                if number in COLOURS:
                    self.style = COLOURS[number]
                elif number in (0, 39):
                    self.style = ""

    def shown(self):
        """The last rows, each as runs of equal style: ((colour, text), …)."""
        out = []
        for line in self.lines[-ROWS:]:
            runs, last = [], None
            for at in range(max(line, default=-1) + 1):
                char, style = line.get(at, (" ", ""))
                if last != style:
                    runs.append([style, ""])
                    last = style
                runs[-1][1] += char
            out.append(tuple((style, text) for style, text in runs))
        return tuple(out)


def frames(typescript, timing, paths):
    """[(second, rows)] at most FRAMES of them, in the order of time."""
    data, at, second, screen, last, out = typescript, 0, 0.0, Screen(), -1.0, []
    steps = [line.split() for line in timing.splitlines() if line.strip()]
    steps = [(float(step[-2]), int(step[-1])) for step in steps if step[0] in "O" or len(step) == 2]
    whole = sum(wait for wait, _ in steps) or 1.0
    for wait, count in steps:
        second += wait
        text = data[at:at + count].decode("utf-8", "replace")
        for old, new in paths:
            text = text.replace(old, new)
        screen.feed(text)
        at += count
        if second - last >= whole / FRAMES:
            last = second
            out.append((second / whole * SECONDS, screen.shown()))
    out.append((SECONDS, screen.shown()))
    return out


def row(runs):
    spans, column = [], 0
    for colour, text in runs:
        fill = f' fill="{colour}"' if colour else ""
        if text.strip():
            spans.append(f'<tspan x="{10 + column * WIDTH:.0f}"{fill}>{html.escape(text.rstrip())}</tspan>')
        column += len(text)
    return "".join(spans)


def picture(played, command):
    """Equal rows of later frames are drawn once: each row of the screen has its texts with their times."""
    height = 30 + (ROWS + 1) * HEIGHT
    texts, rules, number = [], [], 0
    for at in range(ROWS):
        since, now = played[0][0], None
        spans = []
        for second, rows in [*played, (None, None)]:
            new = row(rows[at]) if rows is not None and at < len(rows) else ""
            if second is None or new != now:
                if now:
                    spans.append((since, second, now))
                since, now = second, new
        for begin, end, text in spans:
            number += 1
            y = 30 + (at + 1) * HEIGHT
            first = 0 if begin is None else begin / SECONDS * 100
            if end is None:
                rules.append(f"#t{number}{{animation:k{number} {SECONDS}s step-end both}}"
                             f"@keyframes k{number}{{0%{{opacity:0}}{min(first, 99.9):.2f}%{{opacity:1}}}}")
            else:
                rules.append(f"#t{number}{{opacity:0;animation:k{number} {SECONDS}s step-end}}@keyframes k{number}"
                             f"{{0%{{opacity:0}}{first:.2f}%{{opacity:1}}{end / SECONDS * 100:.2f}%{{opacity:0}}}}")
            texts.append(f'<text id="t{number}" y="{y}" class="{"e" if end is None else "p"}">{text}</text>')
    prompt = f'<text y="30"><tspan x="10" fill="#7fc97f">$ </tspan><tspan>{html.escape(command)}</tspan></text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {20 + COLUMNS * WIDTH:.0f} {height}" role="img" '
        f'aria-label="Recording of: {html.escape(command)}">'
        "<style>text{font:14px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#d7dae0;white-space:pre}"
        + "".join(rules)
        + "@media (prefers-reduced-motion:reduce){text.e{animation:none!important}text.p{display:none}}</style>"
        f'<rect width="100%" height="100%" rx="8" fill="#1e2127"/>{prompt}{"".join(texts)}</svg>\n'
    )


def main():
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    typescript, timing, svg = (Path(name) for name in sys.argv[1:4])
    paths = [pair.split("=", 1) for pair in sys.argv[5:]]
    data = typescript.read_bytes()
    if data.startswith(b"Script started"):
        data = data.split(b"\n", 1)[1]
    data = data.rsplit(b"\nScript done", 1)[0]
    svg.write_text(picture(frames(data, timing.read_text(), paths), sys.argv[4]))
    size = svg.stat().st_size
    if size > 500 * 1024:
        sys.exit(f"{svg} has {size // 1024} KiB, more than 500")
    print(f"{svg}: {size // 1024} KiB")


if __name__ == "__main__":
    main()
