"""Reader of MoNuSAC: nuclei in H&E images of four organs, tiles and Aperio's XML."""

from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np

from gutseg.data import image_io
from gutseg.data.inputs import Inputs
from gutseg.data.sources.pictures import Pictures, picture

CLASSES = ("background", "Epithelial", "Lymphocyte", "Neutrophil", "Macrophage")
AMBIGUOUS = "Ambiguous"
PICTURES = (".png", ".tif", ".tiff")
PATIENT = 12  # characters of a TCGA barcode that name the patient: TCGA-55-1594
FARTHEST = 1 << 20  # pixels; beyond it a coordinate is an issue, and cv2 would overflow


def monusac(folder: Path, inputs: Inputs, *, binary: bool = False) -> Pictures:
    """Read folder/TCGA-*/tile.tif (or .png) and the tile.xml next to each.

    Regions called Ambiguous or of fewer than three corners stay background; where nuclei overlap
    the later one of the file is on top. A group is a patient. binary: take all objects for one
    class. Raises ValueError or FileNotFoundError naming the file. Source: [Verma 2021].
    """
    found = []
    for image_file, xml_file in _tiles(folder):
        image = image_io.read_rgb(image_file)
        labels = np.zeros(image.shape[:2], np.uint8)
        for number, corners in _regions(xml_file):
            if len(corners) >= 3:
                cv2.fillPoly(labels, [corners], number)  # outlines included
        group = image_file.parent.name[:PATIENT]
        found.append(picture(image_file.stem, image, labels, group=group))
    return Pictures(found, inputs, CLASSES, "multiclass", background=0, binary=binary)


def _tiles(folder: Path) -> list[tuple[Path, Path]]:
    """Return (image, XML) of every tile; raises FileNotFoundError where one is missing."""
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
    tiles = []
    for stem in image_io.by_number(list(stems)):
        name = stem.name
        xml_file, slide = stem.with_name(f"{name}.xml"), stem.with_name(f"{name}.svs")
        found = [file for end in PICTURES if (file := stem.with_name(name + end)).is_file()]
        if not found and slide.is_file():
            raise FileNotFoundError(f"{slide} needs openslide; put a .tif or .png next to it")
        if not found:
            raise FileNotFoundError(f"{xml_file} has no image; put {name}.tif or .png next to it")
        if not xml_file.is_file():
            raise FileNotFoundError(f"{xml_file} does not exist; add it or remove {found[0]}")
        tiles.append((found[0], xml_file))
    return tiles


def _regions(file: Path) -> list[tuple[int, np.ndarray]]:
    """Return the class number and the corners (N, 2) as x, y of every region, in file order."""
    found = []
    for annotation in _parse(file).iter("Annotation"):
        regions = list(annotation.iter("Region"))
        attribute = annotation.find("Attributes/Attribute")
        name = None if attribute is None else attribute.get("Name", "").strip()
        if not regions or name == AMBIGUOUS:
            continue
        if name not in CLASSES[1:]:
            choices = f"{', '.join(CLASSES[1:])} or {AMBIGUOUS}"
            raise ValueError(f"{file}: regions of class {name!r}; expected {choices}")
        found += [(CLASSES.index(name), _corners(region, file)) for region in regions]
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
        raise ValueError(f"{file} is not valid XML ({error}); download it again") from None
    except (ValueError, LookupError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from None


def _corners(region: ElementTree.Element, file: Path) -> np.ndarray:
    texts = [(vertex.get("X", ""), vertex.get("Y", "")) for vertex in region.iter("Vertex")]
    try:
        corners = np.array(texts, np.float64).reshape(-1, 2)
    except ValueError:
        corners = np.array([[np.nan, np.nan]])
    if not (np.abs(corners) < FARTHEST).all():
        where = f"{file}, region {region.get('Id')}"
        raise ValueError(f"{where}: a corner is not a number or far outside; correct its X and Y")
    return np.rint(corners).astype(np.int32)
