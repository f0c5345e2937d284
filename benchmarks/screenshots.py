"""Draw docs/images/report_*.png: what `gutseg report` writes for the demo's phantom.

python -m benchmarks.screenshots [PAGE] (demo/report/report.html, which `make demo` writes)

Chromium is asked through Playwright. Only a phantom's page belongs in the repository.
"""

import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import sync_playwright

FOLDER = Path("docs/images")
# what GitHub shows without a wait
MOST_BYTES = 500_000


class Shot(NamedTuple):
    """A window on the page."""

    name: str
    # the part or section at the top of the window
    anchor: str
    width: int
    height: int
    dark: bool = False


SHOTS = (
    Shot("report_data", "organs_per_slice_chart", 1280, 1010),
    Shot("report_viewer", "scans", 1280, 900, dark=True),
    Shot("report_phone", "results", 390, 860),
)


def main(page: Path) -> None:
    """Write every picture of SHOTS."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise FileNotFoundError("no chromium on the PATH; apt-get install chromium")
    if not page.is_file():
        raise FileNotFoundError(f"{page} does not exist; run make demo")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for shot in SHOTS:
            path = FOLDER / f"{shot.name}.png"
            path.write_bytes(_taken(browser, page, shot))
            size = path.stat().st_size
            print(f"{path}: {size:,} bytes{' (too heavy)' if size > MOST_BYTES else ''}")
        browser.close()


def _taken(browser: Any, page: Path, shot: Shot) -> bytes:
    tab = browser.new_page(
        viewport={"width": shot.width, "height": shot.height},
        color_scheme="dark" if shot.dark else "light",
        reduced_motion="reduce",
    )
    tab.goto(page.resolve().as_uri())
    # figures above draw themselves when they come near and move what is below
    for _ in range(2):
        tab.evaluate("key => document.getElementById(key).scrollIntoView()", shot.anchor)
        tab.wait_for_timeout(1500)
    taken = tab.screenshot()
    tab.close()
    return taken


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("demo/report/report.html"))
