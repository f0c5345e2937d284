"""The viewer in Chromium: what wheel, keys, fingers and boxes do to the picture."""

import base64
import threading
from dataclasses import replace

import numpy as np
import pytest
from browsing import DESKTOP, PHONE
from shown_scans import SHAPE, SPECK, predicted, scans, shown

from gutseg.viewer import encoding, part
from gutseg.viewer.page import asset
from gutseg.viewer.server import Server

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>viewer</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: blob:;
 script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<body><main><h1>Scans</h1>{}<div style="height:2000px"></div></main>"""
CANVAS, WHERE = ".gsv-canvas", ".gsv-where"
# the pixels of the large canvas (H, W, 4), as a string that grows with the picture
PIXELS = """() => { const c = document.querySelector('.gsv-canvas');
 const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
 let s = ''; for (let i = 0; i < d.length; i += 8192)
   s += String.fromCharCode(...d.subarray(i, i + 8192));
 return [c.height, c.width, btoa(s)]; }"""


# whether the page scrolls within five seconds
SCROLLED = """() => new Promise((done) => { setTimeout(() => done(false), 5000);
 const look = () => scrollY > 0 ? done(true) : requestAnimationFrame(look); look(); })"""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("viewer") / "page.html"
    path.write_text(PAGE.format(part([shown(), shown("case3_day1", 3)]).html))
    return path


@pytest.fixture
def open_viewer(open_page, page_file):
    def opened(place=page_file, **settings):
        seen = open_page(place, **settings)
        seen.page.wait_for_selector(f"{WHERE}:not(:empty)")
        return seen

    return opened


def _pixels(page):
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    height, width, text = page.evaluate(PIXELS)
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)


def _where(page):
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    return page.inner_text(WHERE)


def _fullest():
    """The first slice with most truth, counted from 1."""
    sizes = shown().truth.slice_counts().sum(axis=0)
    return int(sizes.argmax()) + 1


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_page_has_no_faults(open_viewer, size, dark):
    seen = open_viewer(width=size[0], height=size[1], dark=dark)
    seen.page.click("summary")
    for view in ("3-D", "Coronal"):
        seen.page.click(f"button:text-is('{view}')")
    assert (seen.axe_faults(), seen.overflow()) == ([], 0)
    assert (seen.errors, seen.left_the_page()) == ([], [])
    box = seen.page.locator(".gsv-stage").bounding_box()
    assert box["width"] > 0.5 * min(size[0], 900)


def test_javascript_unpacks_what_python_packed(open_page, page_file):
    one = shown(seen=np.arange(SHAPE[0]) != 3)
    page = open_page(page_file).page
    code = f"""async (sent) => {{ {asset("volume.js")}
      const s = await openScan(sent), list = (v) => Array.from(v);
      return [list(s.truth), list(s.prediction), list(s.image.data),
        s.counts.map((c) => c.map((a) => [list(a.truth), list(a.prediction), list(a.both)])),
        [0, 1, 2].map((axis) => list(plane(s.truth, s.shape, axis, 5)))]; }}"""
    truth, found, grey, counts, planes = page.evaluate(code, encoding.payload(one))
    labels = one.scan.labels
    np.testing.assert_array_equal(np.reshape(truth, SHAPE), labels)
    bits = encoding.class_bits(one.prediction)
    np.testing.assert_array_equal(np.reshape(found, SHAPE), bits)
    top = one.scan.percentile(encoding.LARGEST)
    np.testing.assert_allclose(
        np.reshape(grey, SHAPE), np.minimum(one.scan.image / top, 1) * 255, atol=0.51
    )
    for axis, plane in enumerate(planes):
        np.testing.assert_array_equal(plane, labels.take(5, axis).ravel())
    seen = one.seen[:, None, None]
    for c, by_axis in enumerate(counts):
        masks = [(kind >> c & 1) * seen for kind in (labels, bits, labels & bits)]
        for axis, kinds in enumerate(by_axis):
            others = tuple({0, 1, 2} - {axis})
            assert kinds == [mask.sum(axis=others).tolist() for mask in masks]


def test_wheel_keys_slider_and_buttons_scroll(open_viewer):
    page = open_viewer().page
    first, last = _fullest(), SHAPE[0]
    assert _where(page) == f"Axial {first} / {last}"
    before = _pixels(page)
    page.hover(CANVAS)
    page.mouse.wheel(0, 100)
    assert _where(page) == f"Axial {first + 1} / {last}"
    assert (before != _pixels(page)).any()
    assert page.evaluate("window.scrollY") == 0
    page.locator(".gsv-stage").focus()
    for key, expected in {
        "ArrowUp": first,
        "ArrowRight": first + 1,
        "PageUp": max(first - 9, 1),
        "Home": 1,
        "ArrowLeft": 1,
        "End": last,
        "PageDown": last,
    }.items():
        page.keyboard.press(key)
        assert _where(page) == f"Axial {expected} / {last}", key
    page.hover(CANVAS)
    page.mouse.wheel(0, 300)  # at the last slice the page scrolls on
    assert page.evaluate(SCROLLED)
    page.fill(".gsv-slice", "7")
    assert _where(page) == f"Axial 7 / {last}"
    page.click("button[aria-label='Next slice']")
    assert _where(page) == f"Axial 8 / {last}"
    assert page.get_attribute(".gsv-slice", "aria-valuetext") == f"Axial 8 / {last}"
    label = page.get_attribute(CANVAS, "aria-label")
    assert label.startswith(f"case2_day0, Axial 8 / {last}: truth outlined, prediction filled of ")


def test_a_finger_swipes_through_slices(open_viewer):
    page = open_viewer(width=PHONE[0], height=PHONE[1]).page
    box = page.locator(".gsv-stage").bounding_box()
    touch = page.context.new_cdp_session(page)
    y = box["y"] + 100

    def send(kind, *points):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    send("touchStart", {"x": 200, "y": y})
    for x in (215, 230, 245):
        send("touchMove", {"x": x, "y": y})
    send("touchEnd")
    number = int(_where(page).split()[1])
    assert number - _fullest() in (2, 3)  # the browser may keep the first movement for itself


def _has_hatched(picture, bare):
    """Compare the hatched areas with the slice's missed pixels and false alarms."""
    one, z = shown(), _fullest() - 1
    found, truth = (encoding.class_bits(masks)[z] for masks in (one.prediction, one.truth))
    false, missed = (found & ~truth) > 0, (truth & ~found) > 0
    _, rows, columns = encoding.box(one)
    scale = min(picture.shape[0] / np.ptp(rows), picture.shape[1] / np.ptp(columns))
    differs = (picture != bare).any(axis=2)
    # purple has more blue than green, yellow less
    purple, yellow = (
        differs & (sign * (picture[..., 2] - picture[..., 1]) > 0) for sign in (1, -1)
    )
    assert purple.sum() / scale**2 == pytest.approx((missed & ~false).sum(), rel=0.05)
    assert yellow.sum() / scale**2 == pytest.approx(false.sum(), rel=0.05)


