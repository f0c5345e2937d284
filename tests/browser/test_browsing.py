"""The helpers of the page tests notice what they are there to notice."""

PAGE = """<!doctype html><html lang="en"><title>t</title><body style="margin:0">
<div style="width:{width}px;height:9px"></div><main><h1>t</h1>{body}</main>"""


def test_a_good_page_has_no_faults(tmp_path, open_page):
    (tmp_path / "good.html").write_text(PAGE.format(width=100, body="<p>text</p>"))
    seen = open_page(tmp_path / "good.html", width=390)
    assert (seen.errors, seen.left_the_page(), seen.axe_faults()) == ([], [], [])
    assert len(seen.requests) == 1 and seen.overflow() == 0


def test_faults_are_seen(tmp_path, open_page):
    broken = "<img src='http://127.0.0.1:9/x.png'><script>console.error('oh'); no()</script>"
    (tmp_path / "bad.html").write_text(PAGE.format(width=490, body=broken))
    seen = open_page(tmp_path / "bad.html", width=390)
    assert seen.left_the_page() == ["http://127.0.0.1:9/x.png"]
    assert "oh" in seen.errors and any("no is not defined" in text for text in seen.errors)
    assert seen.overflow() == 100
    assert seen.axe_faults()[0].startswith("image-alt")
