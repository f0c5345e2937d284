"""Readers of nuclei in H&E images: folders of PNGs (PanNuke), CoNIC's arrays, MoNuSAC's XML."""

from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pandas as pd

from gutseg.data import image_io
from gutseg.data.sources.labelled import Labelled, spread
from gutseg.files import need_file

CONIC = (
    "background",
    "neutrophil",
    "epithelial",
    "lymphocyte",
    "plasma",
    "eosinophil",
    "connective",
)
MONUSAC = ("background", "Epithelial", "Lymphocyte", "Neutrophil", "Macrophage")
AMBIGUOUS = "Ambiguous"
PICTURES = (".png", ".tif", ".tiff")
PATIENT = 12  # characters of a TCGA barcode that name the patient: TCGA-55-1594
FARTHEST = 1 << 20  # pixels; beyond it a coordinate is an issue, and cv2 would overflow
# above this a file without given classes is taken for grey values: 0 and 255, or a photograph
MOST_CLASSES = 32


def png_folder(folder: Path, *, classes: list[str] | None = None) -> Labelled:
    """Read folder/images/*.png and folder/labels/*.png, joined by name; a group is an image.

    An image is RGB, its label map 8-bit grey with class numbers, 0 the background. classes:
    their names, number 0 first; None names them by number as far as they occur.
    Raises ValueError or FileNotFoundError naming the file and what to do.
    """
    images, labels, names = [], [], []
    for image_file, label_file in image_io.pairs(folder / "images", folder / "labels"):
        image, label = image_io.read_rgb(image_file), image_io.read_numbers(label_file)
        image_io.same_size(image, label, image_file, label_file)
        _check_numbers(label, classes, label_file)
        images.append(image)
        labels.append(label.astype(np.uint8))
        names.append(image_file.stem)
    highest = max(int(label.max()) for label in labels)
    if not highest:
        raise ValueError(f"{folder / 'labels'} holds background (0) alone; there is no class")
    known = classes or ["background", *(f"class {n}" for n in range(1, highest + 1))]
    return Labelled(images, labels, names, list(names), tuple(known), "multiclass")


def _check_numbers(label: np.ndarray, classes: list[str] | None, file: Path) -> None:
    highest = int(label.max())
    if classes is not None and highest >= len(classes):
        raise ValueError(
            f"{file} holds class {highest}; the {len(classes)} classes given are numbered "
            f"0 to {len(classes) - 1}, name the others too"
        )
    if classes is None and highest >= MOST_CLASSES:
        raise ValueError(
            f"{file} holds {highest}, which looks like a grey value and no class number; "
            "renumber the label map or give the names of all classes"
        )


def conic(folder: Path, *, limit: int | None = None) -> Labelled:
    """Read CoNIC's images.npy (N, 256, 256, 3) uint8 and labels.npy (N, 256, 256, 2).

    labels[..., 0] numbers the instances and is left aside, labels[..., 1] is the class, 0-6.
    limit: keep so many patches, evenly spread over all; the 4,981 of the challenge take 4.2 GB
    in memory. With patch_info.csv (names such as consep_1-0000) a group is the image that a
    patch was cut from, without it every patch is a group.
    Source: Graham et al. 2021, arXiv:2111.14485.
    """
    images = _open(folder / "images.npy", "(N, H, W, 3) uint8", 3, np.uint8)
    labels = _open(folder / "labels.npy", "(N, H, W, 2) of whole numbers", 2, np.integer)
    if images.shape[:3] != labels.shape[:3]:
        raise ValueError(
            f"{folder / 'labels.npy'} has shape {labels.shape}, images.npy {images.shape}; "
            "take both from one release"
        )
    names, groups = _patches(folder / "patch_info.csv", len(images))
    kept = spread(len(images), limit)
    kinds = [np.array(labels[patch, ..., 1]) for patch in kept]
    for patch, kind in zip(kept, kinds, strict=True):
        wrong = kind[(kind < 0) | (kind >= len(CONIC))]
        if wrong.size:
            raise ValueError(
                f"{folder / 'labels.npy'}, patch {patch}: class {wrong[0]}; expected 0 to "
                f"{len(CONIC) - 1} in labels[..., 1]"
            )
    return Labelled(
        [images[patch].astype(np.float32) / 255 for patch in kept],
        [kind.astype(np.uint8) for kind in kinds],
        [names[patch] for patch in kept],
        [groups[patch] for patch in kept],
        CONIC,
        "multiclass",
    )


def _open(file: Path, expected: str, channels: int, kind: type) -> np.ndarray:
    need_file(file, "download CoNIC's images.npy and labels.npy into one folder")
    try:
        array = np.load(file, mmap_mode="r")
    except (ValueError, EOFError) as error:
        raise ValueError(f"{file} is no readable .npy ({error}); download it again") from None
    fits = array.ndim == 4 and array.shape[3] == channels and len(array)
    if not fits or not np.issubdtype(array.dtype, kind):
        raise ValueError(
            f"{file} has shape {array.shape} and type {array.dtype}; expected {expected}"
        )
    return array