def test_boxes_and_ranges_change_the_picture(open_viewer):
    page = open_viewer(width=PHONE[0], height=PHONE[1]).page  # fewer pixels to compare
    pictures = [_pixels(page)]

    def changed(what):
        pictures.append(_pixels(page))
        assert (pictures[-1] != pictures[-2]).any(), what
        return pictures[-1]

    hatched = {}
    page.check("[data-layer=difference]")
    hatched["all"] = changed("difference")
    assert (hatched["all"][..., :3] == (204, 121, 167)).all(axis=2).any()  # missed: #CC79A7
    assert (hatched["all"][..., :3] == (240, 228, 66)).all(axis=2).any()  # false: #F0E442
    for layer in ("difference", "prediction", "truth"):
        page.uncheck(f"[data-layer={layer}]")
        bare = changed(layer)
    # nothing but greys is left
    assert (bare[..., 0] == bare[..., 1]).all() and (bare[..., 1] == bare[..., 2]).all()
    page.check("[data-layer=difference]")
    _has_hatched(changed("difference alone").astype(int), bare)
    page.uncheck("[data-layer=difference]")
    changed("nothing")
    page.locator(".gsv-stage").focus()
    for key in "tpd":
        page.keyboard.press(key)
        changed(key)
    np.testing.assert_array_equal(pictures[-1], hatched["all"])
    for c in range(3):
        page.uncheck(f"[data-class='{c}']")
        changed(f"class {c}")
    assert (pictures[-1] == bare).all()
    page.check("[data-class='0']")
    changed("class 0")
    for name, value in {"opacity": 90, "window": 60, "level": 90}.items():
        page.fill(f"[data-range={name}]", str(value))
        changed(name)
    page.click(".gsv-reset")
    changed("reset")
    page.hover(CANVAS)
    page.mouse.down()
    page.mouse.move(230, 360)
    page.mouse.up()
    changed("window and level by dragging")


