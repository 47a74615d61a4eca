"""A terminal that several threads write to, with a picture at its bottom that is redrawn.

    with Picture(stream, draw, colours=True) as picture:
        picture.write("⚠ lost c-us-05", "yellow")           above the picture

rich's `Live` works out how far to move the cursor up and draws, then writes that a moment later; a
line that another thread writes in between leaves half of the picture standing.  So here whoever
writes has the console for all of it, and the redrawing thread is one of those.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tierfed.report.fold import folded
from tierfed.report.progress import Line

_PERIOD = 0.125  # seconds between two drawings


class _Shared(Console):
    """A console that one thread at a time enters; rich enters it to print, and writes when it leaves."""

    def __init__(self, stream: TextIO, *, colours: bool) -> None:
        super().__init__(file=stream, highlight=False, no_color=not colours)
        self.turn = threading.RLock()

    def __enter__(self) -> Self:
        self.turn.acquire()
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            self.turn.release()


class Picture:
    """See the module docstring; `draw(width, height)` gives the lines of the picture."""

    def __init__(self, stream: TextIO, draw: Callable[[int, int], list[Line]], *, colours: bool) -> None:
        self._console = _Shared(stream, colours=colours)
        self._draw = draw
        self._live = Live(get_renderable=self._text, console=self._console, auto_refresh=False, transient=True)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._redraw, name="picture", daemon=True)

    def _text(self) -> Text:
        size = self._console.size
        lines = self._draw(size.width, size.height - 1)
        return Text("\n").join(Text.assemble(*line, no_wrap=True) for line in lines)

    def _redraw(self) -> None:
        while not self._over.wait(_PERIOD):
            self.redraw()

    def redraw(self) -> None:
        """Draw the picture as it is now."""
        with self._console.turn:
            self._live.refresh()

    def write(self, text: str, style: str = "") -> None:
        """Write lines above the picture, which stay."""
        self._console.print(folded(text, self._console.width), style=style, markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        with self._console.turn:
            self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the picture away; what was written above it stays."""
        self._over.set()
        self._thread.join()
        with self._console.turn:
            self._live.stop()
