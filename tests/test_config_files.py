"""Configs that are broken as files: every one ends in one sentence that names place and key."""

import pytest

from gutseg.config import Blend, Config, dump, load, load_blend, validate
from gutseg.config.plain_yaml import parse

GOOD = b"name: x\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.yaml is empty"),
        (b"\x93NUMPY\x01\x00\xff", r"x.yaml is not UTF-8 text \(byte 0\)"),
        ("name: x".encode("utf-16"), r"x.yaml is not UTF-8 text \(byte 0\)"),
        (b"name: \x00", "x.yaml is not valid YAML: unacceptable character #x0000"),
        (b"train: {epochs: 3\n", "x.yaml is not valid YAML: line 2: expected ',' or '}'"),
        (b"name: x\ntrain:\n  epochs: 3\n  epochs: 9\n", "line 4: the key 'epochs' is given twice"),
        (b"name: x\nname: x\n", "line 2: the key 'name' is given twice"),
        (b"a: &x [1]\nb: *x\n", r"line 2: \*x repeats another place; write its value out"),
        (b"[" * 5000, "line 1: nested deeper than 32 levels"),
        (b"a: {" * 5000, "line 1: nested deeper than 32 levels"),
        (b"".join(b" " * n + b"a:\n" for n in range(500)), "line 32: nested deeper than 32"),
        (b"1: 2\n", "line 1: a key of type int; keys are text, write it in quotes"),
        (b"no: 2\n", "line 1: a key of type bool"),
        (b"? [a]\n: 2\n", "line 1: a key of type seq"),
        (b"name: !!int ''\n", "line 1: the tag tag:yaml.org,2002:int is not supported"),
        (b"name: !!python/name:os.system\n", "line 1: the tag .*os.system is not supported"),
        (b"name: x\n---\nname: y\n", "line 2: but found another document"),
        (b"#" * 2**20 + GOOD, "x.yaml has 1048584 bytes, at most 1048576 were expected"),
    ],
    ids=lambda value: repr(value[:16]) if isinstance(value, bytes) else "",
)
def test_a_broken_file_is_named_with_the_line(tmp_path, content, message):
    (tmp_path / "x.yaml").write_bytes(content)
    for read in (load, load_blend):
        with pytest.raises(ValueError, match=message) as error:
            read(tmp_path / "x.yaml")
        assert "\n" not in str(error.value)


def test_a_folder_a_device_and_a_link_to_nothing_are_called_so(tmp_path):
    (tmp_path / "gone").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError, match="is a folder, expected a file; give a YAML"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="/dev/null is a device or a pipe"):
        load(type(tmp_path)("/dev/null"))
    with pytest.raises(FileNotFoundError, match="gone is a link to nowhere, which is gone"):
        load(tmp_path / "gone")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs=[3", r"'train.epochs=\[3' is not valid YAML: line 1: expected"),
        ("train.epochs={a: b: c}", "'train.epochs={a: b: c}' is not valid YAML: line 1"),
        ("name=" + "[" * 5000, "is not valid YAML: line 1: nested deeper than 32 levels"),
        ("name=\x00", "is not valid YAML: unacceptable character"),
        ("train={epochs: 1, epochs: 2}", "line 1: the key 'epochs' is given twice"),
        # what Python takes for a number
        ("train.epochs=true", "train.epochs: .*valid integer, found True"),
        ("train.epochs='3'", "train.epochs: .*valid integer, found '3'"),
        ("train.epochs=3.0", "train.epochs: .*valid integer, found 3.0"),
        ("train.epochs=2.5", "train.epochs: .*valid integer, found 2.5"),
        ("train.epochs=010", "train.epochs: .*valid integer, found 10.0"),
        ("train.epochs=1:30", "train.epochs: .*valid integer, found '1:30'"),
        ("train.epochs=٣", "train.epochs: .*valid integer, found '٣'"),
        ("train.epochs=" + "9" * 5000, "train.epochs: .*valid integer, found inf"),
        ("train.epochs=10000000000", "train.epochs: .*less than or equal to 1000000000"),
        ("optim.lr=true", "optim.lr: .*valid number, found True"),
        ("optim.lr='1e-3'", "optim.lr: .*valid number, found '1e-3'"),
        ("optim.lr=1٣", "optim.lr: .*valid number, found '1٣'"),
        ("optim.lr=.inf", "optim.lr: .*finite number, found inf"),
        ("optim.lr=1e999", "optim.lr: .*finite number, found inf"),
        ("optim.weight_decay=.nan", "optim.weight_decay: .*finite number, found nan"),
        ("train.amp=1", "train.amp: .*valid boolean, found 1"),
        ("stack.slices=true", "stack.slices: expected a number, found true"),
        ("seed=4294967296", "seed: .*less than 4294967296"),
        ("geometry.size=[320, true]", "geometry.size.1: .*valid integer, found True"),
        ("geometry.size=[320, 5000]", "geometry.size.1: .*less than or equal to 4096"),
        ("train.batch_size=1000000", "train.batch_size: 1000000 images of 5 x 320 x 384 take 2,2"),
        ("predict.batch_size=100000", "predict.batch_size: 100000 images .* 229 GB; at most 16"),
        ("model.params={norm: true}", "model.params.norm: "),
        ("loss.params={dice_weight: true}", "loss.params.dice_weight: .*valid number, found True"),
        ("loss.params={dice_weight: .inf}", "loss.params.dice_weight: .*finite number"),
        # names that would become folders elsewhere
        *((f"name={name}", "name: .* cannot be the name of a folder")
          for name in ("../x", "/x", "a/b", "'a\\b'", ".", "..", ".hidden", "''", "' x'",
                       '"a\\nb"', '"a\\tb"', '"\\e[2J"', '"\\u202e"', "'c:d'", "x" * 200)),
        ("name=7", "name: .*valid string, found 7"),
        ("runs=''", "runs: '' is not a path"),
        ('data.folder="a\\0b"', "data.folder: 'a.x00b' is not a path"),
    ],
    ids=lambda value: ascii(value)[:40],
)  # fmt: skip
def test_an_override_that_is_no_value_is_refused(tmp_path, override, message):
    (tmp_path / "x.yaml").write_bytes(GOOD)
    with pytest.raises(ValueError, match=message) as error:
        load(tmp_path / "x.yaml", [override])
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_ordinary_names_and_numbers_stay_allowed(tmp_path):
    (tmp_path / "my run.2.yaml").write_bytes(b"optim: {lr: 1}\ntrain: {clip_norm: 5}\n")
    config = load(tmp_path / "my run.2.yaml")
    assert (config.name, config.optim.lr, config.train.clip_norm) == ("my run.2", 1.0, 5.0)
    for name in ("größe-2", "2024-01-05", "a..b", "x" * 150):
        assert load(tmp_path / "my run.2.yaml", [f"name={name}"]).name == name


