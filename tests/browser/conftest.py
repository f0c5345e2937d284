"""One headless Chromium for all tests of pages; `open_page` watches what a page says and asks."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest

REMEDY = "install it: apt-get install chromium (Debian), and pip install -e '.[dev]'"


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """Debian's Chromium under Playwright; skipped where it is missing, but never in CI."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        missing = f"the pages are tested in Chromium through Playwright; {REMEDY}"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    with sync_playwright() as playwright:
        # a container has no user namespaces for the sandbox and little shared memory
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        started = playwright.chromium.launch(executable_path=path, args=arguments)
        yield started
        started.close()


@pytest.fixture
def open_page(browser) -> Iterator[Callable]:
    """A function that opens an address or a file: (place, width=, height=, dark=) to a Visit."""
    from browsing import visit

    contexts: list = []
    yield lambda place, **settings: visit(browser, contexts, place, **settings)
    for context in contexts:
        context.close()
