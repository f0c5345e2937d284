"""A synthetic patient to practise on: drawn, not scanned, so that anyone may have the data.

roster says who comes when; draw_labels and draw_scan draw one scan; write_folder writes them
all as a competition folder. What is drawn, and how close it comes: docs/phantom.md.
"""

from gutseg.synthetic.folder import write_folder
from gutseg.synthetic.labels import draw_labels
from gutseg.synthetic.roster import PRESETS, Visit, Voxels, roster, voxels
from gutseg.synthetic.scan import Drawing, draw_scan

__all__ = [
    "PRESETS",
    "Drawing",
    "Visit",
    "Voxels",
    "draw_labels",
    "draw_scan",
    "roster",
    "voxels",
    "write_folder",
]
