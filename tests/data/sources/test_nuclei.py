"""Nuclei written by hand in every format, every issue of a file, and real PanNuke tiles."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from plain import NATIVE, plain
from scipy.io import loadmat

from gutseg.data.sources import SOURCES, read
from gutseg.data.sources.conic import CLASSES as CONIC
from gutseg.data.sources.monusac import CLASSES as MONUSAC

conic, monusac, png_folder = (
    plain(SOURCES[name].build) for name in ("conic", "monusac", "png_folder")
)

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
MAP = np.array([[0, 0, 1, 1, 2, 0]] * 4, np.uint8)


def _png(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    # cv2 writes blue first
    assert cv2.imwrite(str(path), array[..., ::-1] if array.ndim == 3 else array)


@pytest.fixture
def tiles(tmp_path):
    """Three tiles whose names sort 2, 10, 11, the second one smaller."""
    for number, size in ((2, (4, 6)), (10, (3, 5)), (11, (4, 6))):
        _png(tmp_path / "images" / f"{number}.png", RGB[: size[0], : size[1]] + number)
        _png(tmp_path / "labels" / f"{number}.png", MAP[: size[0], : size[1]])
    return tmp_path


def test_png_folder_joins_by_name_in_order_of_numbers(tiles):
    (tiles / "images" / "._2.png").write_bytes(b"what macOS leaves in an archive")
    data = png_folder(tiles)
    assert data.names == data.groups == ["2", "10", "11"]
    assert data.classes == ("background", "class 1", "class 2")
    assert (data.mode, data.background, data.channels) == ("multiclass", 0, 3)
    assert data.images[1].dtype == np.float32 and data.labels[1].dtype == np.uint8
    np.testing.assert_allclose(data.images[1], (RGB[:3, :5] + 10) / 255, rtol=1e-6)
    np.testing.assert_array_equal(data.labels[1], MAP[:3, :5])


def test_png_folder_takes_names_of_classes_that_do_not_occur(tiles):
    names = ["background", "a", "b", "c"]
    assert png_folder(tiles, classes=names).classes == tuple(names)


def test_16_bit_label_maps_and_transparent_images(tiles):
    _png(tiles / "labels" / "2.png", MAP.astype(np.uint16))
    assert cv2.imwrite(str(tiles / "images" / "2.png"), np.dstack([RGB[..., ::-1], RGB[..., :1]]))
    data = png_folder(tiles)
    np.testing.assert_array_equal(data.labels[0], MAP)
    np.testing.assert_allclose(data.images[0], RGB / 255, rtol=1e-6)


def test_an_image_is_not_turned_as_its_exif_says(tiles):
    """A label map has no EXIF, so a turned image would no longer lie under it."""
    path = tiles / "images" / "2.png"
    # one entry: tag 0x112 (orientation), type short, count 1, value 6 (a quarter turn)
    exif = b"MM\0*\0\0\0\x08\0\1" + bytes.fromhex("0112 0003 00000001 0006 0000 00000000")
    chunk = b"eXIf" + exif
    block = struct.pack(">I", len(exif)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    data = path.read_bytes()
    path.write_bytes(data[:33] + block + data[33:])  # 33 bytes: signature and IHDR
    assert cv2.imread(str(path)).shape == (6, 4, 3)
    np.testing.assert_allclose(png_folder(tiles).images[0], (RGB + 2) / 255, rtol=1e-6)


def _palette(path):
    """A PNG header of 8 bits and a palette: read as far as the check goes."""
    path.write_bytes(path.read_bytes()[:25] + b"\3" + path.read_bytes()[26:])


def _grey4(path):
    path.write_bytes(path.read_bytes()[:24] + b"\4" + path.read_bytes()[25:])


def _cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def _damage(path):
    data = path.read_bytes()
    start = data.index(b"IDAT") - 4
    path.write_bytes(data[:start] + data[-12:])


@pytest.mark.parametrize(
    ("file", "spoil", "message"),
    [
        ("labels/10.png", lambda p: p.unlink(), "labels/10.png does not exist; add it or remove"),
        ("images/10.png", lambda p: p.unlink(), "images/10.png does not exist; add it or remove"),
        ("labels/10.png", lambda p: _png(p, MAP), "is 4x6 and .*images/10.png is 3x5 .*one size"),
        ("labels/10.png", lambda p: _png(p, RGB), "labels/10.png is a 8-bit RGB PNG; .* save it"),
        ("labels/10.png", _palette, "labels/10.png is a 8-bit palette PNG"),
        ("labels/10.png", _grey4, "labels/10.png is a 4-bit grey PNG"),
        (
            "labels/10.png",
            lambda p: _png(p, MAP[:3, :5] * 127),
            "holds 254, .*grey value.*renumber",
        ),
        ("images/10.png", _cut, "images/10.png: truncated after .*download it again"),
        (
            "images/10.png",
            lambda p: p.write_bytes(b""),
            "images/10.png: not a PNG: the file is empty",
        ),
        ("labels/10.png", _damage, "labels/10.png does not decode as a picture"),
    ],
)
def test_faults_of_png_folders(tiles, file, spoil, message):
    spoil(tiles / file)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        png_folder(tiles)


def test_a_class_beyond_those_given(tiles):
    with pytest.raises(ValueError, match="labels/2.png holds class 2; the 2 classes given are"):
        png_folder(tiles, classes=["background", "nucleus"])


@pytest.mark.parametrize(
    ("last", "message"), [("b", "'b' is listed twice"), ("z", "'z' has another meaning")]
)
def test_classes_that_cannot_be_told_apart(tiles, last, message):
    with pytest.raises(ValueError, match=f"classes: {message}"):
        png_folder(tiles, classes=["a", "b", last])


def test_no_images_and_no_class(tiles):
    with pytest.raises(FileNotFoundError, match="nowhere/images holds no \\*.png; put the"):
        png_folder(tiles / "nowhere")
    for path in (tiles / "labels").iterdir():
        _png(path, cv2.imread(str(path), cv2.IMREAD_UNCHANGED) * 0)
    with pytest.raises(ValueError, match="background \\(0\\) alone; there is no class"):
        png_folder(tiles)


def test_pannuke_has_the_shares_that_its_readme_gives(real_data):
    data = png_folder(real_data / "nuclei" / "pannuke")
    assert len(data.images) == 10 and {image.shape for image in data.images} == {(512, 512, 3)}
    shares = data.source.class_shares(data.source.index)
    assert shares == pytest.approx([0.890, 0.029, 0.0004, 0.073, 0.0086], abs=5e-4)
    # haematoxylin and eosin: less green than red and blue
    red, green, blue = np.mean([image.mean(axis=(0, 1)) for image in data.images], axis=0)
    assert green < blue and green < red


@pytest.fixture
def patches(tmp_path):
    """Five patches of 8 by 8: patch n is of grey 10 n and holds n pixels of class n."""
    images = np.repeat(np.arange(5, dtype=np.uint8)[:, None, None, None] * 10, 8, axis=1)
    images = np.broadcast_to(images, (5, 8, 8, 3)).copy()
    labels = np.zeros((5, 8, 8, 2), np.int32)
    labels[..., 0] = 70_000  # instance numbers go beyond 16 bits
    for number in range(5):
        labels[number, 0, :number, 1] = number
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "labels.npy", labels)
    return tmp_path


INFO = "patch_info\nconsep_1-0000\nconsep_1-0001\ncrag_9-0000\ndpath-2-0000\ndpath-2-0001\n"


def test_conic_reads_classes_and_groups_by_source_image(patches):
    (patches / "patch_info.csv").write_text(INFO)
    data = conic(patches)
    assert data.names == INFO.split()[1:]
    assert data.groups == ["consep_1", "consep_1", "crag_9", "dpath-2", "dpath-2"]
    assert data.classes[2] == "epithelial" and len(data.classes) == 7
    for number, (image, label) in enumerate(zip(data.images, data.labels, strict=True)):
        assert image.shape == (8, 8, 3) and image.dtype == np.float32
        assert image == pytest.approx(number * 10 / 255)
        assert label.dtype == np.uint8 and (label == number)[0, :number].all()
        assert np.count_nonzero(label) == number


def test_real_patches_in_conics_layout_keep_the_type_of_every_nucleus(real_data, tmp_path):
    """Three real patches with instance and type maps; each .mat also lists a type a nucleus."""
    files = sorted((real_data / "nuclei" / "patches").glob("*.mat"))
    mats = [loadmat(file) for file in files]
    rgb = [cv2.imread(str(file.with_suffix(".png")))[..., ::-1] for file in files]
    planes = [np.stack([mat["inst_map"], mat["type_map"]], axis=-1) for mat in mats]
    np.save(tmp_path / "images.npy", np.stack(rgb))
    np.save(tmp_path / "labels.npy", np.stack(planes).astype(np.uint16))
    data = conic(tmp_path)
    for mat, picture, image, label in zip(mats, rgb, data.images, data.labels, strict=True):
        np.testing.assert_allclose(image * 255, picture, atol=1e-3)
        numbers = np.unique(mat["inst_map"])[1:]
        found = [np.unique(label[mat["inst_map"] == number]).tolist() for number in numbers]
        assert found == mat["inst_type"].tolist()
        assert not label[mat["inst_map"] == 0].any()


def test_conic_without_csv_and_with_a_limit(patches):
    data = conic(patches, limit=2)
    assert data.names == data.groups == ["patch_0000", "patch_0002"]
    assert data.labels[1].max() == 2 and data.images[1].max() == pytest.approx(20 / 255)
    assert len(conic(patches, limit=99).images) == 5


def _save(name, change):
    def spoil(folder):
        np.save(folder / name, change(np.load(folder / name)))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "labels.npy").unlink(), "labels.npy does not exist; download"),
        (lambda f: _cut(f / "images.npy"), "images.npy is not a readable .npy .*download it again"),
        (lambda f: (f / "images.npy").write_bytes(b""), "images.npy is not a readable .npy"),
        (_save("images.npy", lambda a: a[..., 0]), "shape \\(5, 8, 8\\) and type uint8; expected"),
        (_save("images.npy", lambda a: a / 255), "type float64; expected \\(N, H, W, 3\\) uint8"),
        (_save("labels.npy", lambda a: a * 1.0), "float64; expected .* whole numbers"),
        (_save("labels.npy", lambda a: a[..., 1:]), "expected \\(N, H, W, 2\\)"),
        (_save("labels.npy", lambda a: a[:4]), "images.npy \\(5, 8, 8, 3\\); take both from one"),
        (_save("labels.npy", lambda a: a * 2), "labels.npy, patch 4: class 8; expected 0 to 6"),
        (_save("labels.npy", lambda a: -a), "labels.npy, patch 1: class -1; expected 0 to 6"),
        (lambda f: (f / "patch_info.csv").write_text(INFO[:-15]), "names 4 patches, .* holds 5"),
        (lambda f: (f / "patch_info.csv").write_bytes(b""), "patch_info.csv is not a readable csv"),
        (lambda f: (f / "patch_info.csv").write_text('a\n1,2\n"3'), "patch_info.csv is not a r"),
    ],
)
def test_faults_of_conic(patches, spoil, message):
    spoil(patches)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        conic(patches)


def test_a_limit_of_nothing(patches):
    with pytest.raises(ValueError, match="data.params.limit: .* greater than or equal to 1"):
        read("conic", patches, NATIVE, {"limit": 0})


def _region(corners):
    vertices = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in corners)
    return f'<Region Id="7"><Vertices>{vertices}</Vertices></Region>'


def _xml(*annotations):
    """Aperio's layout: (class, corners of a region, ...) an annotation."""
    parts = [
        f'<Annotation Id="1"><Attributes><Attribute Name="{name}" Id="0" Value=""/></Attributes>'
        f"<Regions>{''.join(map(_region, regions))}</Regions></Annotation>"
        for name, *regions in annotations
    ]
    return f'<Annotations MicronsPerPixel="0.25">{"".join(parts)}</Annotations>'