def test_millimetres_are_as_long_down_as_across(open_page, tmp_path):
    """A scan that is white everywhere fills as much of the canvas as it has millimetres."""
    one = shown()
    scan = replace(one.scan, image=np.full(SHAPE, 100, np.uint16), body=(0, 40, 0, 48))
    scan = replace(scan, counts=np.bincount([100] * scan.image.size).astype(np.uint32))
    place = tmp_path / "white.html"
    place.write_text(PAGE.format(part([replace(one, scan=scan, prediction=None)]).html))
    page = open_page(place).page
    page.wait_for_selector(f"{WHERE}:not(:empty)")
    page.uncheck("[data-layer=truth]")
    assert not page.is_visible("[data-layer=prediction]")
    sides = {"Axial": (40 * 1.5, 48 * 1.5), "Coronal": (60, 48 * 1.5), "Sagittal": (60, 40 * 1.5)}
    for view, (down, across) in sides.items():
        page.click(f"button:text-is('{view}')")
        filled = _pixels(page)[..., 0] > 20
        high, wide = filled.any(axis=1).sum(), filled.any(axis=0).sum()
        assert high / wide == pytest.approx(down / across, abs=0.01), view


def test_a_button_leads_to_the_farthest_voxel(open_viewer):
    page = open_viewer().page
    button = page.locator(".gsv-jump").first
    millimetres = f"{encoding.farthest(shown())[0]['mm']:.1f} mm"
    assert button.inner_text() == millimetres
    spoken = button.get_attribute("aria-label")
    assert spoken == f"large bowel: {millimetres}, go to the farthest false voxel, in slice 18"
    button.click()
    assert _where(page) == f"Axial {SPECK[0] + 1} / {SHAPE[0]}"
    marked = _pixels(page)
    page.uncheck("[data-layer=witness]")
    differs = (marked != _pixels(page)).any(axis=2)
    rows, columns = np.nonzero(differs)
    # the speck lies at the top right, the organ in the middle
    assert columns.max() > 0.8 * differs.shape[1] and rows.min() < 0.3 * differs.shape[0]
    for view, place in (("Coronal", SPECK[1]), ("Sagittal", SPECK[2])):
        page.click(f"button:text-is('{view}')")
        assert _where(page).startswith(f"{view} {place + 1} /")
    page.locator(".gsv-stage").focus()
    page.keyboard.press("e")
    found = encoding.farthest(shown())[1]["voxel"]
    assert _where(page) == f"Sagittal {found[2] + 1} / {SHAPE[2]}"


