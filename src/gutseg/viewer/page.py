"""The viewer as a part of a report, and as a page of its own."""

import html
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from gutseg.reporting.parts import Html
from gutseg.viewer.encoding import payload
from gutseg.viewer.scans import Shown

SCRIPTS = ("volume.js", "slices.js", "surface.js", "panel.js", "viewer.js")
STYLE = "viewer.css"
# Bytes of a report that the viewer may take; the whole page stays below 25 MB.
BUDGET = 12_000_000
# JPEG's quality and how much smaller the image gets, tried in this order until all scans fit
SAVINGS = ((85, 1), (70, 1), (80, 2), (60, 2), (60, 4))


def part(
    scans: Sequence[Shown], budget: int = BUDGET, *, name: str = "viewer", about: str = "Scans"
) -> Html:
    """Return a viewer of some scans that a page carries inside; nothing is fetched.

    name: of the part. about: how the caption begins. budget: bytes; images are compressed more,
    then shrunk, until they fit. Masks stay as they are. Raises ValueError where nothing helps, or
    without scans.
    """
    if not scans:
        raise ValueError("a viewer needs a scan; expected one or more")
    for quality, reduce in SAVINGS:
        texts = [_in_script(payload(one, quality=quality, reduce=reduce)) for one in scans]
        size = sum(map(len, texts))
        if size <= budget:
            break
    else:
        raise ValueError(
            f"{len(scans)} scans take {size} bytes in a page at the lowest quality; at most "
            f"{budget} were allowed, so show fewer"
        )
    blocks = "".join(
        f'<script type="application/json" data-scan="{html.escape(one.name)}">{content}</script>'
        for one, content in zip(scans, texts, strict=True)
    )
    saved = f" and shrunk to 1/{reduce} a side" if reduce > 1 else ""
    names = ", ".join(one.name for one in scans)
    return Html(
        name=name,
        caption=f"{about}: {names}",
        note=(
            f"Images are compressed (JPEG, quality {quality}){saved}, masks are complete; "
            "gutseg view shows every scan uncompressed, in 256 greys."
        ),
        html=(
            f"<style>{asset(STYLE)}</style>"
            f'<div class="gsv-root">{blocks}<noscript>The viewer needs JavaScript.</noscript></div>'
            f"<script>{script()}</script>"
        ),
    )


def script() -> str:
    """Return the viewer's JavaScript as one script that leaves no names behind."""
    inner = "\n".join(asset(name) for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{inner}\n}})();'


def asset(name: str) -> str:
    """Return a file of assets/."""
    return (files("gutseg.viewer") / "assets" / name).read_text(encoding="utf-8")


def page(title: str) -> str:
    """Return a page that asks its server for scans.json, viewer.css and viewer.js."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{html.escape(title)} · gutseg view</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="viewer.css">
</head>
<body class="gsv-page">
<main>
<h1>{html.escape(title)}</h1>
<div class="gsv-root" data-scans="scans.json">
<noscript>The viewer needs JavaScript.</noscript></div>
<p>Not for clinical use.</p>
</main>
<script src="viewer.js"></script>
</body>
</html>
"""


def _in_script(content: dict[str, Any]) -> str:
    """Return JSON that cannot end the script element around it."""
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
