"""gutseg report: what it takes, where it writes, what it refuses."""

import re

import pytest

from gutseg.report import build, report


def test_a_blend_is_reported_through_its_runs(trained, tmp_path, capsys):
    report([trained.blend, trained.run], out=tmp_path / "r" / "report.html")
    page = (tmp_path / "r" / "report.html").read_text()
    assert "<h1>blend, tiny</h1>" in page and len(page) < 25e6
    assert re.search(
        r"report.html: \d+ sections, \d+ tables and figures, \d\.\d MB\n$", capsys.readouterr().out
    )
    assert (tmp_path / "r" / "tables" / "gutseg_tables.csv").is_file()
    titles = [section.title for section in build([trained.run]).sections]
    assert "Training of tiny" in titles


def test_markdown_has_a_name_of_its_own(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report([trained.run], format="md")
    assert (
        (tmp_path / "report" / "report.md")
        .read_text()
        .startswith("<!-- gutseg report -->\n\n# tiny")
    )


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


def test_data_alone_make_a_report(cache, tmp_path, capsys):
    report(data=cache, out=tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<h1>cache</h1>" in page and 'id="scans' in page
    with pytest.raises(FileExistsError, match="this command reads"):
        report(data=cache, out=cache / "report" / "report.html")
