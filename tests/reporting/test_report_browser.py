"""The page in a real browser, headless: drawn without a network, light and dark, on a phone.

Skipped without Chromium; ``make test-report`` sets QADAPT_REQUIRE_BROWSER, and then it fails.
QADAPT_SCREENSHOTS=DIR saves the screenshots.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from reporting_helpers import usual

import qadapt as qa
from qadapt.costing import Prices, cost

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.timeout(400)  # a browser on a busy machine

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)
DARK = "--blink-settings=preferredColorScheme=0"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("page") / "report.html"
    qa.report(usual(), cost(5183, 384, "binary", prices=Prices(3.8, 0.1)), path=place)
    return place


Shot = Callable[..., np.ndarray]


@pytest.fixture
def shot(page: Path, tmp_path: Path) -> Shot:
    """``shot("desk", 1280, 1600)``: the page's pixels, float ``(height, width, 3)``."""
    if BROWSER is None:
        if os.environ.get("QADAPT_REQUIRE_BROWSER"):
            pytest.fail("no Chromium on PATH (Debian: apt-get install chromium)", pytrace=False)
        pytest.skip("no Chromium on PATH")
    keep = os.environ.get("QADAPT_SCREENSHOTS")
    folder = Path(keep) if keep else tmp_path
    folder.mkdir(parents=True, exist_ok=True)

    def shoot(name: str, width: int, height: int, *words: str) -> np.ndarray:
        import matplotlib.image

        picture = folder / f"{name}.png"
        command = [
            str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--disable-dev-shm-usage", f"--user-data-dir={tmp_path / 'profile'}",
            "--proxy-server=127.0.0.1:9", f"--window-size={width},{height}",
            f"--screenshot={picture}", *words, page.as_uri(),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=100)
        pixels = matplotlib.image.imread(picture)[:, :, :3]
        assert pixels.shape[:2] == (height, width)
        return pixels

    return shoot


def ink(pixels: np.ndarray, paper: np.ndarray) -> np.ndarray:
    """Mask of drawn pixels."""
    return np.abs(pixels - paper).max(axis=2) > 0.08


def coloured(pixels: np.ndarray) -> np.ndarray:
    """Mask of colored pixels that are not grey."""
    return pixels.max(axis=2) - pixels.min(axis=2) > 0.25


def test_a_wide_light_window(shot: Shot) -> None:
    pixels = shot("desk", 1280, 1400)
    paper = pixels[2, 2]
    assert paper.min() > 0.95, "light"
    drawn = ink(pixels, paper)
    assert 0.01 < drawn.mean() < 0.3
    # Two plots side by side, with colored points.
    plots = coloured(pixels)[300:740]
    assert plots[:, 100:640].any() and plots[:, 640:1180].any()


def test_dark_mode(shot: Shot) -> None:
    light, dark = shot("light", 900, 1200), shot("dark", 900, 1200, DARK)
    paper = dark[2, 2]
    assert paper.max() < 0.2 < light[2, 2].min()
    # Both modes draw the same elements: none is dark on dark.
    one, other = ink(light, light[2, 2]).mean(), ink(dark, paper).mean()
    assert 0.7 < other / one < 1.4
    assert coloured(dark)[250:700].any()


def test_a_narrow_window(shot: Shot) -> None:
    pixels = shot("phone", 390, 2400)
    paper = pixels[2, 2]
    drawn = ink(pixels, paper)
    # Nothing reaches beyond the page: its margins are empty, wide tables scroll inside of it.
    assert not drawn[:, -8:].any() and not drawn[:, :8].any()
    # The plots are stacked, and each takes almost the full width.
    rows = np.flatnonzero(coloured(pixels)[:, 50:370].any(axis=1))
    assert rows.min() < 400 and rows.max() > 1000