def test_surfaces_turn_and_show_both(open_viewer):
    page = open_viewer(width=PHONE[0], height=PHONE[1]).page
    page.locator(".gsv-stage").focus()
    page.keyboard.press("4")
    assert _where(page) == "3-D, turned by -25°"
    first = _pixels(page)
    blue = (first[..., 2] > 100) & (first[..., 0] < 60)
    assert blue.mean() > 0.005  # the large bowel
    page.keyboard.press("ArrowRight")
    assert _where(page) == "3-D, turned by -15°"
    turned = _pixels(page)
    assert (first != turned).any()
    page.fill("[data-range=tilt]", "60")
    tilted = _pixels(page)
    assert (tilted != turned).any()
    for layer in ("witness", "truth", "prediction"):
        page.uncheck(f"[data-layer={layer}]")
        now = _pixels(page)
        assert (now != tilted).any(), layer
        tilted = now
    assert (now[..., 0] == now[..., 2]).all()  # only the frame is left, which is grey


def test_a_surface_lies_where_the_mask_ends(open_page, page_file):
    """A ball of 24 mm has a surface of 24 mm, and a single voxel is not lost."""
    spacing, shape = (3.0, 1.5, 1.5), (24, 48, 48)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    middle = np.array([12.0, 24.0, 24.0])
    away = np.linalg.norm((grid + 0.5 - middle) * spacing, axis=-1)
    mask = (away < 24).astype(int)
    mask[2, 3, 44] = 2
    code = f"""([data, shape, spacing]) => {{ {asset("volume.js")} {asset("slices.js")}
      {asset("surface.js")}
      return [1, 2, 4].map((bit) => mesh(data, bit, shape, spacing)).map(
        (m) => m && [m.positions, m.normals, m.triangles].map((v) => Array.from(v))); }}"""
    page = open_page(page_file).page
    ball, speck, nothing = page.evaluate(code, [mask.ravel().tolist(), shape, spacing])
    points, normals = (np.reshape(part, (-1, 3)) for part in ball[:2])
    distances = np.linalg.norm(points, axis=1)
    assert abs(distances.mean() - 24) < 1.5 and distances.std() < 0.6
    # normals point outwards
    assert ((points / distances[:, None] * normals).sum(axis=1) > 0.9).mean() > 0.97
    # every edge of a closed surface belongs to two triangles, and it has no handle
    edges = np.sort(np.reshape(ball[2], (-1, 3))[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    found, counts = np.unique(edges, axis=0, return_counts=True)
    assert set(counts) == {2}
    assert len(points) - len(found) + len(ball[2]) // 3 == 2
    # x, y, z from the middle of the scan
    expected = (44.5 - 24) * 1.5, (3.5 - 24) * 1.5, (2.5 - 12) * 3
    np.testing.assert_allclose(np.reshape(speck[0], (-1, 3)).mean(axis=0), expected, atol=1.5)
    assert nothing is None


def test_the_server_brings_scans_when_they_are_picked(open_viewer):
    source = scans(("case2_day0", "case3_day1", "case4_day0"))

    def read(name):
        if name == "case4_day0":
            raise ValueError("image.npy is cut")
        return source.read(name)

    def predict(name):
        return predicted(source.read(name.replace("4", "3")).labels), np.ones(SHAPE[0], bool)

    with Server(replace(source, read=read, predict=predict), "my <run>") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        seen = open_viewer(server.url)
        assert seen.page.title() == "my <run> · gutseg view"
        asked = [address.removeprefix(server.url) for address in seen.requests]
        assert "scan/case2_day0" in asked and "scan/case3_day1" not in asked
        seen.page.locator(".gsv-stage").focus()
        seen.page.keyboard.press("n")
        seen.page.wait_for_selector("canvas[aria-label^='case3_day1']")
        assert (seen.errors, seen.left_the_page((server.url, "data:", "blob:"))) == ([], [])
        seen.page.select_option(".gsv-scan", "case4_day0")
        seen.page.wait_for_selector("[role=alert]")
        assert seen.page.inner_text(".gsv-note") == "image.npy is cut"
        server.shutdown()
