"""gutseg report: what it takes, where it writes, what it refuses, and its page in Chromium."""

import re

import pytest
from browsing import DESKTOP, PHONE

from gutseg.report import build, report


@pytest.fixture(scope="module")
def written(trained, tmp_path_factory):
    """The report on a blend, its run and their data."""
    out = tmp_path_factory.mktemp("reported") / "r" / "report.html"
    report([trained.blend, trained.run], data=trained.cache, out=out)
    return out


def test_all_chapters_are_in_the_page(written):
    page = written.read_text()
    titles = re.findall(r"<h2 [^>]*>(.*?) <a", page)
    assert "<h1>blend, tiny</h1>" in page and len(page) < 25e6
    assert titles[0] == "Results" and titles.index("Scans to scroll through") < len(titles) - 2
    assert {"Training", "Training of tiny", "Data: organs"} <= {*titles}
    listed = (written.parent / "tables" / "gutseg_tables.csv").read_text()
    assert all(name in listed for name in ("results_scores.csv", "suspicious_scans.csv"))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_whole_page_has_no_fault(open_page, written, size, dark):
    seen = open_page(written, width=size[0], height=size[1], dark=dark)
    seen.draw_figures()
    seen.page.locator("#scans canvas").first.scroll_into_view_if_needed()
    assert seen.overflow() == 0
    assert seen.axe_faults() == []
    assert (seen.errors, seen.left_the_page()) == ([], [])


def test_the_viewer_works_inside_the_page(open_page, written):
    opened = open_page(written).page
    canvas = opened.locator("#scans .gsv-canvas").first
    canvas.scroll_into_view_if_needed()
    opened.wait_for_timeout(500)
    before = canvas.screenshot()
    opened.locator("#scans input[type=range]").first.press("ArrowRight")
    opened.wait_for_timeout(300)
    assert canvas.screenshot() != before


def test_data_alone_make_a_report(cache, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    report(data=cache, format="md")
    page = (tmp_path / "report" / "report.md").read_text()
    assert page.startswith("<!-- gutseg report -->\n\n# cache")
    assert re.fullmatch(
        r"report/report.md: \d sections, \d+ tables and figures, 0\.\d MB\n",
        capsys.readouterr().out,
    )
    with pytest.raises(FileExistsError, match="this command reads"):
        report(data=cache, out=cache / "report" / "report.html")
    titles = [section.title for section in build([], cache).sections]
    assert titles[0] == "Scans to scroll through"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "nothing to report on; give"),
        (["gone"], "gone does not exist; give a run folder or a blend.yaml"),
        (["."], "is not a run folder"),
    ],
)
def test_what_is_no_source_is_refused(names, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        report([tmp_path / name for name in names])
    assert not list(tmp_path.iterdir())
