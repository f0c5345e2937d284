"""What a test asks of an open page: its errors, its requests, its faults of accessibility."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DESKTOP, PHONE = (1280, 900), (390, 844)


@dataclass
class Visit:
    """An open page and what was seen of it since before it loaded."""

    # Playwright's page
    page: Any
    # errors and warnings of its console, and exceptions that nothing caught
    errors: list[str] = field(default_factory=list)
    # every address that it asked for
    requests: list[str] = field(default_factory=list)

    def left_the_page(self, allowed: tuple[str, ...] = ("file:", "data:", "blob:")) -> list[str]:
        """Return the addresses asked for that do not begin with an allowed one."""
        return [address for address in self.requests if not address.startswith(allowed)]

    def axe_faults(self) -> list[str]:
        """Return the serious and critical faults that axe-core finds, with their places."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [
            f"{fault['id']}: {node['html'][:120]} {node['failureSummary'][:200]}"
            for fault in found
            if fault["impact"] in ("serious", "critical")
            for node in fault["nodes"]
        ]

    def wait_for(self, expression: str, seconds: float = 20) -> None:
        """Wait until an expression is true; Playwright's own way needs a page that allows eval."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            if time.monotonic() > end:
                raise TimeoutError(f"{expression} did not become true in {seconds} s")
            self.page.wait_for_timeout(50)

    def draw_figures(self) -> None:
        """Scroll to every figure of a report, as a reader would, until each has drawn itself."""
        for plot in self.page.locator(".plot").all():
            plot.scroll_into_view_if_needed()
        self.wait_for("!document.querySelector('.plot:not([data-drawn])')")

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )


def visit(
    browser: Any,
    contexts: list,
    place: str | Path,
    *,
    width: int = DESKTOP[0],
    height: int = DESKTOP[1],
    dark: bool = False,
) -> Visit:
    """Open a file or an address in a window of its own; `contexts` learns of it, to close it."""
    scheme = "dark" if dark else "light"
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        has_touch=width < 600,
        reduced_motion="reduce",
    )
    contexts.append(context)
    context.set_default_timeout(20_000)
    page = context.new_page()
    seen = Visit(page)
    page.on(
        "console",
        lambda message: (
            seen.errors.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.goto(place.resolve().as_uri() if isinstance(place, Path) else place)
    return seen
