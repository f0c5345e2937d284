import math

import pytest
import timm
import torch
from torch.nn import functional as F

from gutseg.models import load_encoder
from gutseg.models.segmenter import MaskTransformer, segmenter

# timm's own network for tests: width 64, six blocks, patches of 16 pixels
TINY = "test_vit"


def _norm(tokens, state, name):
    mean, spread = tokens.mean(-1, keepdim=True), tokens.var(-1, keepdim=True, unbiased=False)
    return (tokens - mean) / (spread + 1e-5).sqrt() * state[f"{name}.weight"] + state[
        f"{name}.bias"
    ]


def _linear(tokens, state, name):
    return tokens @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def _attention(tokens, state, name, heads):
    width = tokens.shape[2]
    query, key, value = _linear(tokens, state, f"{name}.qkv").chunk(3, dim=-1)
    mixed = torch.zeros_like(tokens)
    for head in range(heads):
        own = slice(head * width // heads, (head + 1) * width // heads)
        likeness = query[..., own] @ key[..., own].mT / math.sqrt(width // heads)
        mixed[..., own] = likeness.softmax(-1) @ value[..., own]
    return _linear(mixed, state, f"{name}.proj")


def _plain(decoder, features, heads):
    """[Strudel 2021] section 3.2, one equation a line."""
    state = decoder.state_dict()
    batch, _, height, columns = features.shape
    classes = state["tokens"].shape[1]
    patches = torch.stack([features[:, :, i, j] for i in range(height) for j in range(columns)], 1)
    patches = _linear(patches, state, "project")
    both = torch.cat((patches, state["tokens"].repeat(batch, 1, 1)), dim=1)
    for block in range(len(decoder.blocks)):
        name = f"blocks.{block}"
        both = both + _attention(_norm(both, state, f"{name}.norm1"), state, f"{name}.attn", heads)
        hidden = F.gelu(_linear(_norm(both, state, f"{name}.norm2"), state, f"{name}.mlp.fc1"))
        both = both + _linear(hidden, state, f"{name}.mlp.fc2")
    both = _norm(both, state, "norm")
    masks = torch.zeros(batch, height * columns, classes, dtype=features.dtype)
    for label in range(classes):
        token = both[:, height * columns + label] @ state["class_projection"]
        for place in range(height * columns):
            patch = both[:, place] @ state["patch_projection"]
            masks[:, place, label] = (
                (patch * token).sum(-1) / patch.norm(dim=-1) / token.norm(dim=-1)
            )
    return masks.transpose(1, 2).reshape(batch, classes, height, columns)


@pytest.mark.parametrize("mask_norm", ["affine", "layer"])
def test_the_decoder_is_that_of_the_paper(mask_norm):
    torch.manual_seed(0)
    decoder = MaskTransformer(128, 3, layers=2, dropout=0.5, mask_norm=mask_norm).eval().double()
    for parameter in decoder.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    features = torch.randn(2, 128, 3, 4, dtype=torch.float64)
    with torch.no_grad():
        found, expected = decoder(features), _plain(decoder, features, heads=2)
        if mask_norm == "layer":
            mean, spread = (
                expected.mean(1, keepdim=True),
                expected.var(1, keepdim=True, correction=0),
            )
            expected = (expected - mean) / (spread + 1e-5).sqrt()
        weight, bias = decoder.mask_norm.weight, decoder.mask_norm.bias
        expected = expected * weight[:, None, None] + bias[:, None, None]
    torch.testing.assert_close(found, expected)


def test_logits_are_the_masks_grown_from_patches_to_pixels():
    torch.manual_seed(0)
    network = segmenter(1, 2, encoder=TINY).eval()
    classifier = timm.create_model(TINY, in_chans=1, num_classes=0)
    classifier.load_state_dict(network.encoder.model.state_dict())
    images = torch.rand(1, 1, 160, 160)  # the encoder's own size: no position is resampled
    with torch.no_grad():
        tokens = classifier.eval().forward_features(images)[:, 1:]  # without the class token
        masks = network.decoder(tokens.transpose(1, 2).reshape(1, 64, 10, 10))
        logits = network(images)
    torch.testing.assert_close(logits, F.interpolate(masks, scale_factor=16.0, mode="bilinear"))


def test_parameters_of_seg_s_mask_16():
    """A vision transformer of 22 M and two blocks of 1.8 M.

    The authors' table of models says 27 M and counts a classifier that is not used.
    """
    with torch.device("meta"):
        network = segmenter(3, 150)
        encoder = timm.create_model("vit_small_patch16_384", num_classes=0)
    count = sum(parameter.numel() for parameter in network.parameters())
    block = 12 * 384**2 + 13 * 384
    decoder = 2 * block + 3 * 384**2 + 3 * 384 + 150 * 384 + 2 * 150
    assert count == sum(parameter.numel() for parameter in encoder.parameters()) + decoder
    assert count == 25_861_932


def test_logits_start_at_unit_scale_though_cosines_do_not():
    torch.manual_seed(0)
    decoder = MaskTransformer(192, 3, layers=2, dropout=0.0, mask_norm="affine")
    assert 0.2 < decoder(torch.randn(2, 192, 8, 8)).std() < 5


def test_a_layer_norm_over_one_class_is_refused():
    with pytest.raises(ValueError, match="mask_norm layer compares classes; with one class give"):
        segmenter(1, 1, encoder=TINY, mask_norm="layer")


def test_only_vision_transformers_of_timm():
    with pytest.raises(ValueError, match="unknown encoder 'vit_tiny_patch16_24'; close .*_224"):
        segmenter(1, 1, encoder="vit_tiny_patch16_24")
    with pytest.raises(ValueError, match="unknown encoder 'resnet18'"):
        segmenter(1, 1, encoder="resnet18")


def test_a_classifiers_file_fills_the_encoder():
    torch.manual_seed(0)
    network = segmenter(5, 1, encoder=TINY)
    state = timm.create_model(TINY).state_dict()
    load_encoder(network, state)
    loaded = network.encoder.model.state_dict()
    assert torch.equal(loaded["blocks.5.mlp.fc2.weight"], state["blocks.5.mlp.fc2.weight"])
    assert torch.equal(loaded["pos_embed"], state["pos_embed"])
    kernel = state["patch_embed.proj.weight"].sum(1) / 5
    torch.testing.assert_close(loaded["patch_embed.proj.weight"][:, 2], kernel)


def test_published_weights_are_asked_for_by_the_name_that_was_given(monkeypatch):
    create, asked = timm.create_model, []

    def download(name, pretrained=False, **options):
        made = create(name, **options)
        if pretrained:
            asked.append((name, made))
        return made

    monkeypatch.setattr(timm, "create_model", download)
    network = segmenter(1, 1, encoder=TINY, encoder_weights="imagenet")
    ((name, published),) = asked
    assert name == TINY
    assert torch.equal(network.encoder.model.norm.weight, published.norm.weight)
    assert torch.equal(network.encoder.model.pos_embed, published.pos_embed)


def test_an_encoder_that_cannot_be_fetched_says_what_to_do(monkeypatch):
    create = timm.create_model

    def offline(name, pretrained=False, **options):
        if pretrained:
            raise OSError("no route to host")
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ValueError, match="could not be fetched .no route to host.; .*local file"):
        segmenter(1, 1, encoder=TINY, encoder_weights="imagenet")
