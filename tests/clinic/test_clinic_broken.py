"""Files with bytes cut, added or changed are read, or refused with a sentence, never more."""

import random
import shutil

import nibabel
import numpy as np
import pytest
from clinic_cases import grey, write_series

from gutseg.clinic.input import read_volume
from gutseg.clinic.output import write_masks
from gutseg.clinic.resample import fit
from gutseg.ending import explain

SMALL = (3, 8, 8)


def _broken(data, rng):
    """Cut, take out, put in, or change bytes, of a header mostly."""
    data, at = bytearray(data), rng.randrange(len(data))
    kind = rng.randrange(8)
    if kind == 0:
        del data[at:]
    elif kind == 1:
        del data[at : at + rng.choice([1, 2, 100])]
    elif kind == 2:
        data[at:at] = rng.randbytes(rng.choice([1, 2, 8]))
    for _ in range(rng.choice([1, 2, 8]) if kind > 2 else 0):
        place = rng.randrange(min(len(data), 1400))
        data[place] = rng.choice([0, 255, ord("\\"), ord("-"), rng.randrange(256), data[place] ^ 1])
    return bytes(data)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken")
    write_series(folder / "mr", grey(shape=SMALL))
    made = nibabel.Nifti1Image(grey(shape=SMALL).astype(np.int16), np.diag([1.5, 1.5, 3, 1]))
    nibabel.save(made, folder / "x.nii")
    return folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(3))
def test_broken_bytes(place, tmp_path, seed):
    """A few of the 1,200 that were tried when this was written, which ended seven with a bug."""
    rng, refused = random.Random(seed), 0
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)
    files = [*sorted((tmp_path / "mr").iterdir()), tmp_path / "x.nii"]
    for number in range(24):
        file = files[number % len(files)]
        good = file.read_bytes()
        file.write_bytes(_broken(good, rng))
        try:
            volume = read_volume(file if file.suffix else file.parent)
            fit(volume, (3, 1.5, 1.25), "scan")
            masks = np.zeros((3, *volume.image.shape), bool)
            masks[0, 0, 0] = True
            write_masks(tmp_path / "out", volume, masks, "rtstruct", by_hand=False, about={})
        except (ValueError, OSError) as error:
            sentence, refused = explain(error), refused + 1
            assert sentence and "\n" not in sentence and len(sentence) < 600
        file.write_bytes(good)
    assert 0 < refused < 24
