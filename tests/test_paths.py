import pytest

from gutseg.constants import COMPETITION
from gutseg.paths import competition_folder, need_file, read_json, replacing, write_json


@pytest.mark.parametrize("below", ["", COMPETITION, f"competitions/{COMPETITION}"])
def test_both_mount_forms_of_kaggle_are_found(tmp_path, below):
    folder = tmp_path / below
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sample_submission.csv").touch()
    assert competition_folder(tmp_path) == folder


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a" / "x.txt"
    with replacing(path) as temporary:
        temporary.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("disk full")
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["x.txt"]


def test_a_folder_is_replaced_whole(tmp_path):
    for number in range(2):
        with replacing(tmp_path / "scan") as temporary:
            temporary.mkdir()
            (temporary / f"{number}.npy").touch()
    assert [p.name for p in (tmp_path / "scan").iterdir()] == ["1.npy"]


def test_json_and_missing_files(tmp_path):
    write_json(tmp_path / "x.json", {"a": [1, 2]})
    assert read_json(tmp_path / "x.json") == {"a": [1, 2]}
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ValueError, match="x.json is not valid JSON"):
        read_json(tmp_path / "x.json")
    with pytest.raises(FileNotFoundError, match="gone.csv does not exist; make it"):
        need_file(tmp_path / "gone.csv", "make it")
