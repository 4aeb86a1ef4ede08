#!/usr/bin/env python3
"""Turns the plain output of `sagebrush quickstart` into the picture of a terminal, as SVG without fonts or scripts.

    sagebrush quickstart --data-dir data > run.txt
    python terminal_svg.py "sagebrush quickstart --data-dir data" < run.txt > quickstart.svg
"""

import html
import re
import sys

CELL, LINE, MARGIN, BAR = 8.0, 18.5, 22, 38
PAPER, INK, DIM, ACCENT, GOOD = "#12161c", "#d6dde6", "#7d8896", "#7cc4ff", "#7ee2a8"
HEADING = re.compile(r"^(\d)  (.*?) (─+)$")
HEADER = re.compile(r"^ {3}(after|ratings per|epoch {3}|error on test|user \S+ rated|recommended,|step )")


def spans(line):
    """The line as pieces of (text, colour, weight)."""
    heading = HEADING.match(line)
    if line.startswith("$ "):
        return [("$ ", GOOD, "bold"), (line[2:], INK, "bold")]
    if heading:
        return [(f"{heading[1]}  {heading[2]} ", ACCENT, "bold"), (heading[3], DIM, "normal")]
    if HEADER.match(line) or line.startswith("   memory:") or line.startswith("   all ") and "pairs;" in line:
        return [(line, DIM, "normal")]
    pieces = re.split(r"([█▉▊▋▌▍▎▏]+|●)", line)
    return [(piece, ACCENT if index % 2 and piece != "●" else GOOD if index % 2 else INK, "normal")
            for index, piece in enumerate(pieces) if piece]


def main():
    lines = ["$ " + sys.argv[1]] + sys.stdin.read().rstrip("\n").split("\n")
    width = max(96, *(len(line) for line in lines)) * CELL + 2 * MARGIN
    height = len(lines) * LINE + MARGIN + BAR
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="13.3">',
        f"<title>{html.escape(sys.argv[1])}</title>",
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="10" fill="{PAPER}"/>',
    ]
    for index, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        out.append(f'<circle cx="{MARGIN + index * 20}" cy="19" r="6" fill="{colour}"/>')
    for number, line in enumerate(lines):
        column, y = 0, BAR + (number + 0.8) * LINE
        for text, colour, weight in spans(line):
            for word in re.finditer(r"\S+", text):
                # Every word has its own place and length, so that columns line up in any font.
                x, length = MARGIN + (column + word.start()) * CELL, len(word[0]) * CELL
                out.append(
                    f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-weight="{weight}" '
                    f'textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs">{html.escape(word[0])}</text>'
                )
            column += len(text)
    out.append("</svg>")
    print("\n".join(out))


if __name__ == "__main__":
    main()
