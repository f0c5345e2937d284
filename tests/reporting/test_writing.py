"""What a report writes: files that agree, text that stays text, nothing over others' files."""

import hashlib
import json
import re
from base64 import b64encode

import pandas as pd
import plotly.io
import pytest
from sample_report import EVIL, sample_report

from gutseg.reporting import notebook
from gutseg.reporting.markdown_page import markdown_page
from gutseg.reporting.parts import Chart, Html, Report, Section, Series
from gutseg.reporting.writing import check_places, write


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder of a report as HTML."""
    folder = tmp_path_factory.mktemp("report")
    write(sample_report(), folder / "report.html")
    return folder


def test_tables_and_figures_lie_beside_the_page(written):
    tables = {path.stem for path in (written / "tables").glob("*.csv")} - {"gutseg_tables"}
    figures = {path.name for path in (written / "figures").iterdir()} - {"gutseg_figures.csv"}
    drawn = {"losses", "band", "bars", "stack", "dots", "whiskers", "pairs", "counts"}
    assert tables == {"small", "small_2", "scans", "wide"} | drawn
    assert figures == {f"{name}.{kind}" for name in drawn for kind in ("png", "svg")} | {"shot.png"}
    assert pd.read_csv(written / "tables" / "small.csv")["slices"].tolist() == [14085, 11201, 8627]
    scans = pd.read_csv(written / "tables" / "scans.csv", index_col="scan")
    frame = sample_report().sections[0].parts[2].frame
    pd.testing.assert_frame_equal(scans, frame)
    listed = pd.read_csv(written / "figures" / "gutseg_figures.csv")
    assert listed["file"].tolist()[0] == "losses.png" and listed["about"][0] == "It falls."


def test_text_of_the_data_is_never_markup(written):
    page = (written / "report.html").read_text()
    assert EVIL not in page and "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 5
    bars = json.loads(re.search(r'id="bars-data">(.*?)</script>', page)[1])
    assert bars["table"]["rows"][2][0] == EVIL, "a cell is filled with text, not with markup"
    drawn = json.dumps([bars["data"], bars["layout"]])
    assert "<" not in drawn and "&lt;script&gt;" in drawn, "Plotly reads markup in names"
    assert "&lt;script&gt;" in (written / "figures" / "bars.svg").read_text()


def test_the_policy_runs_the_scripts_of_the_page_alone(written):
    page = (written / "report.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    sums = {b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts}
    assert set(re.findall(r"'sha256-([^']*)'", policy)) == sums and len(sums) == 4
    assert "default-src 'none'" in policy and "connect-src 'none'" in policy
    assert "unsafe-eval" not in policy and "http" not in policy
    assert not re.search(r'(src|href)="(?!#|data:)', page.split("</head>")[0])


def test_markdown_links_its_pictures_and_long_tables(tmp_path):
    write(sample_report(), tmp_path / "report.md", "md")
    page = (tmp_path / "report.md").read_text()
    for picture in re.findall(r"\]\((figures/[^)]*)\)", page):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    assert "![It falls.](figures/losses.png)" in page
    assert "… and 30 more rows in [scans.csv](tables/scans.csv)" in page
    assert "| organ | slices | text |\n| --- | ---: | --- |\n| large\\_bowel | 14,085 |" in page
    assert "<script>" not in page and not list((tmp_path / "figures").glob("*.svg"))


def test_markdown_leaves_out_what_only_a_browser_shows():
    viewer = Section("scans", "Scans", "To scroll.", [Html("viewer", "Viewer", "<i>here</i>")])
    empty = Section("results", "Results", "Nothing was scored.", [])
    page = markdown_page(Report("Title", "About", [viewer, empty]))
    assert "Scans" not in page and "Viewer" not in page and "<i>" not in page
    assert "## Results\n\nNothing was scored." in page


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("a_b*c|d", "a\\_b\\*c\\|d"),
        ("see `val_loss` <b>", "see `val_loss` &lt;b>"),
        ("one ` alone_", "one \\` alone\\_"),
        ("two\nlines", "two lines"),
        ("![p](http://e/p.png) &lt;", "!\\[p\\](http://e/p.png) &amp;lt;"),
    ],
)
def test_words_mean_nothing_in_markdown(words, shown):
    report = Report("t", words, [])
    assert markdown_page(report).split("\n\n")[2].strip() == shown


def test_a_second_report_replaces_the_first(tmp_path):
    write(sample_report(), tmp_path / "report.html")
    check_places(tmp_path / "report.html", "html", [])
    line = Chart("only", "One line", "x", "y", [Series("a", [1, 2], [1, 2])])
    write(Report("t", "a", [Section("s", "S", "", [line])]), tmp_path / "report.html")
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "figures", "tables"}
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {"only.png", "only.svg", "gutseg_figures.csv"}


def test_files_of_others_stay(tmp_path):
    (tmp_path / "report.html").write_text("<!doctype html>\n<p>mine</p>")
    with pytest.raises(FileExistsError, match=r"report.html exists and begins with"):
        check_places(tmp_path / "report.html", "html", [])
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "mine.png").write_bytes(b"")
    with pytest.raises(FileExistsError, match=r"figures holds mine.png, which this command did"):
        check_places(tmp_path / "new.html", "html", [])
    with pytest.raises(FileExistsError, match=r"this command reads"):
        check_places(tmp_path / "run" / "report.html", "html", [tmp_path / "run"])
    with pytest.raises(ValueError, match=r"expected a name that ends with .md"):
        check_places(tmp_path / "new.html", "md", [])


def test_a_notebook_shows_the_same_parts(monkeypatch):
    monkeypatch.setattr(plotly.io.renderers, "default", "plotly_mimetype")
    report = sample_report()
    shown = report._repr_html_()
    assert "<script>" not in shown and shown.count("<img ") == 9
    assert "and 30 more rows" in report.sections[0].parts[2]._repr_html_()
    chart = report.sections[1].parts[0]
    figure = chart.to_plotly()
    assert [trace.name for trace in figure.data] == ["fold 0", "fold 1", "fold 2"]
    assert figure.layout.title.text == "Loss per epoch" and figure.layout.yaxis.type == "log"
    assert list(chart._repr_mimebundle_()) == ["application/vnd.plotly.v1+json"]
    with pytest.raises(TypeError, match="int is not a part"):
        notebook.html(3)
