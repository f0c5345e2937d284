"""The page of a report in Chromium: it draws, sorts, folds out, changes its theme, and is quiet."""

import re

import pytest
from browsing import DESKTOP, PHONE
from sample_report import sample_report

from gutseg.reporting.cells import with_unique_names
from gutseg.reporting.page import page


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A page with every kind of part."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(with_unique_names(sample_report())), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("size", "dark"), [(DESKTOP, False), (DESKTOP, True), (PHONE, False), (PHONE, True)]
)
def test_every_section_renders_without_a_fault(open_page, place, size, dark):
    seen = open_page(place, width=size[0], height=size[1], dark=dark)
    seen.draw_figures()
    assert seen.page.locator(".main-svg .trace, .heatmaplayer image").count() >= 8
    assert seen.page.locator("#live-text").inner_text() == "run"
    assert seen.overflow() == 0
    assert seen.axe_faults() == []
    assert (seen.errors, seen.left_the_page()) == ([], [])


def test_tables_sort_by_click_and_key(open_page, place):
    table = open_page(place).page.locator("#scans table")
    cells = lambda: table.locator("tbody tr > :nth-child(4)").all_inner_texts()  # noqa: E731
    values = [
        part.frame["score"] for part in sample_report().sections[0].parts if part.name == "scans"
    ]
    expected = sorted(f"{value:.2f}" for value in values[0].dropna())
    button = table.get_by_role("button", name="score")
    button.click()
    assert table.locator("th", has_text="score").get_attribute("aria-sort") == "ascending"
    rows = table.locator("tbody tr").evaluate_all(
        "rows => rows.map(row => row.cells[3].textContent)"
    )
    assert rows == expected + ["–"] * 6
    button.press("Enter")
    rows = table.locator("tbody tr").evaluate_all(
        "rows => rows.map(row => row.cells[3].textContent)"
    )
    assert rows == expected[::-1] + ["–"] * 6 and len(cells()) == 50
    names = table.get_by_role("button", name="scan")
    names.press("Space")
    assert table.locator("tbody th").nth(2).inner_text() == "case2_day2", "words by their numbers"
    assert table.locator("[aria-sort]").count() == 1


def test_long_tables_and_numbers_fold_out(open_page, place):
    opened = open_page(place).page
    rows = opened.locator("#scans tbody tr:visible")
    assert rows.count() == 20
    opened.get_by_role("button", name="Show all 50 rows").click()
    assert rows.count() == 50
    opened.locator("#losses summary").click()
    numbers = opened.locator("#losses details table")
    header = numbers.locator("thead th").all_inner_texts()
    assert [name.strip() for name in header] == ["epoch", "fold 0", "fold 1", "fold 2"]
    assert numbers.locator("tbody tr").nth(3).inner_text().split() == ["4", "0.25", "0.2", "0.1667"]
    with opened.expect_download() as saved:
        opened.locator("#scans").get_by_role("button", name="Download CSV").click()
    lines = saved.value.path().read_text().splitlines()
    assert saved.value.suggested_filename == "scans.csv" and len(lines) == 51
    assert lines[0] == "scan,slices,volume_ml,score" and re.fullmatch(
        r"case1_day1,144,\d+\.\d\d,0.\d\d", lines[2]
    )


def test_the_theme_is_chosen_and_kept(open_page, place):
    opened = open_page(place).page
    ground = lambda: opened.evaluate("getComputedStyle(document.body).backgroundColor")  # noqa: E731
    light = ground()
    button = opened.locator("#theme")
    for _ in range(2):
        button.click()
    assert button.inner_text() == "Theme: dark" and ground() != light
    opened.reload()
    assert button.inner_text() == "Theme: dark" and ground() != light
    button.click()
    assert button.inner_text() == "Theme: auto" and ground() == light


def test_the_keyboard_reaches_the_content_and_the_sections(open_page, place):
    seen = open_page(place)
    opened = seen.page
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.textContent") == "Skip to the content"
    opened.locator("nav a", has_text="Figures").press("Enter")
    seen.wait_for("document.querySelector('nav [aria-current]').textContent === 'Figures'")
    top = opened.locator("#figures h2").bounding_box()["y"]
    assert 50 < top < 200, "below the bar that stays"