def test_text_that_looks_like_a_number_comes_back_as_text(tmp_path):
    for name in ("1e3", "010", "0x1F", "1_0", "no", "null", "2024-01-05", "~"):
        dump(Config(name=name), tmp_path / "x.yaml")
        assert load(tmp_path / "x.yaml").name == name


def test_byte_order_marks_are_no_part_of_the_first_key(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbfname: y\n")
    assert load(tmp_path / "x.yaml").name == "y"


def test_five_problems_are_named_and_the_rest_counted():
    with pytest.raises(ValueError, match=r"x.yaml: a0: unknown .*; a4: [^;]*;[^;]*; and 15 more"):
        validate(Config, {"name": "x"} | {f"a{n}": 1 for n in range(20)}, "x.yaml")


def test_a_long_value_is_shown_by_its_start():
    with pytest.raises(ValueError, match=r"found \['xxxx.*\.\.\. \(100004 characters\)$"):
        validate(Config, {"name": "x", "seed": ["x" * 100_000]}, "x.yaml")


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ({"folds": [0, 0]}, "members.0.folds: fold 0 is listed twice"),
        ({"folds": [-1]}, "members.0.folds.0: found -1, expected the number of a fold, or full"),
        (
            {"folds": [True]},
            "members.0.folds.0: found True, expected the number of a fold, or full",
        ),
        ({"weight": float("inf")}, "members.0.weight: .*finite number, found inf"),
        ({"weight": float("nan")}, "members.0.weight: .*finite number, found nan"),
        ({"weight": True}, "members.0.weight: .*valid number, found True"),
        ({"run": ""}, "members.0.run: '' is not a path"),
    ],
)
def test_a_member_that_cannot_be(member, message):
    content = {"members": [{"run": "r", "folds": [0]} | member]}
    with pytest.raises(ValueError, match=message):
        validate(Blend, content, "blend.yaml")


def test_an_unknown_metric_of_a_blend_is_named():
    content = {"members": [{"run": "r", "folds": [0]}], "metric": "defualt"}
    with pytest.raises(ValueError, match="metric: unknown name 'defualt'; did you mean 'default'"):
        validate(Blend, content, "blend.yaml")


def test_only_decimal_numbers_are_numbers():
    assert parse("[010, 0x10, 1:30, 2024-01-05, 1_000, -7]") == [
        *(10.0, "0x10", "1:30", "2024-01-05", 1000, -7)
    ]
