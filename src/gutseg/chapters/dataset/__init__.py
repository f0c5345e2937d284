"""The chapter on data: what section IV of [Xu 2022] shows, and which scans to look at first."""

from pathlib import Path

from gutseg.chapters.dataset.examples import pictures
from gutseg.chapters.dataset.numbers import gather
from gutseg.chapters.dataset.organ_section import organ_section
from gutseg.chapters.dataset.published import SLICES, published_section
from gutseg.chapters.dataset.reading import open_data
from gutseg.chapters.dataset.scan_sections import grey_section, suspicious_section, volume_section
from gutseg.chapters.dataset.slice_section import slice_section
from gutseg.reporting.parts import Section


def sections(path: Path) -> list[Section]:
    """Describe a prepared cache, a competition's folder or a list of slices (csv).

    A folder's PNGs are not read, so grey values need a cache; a list has neither grey values nor
    masks. Raises FileNotFoundError and ValueError for anything else.
    """
    data = open_data(path)
    numbers = gather(data)
    found = [slice_section(numbers)]
    if numbers.planes is not None and numbers.organs is not None:
        drawn = pictures(data, numbers.planes)
        found += [organ_section(numbers.planes, drawn), volume_section(numbers.organs)]
        found += [suspicious_section(numbers.organs)]
    if numbers.greys is not None:
        found.append(grey_section(numbers.greys))
    if len(numbers.slices) == SLICES:
        found.append(published_section(numbers.slices, numbers.planes))
    return found
