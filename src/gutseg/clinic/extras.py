"""Packages that only the formats of clinics need, asked for before any work."""

from importlib.util import find_spec

# extra -> its packages
EXTRAS = {"dicom": ("pydicom", "highdicom"), "nifti": ("nibabel",)}


def need_extra(extra: str, where: str) -> None:
    """Raise ValueError with the command that installs an extra; where: what asks for it."""
    if missing := [name for name in EXTRAS[extra] if find_spec(name) is None]:
        raise ValueError(
            f"{where} needs {' and '.join(missing)}, not installed here: "
            f"pip install 'gutseg[{extra}]'"
        )