BOX = [(2, 3), (6, 3), (6, 9), (2, 9)]
CODE = "TCGA-55-1594-01Z-00-DX1"


def _tile(root, xml, code=CODE, number=1, end=".png"):
    """A tile of 20 x 30 pixels (height x width) and its XML."""
    stem = root / code / f"{code}_{number}"
    image = np.full((20, 30, 3), (200, 100, 50), np.uint8)
    _png(stem.with_name(stem.name + end), image)
    stem.with_name(stem.name + ".xml").write_text(xml)
    return stem


def test_monusac_fills_outlines_with_their_class(tmp_path):
    outside = [(25, 15), (40, 15), (40, 30), (25, 30)]
    xml = _xml(
        ("Epithelial", BOX, outside),
        ("Macrophage", [(6.4, 8.6), (9.4, 8.6), (9.4, 11.4), (6.4, 11.4)]),
        ("Ambiguous", [(12, 0), (15, 0), (15, 5)]),
        ("Neutrophil", [(18, 2), (19, 3)], []),
        ("Whatever has no regions",),
    )
    _tile(tmp_path, xml)
    data = monusac(tmp_path)
    expected = np.zeros((20, 30), np.uint8)
    expected[3:10, 2:7] = 1
    expected[15:, 25:] = 1
    expected[9:12, 6:10] = 4  # the later one lies on top
    np.testing.assert_array_equal(data.labels[0], expected)
    assert data.classes[1] == "Epithelial" and data.classes[4] == "Macrophage"
    np.testing.assert_allclose(data.images[0][5, 5], np.array([200, 100, 50]) / 255, rtol=1e-6)


