"""Titles, slugs, licences, sources and machines that Kaggle would refuse are refused at home."""

import json
import re

import pytest

from gutseg.kaggle.bundle import KERNELS
from gutseg.kaggle.metadata import (
    KERNEL,
    check,
    dataset_issues,
    kernel_issues,
    slug,
    write_dataset,
    write_kernel,
)

GOOD_DATASET = {"title": "gutseg bundle", "id": "me/gutseg-bundle", "licenses": [{"name": "other"}]}
BAD_DATASETS = {
    "title short": ({"title": "gut", "id": "me/gut"}, "title 'gut' has 3 characters; expected 6 t"),
    "title long": (
        {"title": "g" * 51, "id": "me/" + "g" * 51},
        "has 51 characters; expected",
    ),
    "no title": ({"title": ""}, "title '' has 0 characters; expected 6 to 50"),
    "slug of capitals": ({"id": "me/Gutseg-Bundle"}, "id 'me/Gutseg-Bundle'; expected user/slug"),
    "slug short": ({"id": "me/gut"[:6], "title": "g u"}, "expected user/slug, the slug of 6 to 50"),
    "slug with blanks": ({"id": "me/gutseg bundle"}, "id 'me/gutseg bundle'; expected user/slug"),
    "slug ends with a dash": (
        {"id": "me/gutseg-bundle-"},
        "id 'me/gutseg-bundle-'; expected user/",
    ),
    "no user": ({"id": "gutseg-bundle"}, "id 'gutseg-bundle'; expected user/slug"),
    "another slug": (
        {"id": "me/gutseg-weights"},
        "does not end with the title's slug, 'gutseg-",
    ),
    "no licence": ({"licenses": []}, r"licenses is \[\]; expected .*one of CC0-1.0, "),
    "two licences": ({"licenses": [{"name": "other"}] * 2}, "expected .*one of CC0-1.0"),
    "unknown licence": (
        {"licenses": [{"name": "MIT"}]},
        r"licenses is ..'name': 'MIT'.*one of CC0",
    ),
    "licence as text": ({"licenses": "other"}, "licenses is 'other'; expected"),
    "subtitle short": ({"subtitle": "short"}, "subtitle has 5 characters; expected 20 to 80"),
    "mistyped": ({"licences": []}, "licences: unknown key; did you mean 'licenses'"),
}


@pytest.mark.parametrize("fault", BAD_DATASETS)
def test_what_kaggle_would_not_take_of_a_dataset(fault):
    assert dataset_issues(GOOD_DATASET) == []
    change, message = BAD_DATASETS[fault]
    found = "; ".join(dataset_issues(GOOD_DATASET | change))
    assert re.search(message, found), found


@pytest.fixture
def kernel(tmp_path):
    """The metadata of kernels/infer, filled in."""
    write_kernel(KERNELS / "infer" / KERNEL, tmp_path, "me", "gutseg")
    return json.loads((tmp_path / KERNEL).read_text())


BAD_KERNELS = {
    "no machine": ({"machine_shape": None}, "machine_shape is None; expected one of NvidiaTeslaT4"),
    "a P100": ({"machine_shape": "NvidiaTeslaP100"}, "may give a P100, which torch 2.10 does not"),
    "internet": ({"enable_internet": True}, "enable_internet is true; a kernel that is scored has"),
    "a flag as text": ({"enable_gpu": "true"}, "enable_gpu is 'true'; expected true or false"),
    "another language": ({"language": "r"}, "language 'r'.* expected python and a script"),
    "a script called notebook": (
        {"kernel_type": "notebook"},
        "code_file 'infer.py'; expected py",
    ),
    "a source without user": ({"dataset_sources": ["b"]}, "dataset_sources: 'b'; expected user/sl"),
    "sources as text": ({"kernel_sources": "me/x"}, "kernel_sources is 'me/x'; expected a list of"),
    "no competition": (
        {"competition_sources": []},
        "competition_sources lacks uw-madison-gi",
    ),
    "title short": ({"title": "inf", "id": "me/inf"}, "title 'inf' has 3 characters; expected 6 t"),
    "slug of another title": (
        {"title": "gutseg other"},
        "not end with the title's slug, 'gut",
    ),
    "mistyped": ({"machine_shap": "NvidiaTeslaT4"}, "machine_shap: unknown key; did you mean 'mac"),
}


@pytest.mark.parametrize("fault", BAD_KERNELS)
def test_what_kaggle_would_not_take_of_a_kernel_or_would_not_run(kernel, fault):
    assert kernel_issues(kernel) == []
    change, message = BAD_KERNELS[fault]
    found = "; ".join(kernel_issues(kernel | change))
    assert re.search(message, found), found


def test_what_is_attached_stands_among_the_sources(tmp_path):
    attach = ["code/me/gutseg-train", "datasets/You_2/my-masks"]
    write_kernel(KERNELS / "cv" / KERNEL, tmp_path, "me", "gutseg", attach)
    content = json.loads((tmp_path / KERNEL).read_text())
    assert content["kernel_sources"] == ["me/gutseg-train"]
    assert content["dataset_sources"] == ["me/gutseg-cv-bundle", "You_2/my-masks"]
    for wrong in ("me/gutseg-train", "code/gutseg-train", "models/me/x", "code/me/Gutseg Train"):
        with pytest.raises(ValueError, match="expected datasets/OWNER/SLUG, or code/OWNER/SLUG"):
            write_kernel(KERNELS / "cv" / KERNEL, tmp_path, "me", "gutseg", [wrong])


def test_a_slug_is_the_title_in_small_letters_with_dashes():
    assert slug("  Gut & Seg: Bundle 2! ") == "gut-seg-bundle-2"


def test_a_name_that_makes_a_title_too_long_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"dataset-metadata.json: title '.*has 57 characters; exp"):
        write_dataset(tmp_path, "me", "n" * 50)
    assert not any(tmp_path.iterdir())


def test_a_build_whose_parts_do_not_belong_together_is_refused(tmp_path):
    for part in ("bundle", "infer"):
        (tmp_path / part).mkdir()
    write_dataset(tmp_path / "bundle", "me", "gutseg")
    write_kernel(KERNELS / "infer" / KERNEL, tmp_path / "infer", "me", "gutseg")
    with pytest.raises(ValueError, match="code_file 'infer.py' is not a file next to it; build ag"):
        check(tmp_path)
    (tmp_path / "infer" / "infer.py").write_text("")
    check(tmp_path)
    write_dataset(tmp_path / "bundle", "me", "other")
    with pytest.raises(
        ValueError, match=r"dataset_sources \['me/gutseg-bundle'\] lacks the bundle"
    ):
        check(tmp_path)
    (tmp_path / "bundle" / "dataset-metadata.json").write_text("[]")
    with pytest.raises(ValueError, match="dataset-metadata.json does not hold an object; build"):
        check(tmp_path)