def _patches(file: Path, count: int) -> tuple[list[str], list[str]]:
    """Return the names of all patches and the images that they were cut from."""
    if not file.is_file():
        names = [f"patch_{number:04d}" for number in range(count)]
        return names, list(names)
    try:
        names = pd.read_csv(file, dtype=str, keep_default_na=False).iloc[:, 0].tolist()
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not a readable csv ({error}); download it again") from None
    if len(names) != count:
        raise ValueError(
            f"{file} names {len(names)} patches, images.npy holds {count}; take both from one "
            "release or remove the csv"
        )
    return names, [name.rsplit("-", 1)[0] for name in names]


def monusac(folder: Path) -> Labelled:
    """Read folder/TCGA-*/tile.tif (or .png) and the tile.xml beside each.

    Regions called Ambiguous are left background, and so is a region of fewer than three
    corners. Where nuclei overlap the later one of the file is on top. A group is a patient,
    the first 12 characters of the folder. Raises ValueError or FileNotFoundError naming the
    file and what to do. Source: Verma et al. 2021, IEEE TMI 40(12).
    """
    images, labels, names, groups = [], [], [], []
    for image_file, xml_file in _tiles(folder):
        image = image_io.read_rgb(image_file)
        images.append(image)
        labels.append(_draw(_regions(xml_file), image.shape[:2]))
        names.append(image_file.stem)
        groups.append(image_file.parent.name[:PATIENT])
    return Labelled(images, labels, names, groups, MONUSAC, "multiclass")


def _tiles(folder: Path) -> list[tuple[Path, Path]]:
    """Return (image_io, XML) of every tile; raises FileNotFoundError where one is missing."""
    stems = {
        path.with_suffix("")
        for path in folder.glob("TCGA-*/[!.]*")
        if path.suffix in (*PICTURES, ".svs", ".xml")
    }
    if not stems:
        raise FileNotFoundError(
            f"{folder} holds no TCGA-* folders with tiles and XML files; give the folder "
            "MoNuSAC_images_and_annotations"
        )
    return [_tile(stem) for stem in image_io.by_number(list(stems))]


def _tile(stem: Path) -> tuple[Path, Path]:
    xml_file = stem.with_name(f"{stem.name}.xml")
    found = [file for end in PICTURES if (file := stem.with_name(stem.name + end)).is_file()]
    slide = stem.with_name(f"{stem.name}.svs")
    if not found and slide.is_file():
        raise FileNotFoundError(f"{slide} needs openslide to be read; put a .tif or .png beside it")
    if not found:
        raise FileNotFoundError(f"{xml_file} has no picture; put {stem.name}.tif or .png beside it")
    if not xml_file.is_file():
        raise FileNotFoundError(f"{xml_file} does not exist; add it or remove {found[0]}")
    return found[0], xml_file


def _regions(file: Path) -> list[tuple[int, np.ndarray]]:
    """Return the class number and the corners (N, 2) as x, y of every region, in file order."""
    found = []
    for annotation in _parse(file).iter("Annotation"):
        regions = list(annotation.iter("Region"))
        if not regions:
            continue
        attribute = annotation.find("Attributes/Attribute")
        name = None if attribute is None else attribute.get("Name", "").strip()
        if name == AMBIGUOUS:
            continue
        if name not in MONUSAC[1:]:
            raise ValueError(
                f"{file}: regions of class {name!r}; expected {', '.join(MONUSAC[1:])} or "
                f"{AMBIGUOUS}"
            )
        found += [(MONUSAC.index(name), _corners(region, file)) for region in regions]
    return found


class _Undeclared(ElementTree.TreeBuilder):
    """Refuses declarations: an entity could read another file or fill the memory."""

    # called by the parser, whatever the encoding, before an entity can be declared
    def doctype(self, *_: str | None) -> None:
        raise ValueError("it holds a DOCTYPE or ENTITY declaration; remove it")


def _parse(file: Path) -> ElementTree.Element:
    parser = ElementTree.XMLParser(target=_Undeclared())
    try:
        return ElementTree.fromstring(file.read_bytes(), parser)
    except ElementTree.ParseError as error:
        raise ValueError(f"{file} is no valid XML ({error}); download it again") from None
    except (ValueError, LookupError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from None


def _corners(region: ElementTree.Element, file: Path) -> np.ndarray:
    texts = [(vertex.get("X", ""), vertex.get("Y", "")) for vertex in region.iter("Vertex")]
    try:
        corners = np.array(texts, np.float64).reshape(-1, 2)
    except ValueError:
        corners = np.array([[np.nan, np.nan]])
    if not (np.abs(corners) < FARTHEST).all():
        raise ValueError(
            f"{file}, region {region.get('Id')}: a corner is no number or far outside; correct "
            "its X and Y"
        )
    return np.rint(corners).astype(np.int32)


def _draw(regions: list[tuple[int, np.ndarray]], size: tuple[int, int]) -> np.ndarray:
    """Fill the regions one by one, outlines included: (H, W) uint8."""
    label = np.zeros(size, np.uint8)
    for number, corners in regions:
        if len(corners) >= 3:
            cv2.fillPoly(label, [corners], number)
    return label