def test_monusac_outlines_agree_with_a_point_in_polygon_count(tmp_path):
    random = np.random.default_rng(3)
    angles = np.sort(random.uniform(0, 2 * np.pi, 9))
    radii = random.uniform(4, 9, 9)
    polygon = np.rint(np.c_[15 + radii * np.cos(angles), 10 + radii * np.sin(angles)]).astype(int)
    _tile(tmp_path, _xml(("Lymphocyte", polygon.tolist())))
    label = monusac(tmp_path).labels[0]
    contour = polygon.astype(np.float32)[:, None]
    distance = np.array(
        [[cv2.pointPolygonTest(contour, (x, y), True) for x in range(30)] for y in range(20)]
    )
    assert (distance > 0).sum() > 50
    assert (label[distance >= 0] == 2).all()
    # fillPoly draws the outline too, whose pixels lie within half a pixel's diagonal of it
    assert (label[distance < -0.71] == 0).all()


def test_monusac_groups_days_of_a_patient_and_reads_tif(tmp_path):
    _tile(tmp_path, _xml(("Epithelial", BOX)), number=10)
    slide = _tile(tmp_path, _xml(("Epithelial", BOX)), number=2, end=".tif")
    slide.with_name(slide.name + ".svs").write_bytes(b"the slide that the tif was made from")
    _tile(tmp_path, _xml(), code="TCGA-55-1594-01Z-00-DX2")
    _tile(tmp_path, _xml(), code="TCGA-69-7760-01Z-00-DX1")
    data = monusac(tmp_path)
    ends = [name[-5:] for name in data.names]
    assert ends == ["DX1_2", "X1_10", "DX2_1", "DX1_1"]
    assert data.groups == ["TCGA-55-1594"] * 3 + ["TCGA-69-7760"]
    assert [int(label.sum()) for label in data.labels] == [35, 35, 0, 0]


