"""What stands on a terminal after a program has written to it: a terminal in a few lines."""

from __future__ import annotations

import re

_PIECES = re.compile(r"(\033\[[?\d;]*[a-zA-Z])|(\r)|(.|\n)")


def screen(written: str) -> list[str]:
    """Return the lines that are not empty, on a terminal that is tall enough; it knows what rich uses."""
    lines, row, column = [""], 0, 0
    for code, start, plain in _PIECES.findall(written):
        if code.endswith("A"):
            row -= int(code[2:-1] or 1)
        elif code.endswith("K"):
            lines[row] = ""
        elif start:
            column = 0
        elif plain == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif plain:
            lines[row] = lines[row][:column].ljust(column) + plain + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines if line.strip()]
