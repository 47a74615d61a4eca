"""The page in a browser: two widths, light and dark; what is looked at are its pixels."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from made_runs import made_run, made_split, made_sweep

from tierfed.report.page import report_of
from tierfed.report.page.svg import COLOURS

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to look at the page with"),
]
PADDING = 16  # pixels beside the page, on which nothing may be drawn
TALL = 1800


def look(page: Path, width: int, dark: bool) -> np.ndarray:
    """Return what Chromium shows of a page."""
    png = page.with_name(f"{page.stem}-{width}-{dark}.png")
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--window-size={width},{TALL}"]
    command += [f"--user-data-dir={page.parent / 'profile'}", f"--screenshot={png}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=90)
    with Image.open(png) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("what", ["run", "sweep"])
def test_two_widths_in_light_and_dark(what: str, tmp_path: Path) -> None:
    """The ground is the theme's, nothing runs over the edge, and there is something to read, in grey as well."""
    if what == "run":
        made = made_run(tmp_path / "7f3a90c2")
        made_split(made, 30, [f"label {at}" for at in range(10)])
    else:
        made = made_sweep(tmp_path / "s-1", {f"eden(bits={at})": [0.5 + at / 20, 0.52 + at / 20] for at in range(1, 9)})
    page = report_of(made).save(tmp_path / "report.html")
    for width in (400, 1280):
        for dark in (False, True):
            shown = look(page, width, dark)
            assert shown.shape == (TALL, width, 3)
            ground = [int(COLOURS["surface"][dark][at : at + 2], 16) for at in (1, 3, 5)]
            edges = np.concatenate([shown[:, : PADDING - 4], shown[:, -(PADDING - 4) :]], axis=1)
            assert (edges == ground).all(), (width, dark)
            grey = shown.astype(float) @ [0.2126, 0.7152, 0.0722]
            apart = abs(grey - grey[0, 0])
            assert (apart > 100).mean() > 0.01  # texts and lines are as far from their ground without their colour