BOMB = '<!DOCTYPE a [<!ENTITY b "cc"><!ENTITY c SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (
            BOMB + _xml(),
            "DX1_1.xml cannot be read: it holds a DOCTYPE or ENTITY declaration; remove it",
        ),
        (_xml()[:-3], "DX1_1.xml is not valid XML .*download it again"),
        ("", "DX1_1.xml is not valid XML"),
        (_xml(("Plasma", BOX)), "regions of class 'Plasma'; expected Epithelial, .* or Ambiguous"),
        (_xml(("Epithelial", BOX)).replace("Attribute ", "A "), "regions of class None"),
        (_xml(("Epithelial", [("a", 1), (2, 2), (3, 3)])), "DX1_1.xml, region 7: a corner is no"),
        (_xml(("Epithelial", [("nan", 1), (2, 2), (3, 3)])), "region 7: a corner is not a number"),
        (_xml(("Epithelial", [(1e12, 1), (2, 2), (3, 3)])), "region 7: .* far outside; correct"),
    ],
)
def test_faults_of_aperio_xml(tmp_path, xml, message):
    _tile(tmp_path, xml)
    with pytest.raises(ValueError, match=message):
        monusac(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "iso-8859-1"])
def test_no_encoding_hides_a_declaration(tmp_path, encoding):
    stem = _tile(tmp_path, "")
    xml = stem.with_name(stem.name + ".xml")
    head = f'<?xml version="1.0" encoding="{encoding.removesuffix("-le")}"?>'
    xml.write_bytes((head + BOMB + _xml()).encode(encoding))
    with pytest.raises(ValueError, match="cannot be read: it holds a DOCTYPE or ENTITY"):
        monusac(tmp_path)
    xml.write_bytes((head + _xml(("Epithelial", BOX))).encode(encoding))
    assert monusac(tmp_path).labels[0].sum() == 35


def test_an_unknown_encoding(tmp_path):
    _tile(tmp_path, '<?xml version="1.0" encoding="klingon"?>' + _xml())
    with pytest.raises(ValueError, match="DX1_1.xml (is not valid XML|cannot be read)"):
        monusac(tmp_path)


def test_monusac_names_the_file_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no TCGA-\\* folders .*give the folder"):
        monusac(tmp_path)
    stem = _tile(tmp_path, _xml())
    xml, png = (stem.with_name(stem.name + end) for end in (".xml", ".png"))
    xml.unlink()
    with pytest.raises(FileNotFoundError, match="DX1_1.xml does not exist; add it or remove .*png"):
        monusac(tmp_path)
    png.rename(stem.with_name(stem.name + ".svs"))
    with pytest.raises(FileNotFoundError, match="DX1_1.svs needs openslide; put a"):
        monusac(tmp_path)
    stem.with_name(stem.name + ".svs").rename(xml)
    with pytest.raises(FileNotFoundError, match="DX1_1.xml has no image; put .*tif or .png"):
        monusac(tmp_path)


def test_the_classes_are_those_of_the_challenges():
    assert CONIC.index("eosinophil") == 5
    assert set(MONUSAC[1:]) == {"Epithelial", "Lymphocyte", "Neutrophil", "Macrophage"}
