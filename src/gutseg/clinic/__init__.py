"""Masks in the formats of clinics and of research: DICOM RTSTRUCT and SEG, NIfTI; MR series in."""
