"""Scans with truth and prediction, slice by slice, in a browser."""

from gutseg.viewer.page import part
from gutseg.viewer.scans import Scans, Shown, open_scans, pick
from gutseg.viewer.section import sections

__all__ = ["Scans", "Shown", "open_scans", "part", "pick", "sections"]
