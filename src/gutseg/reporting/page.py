"""A report as one HTML page: everything inside, nothing asked of any network."""

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template

from gutseg.reporting import markup
from gutseg.reporting.parts import Report

# how a page begins that this program wrote
BEGINS = b"<!doctype html>\n<!-- gutseg report -->"
# of the page, as GitHub, mail and browsers on phones still take it
MOST_BYTES = 25 * 10**6


def page(report: Report) -> str:
    """Return the page; the names of the report's parts are unique (`cells.with_unique_names`)."""
    sections = "\n".join(markup.section(one) for one in report.sections)
    scripts = {"plotly": plotly_js(), "script": _asset("page.js"), "theme": _asset("theme.js")}
    links = (
        f'<li><a href="#{escape(one.key)}">{escape(one.title)}</a></li>' for one in report.sections
    )
    return Template(_asset("page.html")).substitute(
        scripts,
        policy=policy([*scripts.values(), *_scripts(sections)]),
        title=escape(report.title),
        about=escape(report.about),
        style=_asset("page.css"),
        links="\n".join(links),
        sections=sections,
    )


def policy(scripts: list[str]) -> str:
    """Return a Content-Security-Policy that runs these scripts alone and forbids connections."""
    sums = {b64encode(sha256(script.encode()).digest()).decode() for script in scripts}
    allowed = " ".join(f"'sha256-{one}'" for one in sorted(sums))
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; font-src data:; connect-src 'none'; base-uri 'none'; "
        "form-action 'none'"
    )


def _scripts(content: str) -> list[str]:
    """Return the scripts of Html parts; all other text is escaped and cannot hold one."""
    return re.findall(r'<script(?: type="module")?>(.*?)</script>', content, re.DOTALL)


@cache
def plotly_js() -> str:
    """Return Plotly's script as the installed package brings it (MIT; 4.8 MB)."""
    script = files("plotly").joinpath("package_data/plotly.min.js").read_text(encoding="utf-8")
    return script.replace("</script", "<\\/script")


def _asset(name: str) -> str:
    return files("gutseg.reporting").joinpath("assets", name).read_text(encoding="utf-8")
