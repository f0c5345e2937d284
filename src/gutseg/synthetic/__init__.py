"""Synthetic patients, drawn so that anyone may have the data; how close it comes: docs/phantom.md.

roster says who comes when, draw_scan draws one scan, write_folder all as a competition folder.
"""

from gutseg.synthetic.folder import write_folder
from gutseg.synthetic.labels import draw_labels
from gutseg.synthetic.roster import Visit, roster, voxels
from gutseg.synthetic.scan import draw_scan

__all__ = ["Visit", "draw_labels", "draw_scan", "roster", "voxels", "write_folder"]
