import pytest
import timm
import torch

from gutseg.models import build, load_encoder

# (encoder, the timm classifier whose weights it takes or None for its own, channels)
DEFAULT = [
    ("resnet18", None, 1),
    ("mobileone_s0", None, 5),
    ("tu-convnext_atto", "convnext_atto", 5),
]
# (encoder, classifier, tolerance)
REST = [
    ("mit_b0", None, 1e-5),
    ("tu-resnet18", "resnet18", 1e-5),
    # A weight-standardising stem is exact up to the epsilon of its standard deviation.
    ("tu-eca_nfnet_l0", "eca_nfnet_l0", 0.01),
    ("tu-tf_efficientnetv2_s", "tf_efficientnetv2_s", 1e-5),
    ("tu-regnety_002", "regnety_002", 1e-5),
    ("tu-mobilenetv3_small_100", "mobilenetv3_small_100", 1e-5),
    ("densenet121", None, 1e-5),
    ("efficientnet-b0", None, 1e-5),
]


def _features(network, images):
    with torch.no_grad():
        return [scale for scale in network.encoder(images)[1:] if scale.numel()]


def _assert_grey_answers_agree(encoder, classifier, tolerance, channels):
    torch.manual_seed(0)
    published = build("smp", 3, 1, encoder=encoder).eval()
    if classifier is not None:
        load_encoder(published, timm.create_model(classifier).state_dict())
    network = build("smp", channels, 1, encoder=encoder).eval()
    load_encoder(network, published.encoder.state_dict())
    grey = torch.rand(2, 1, 64, 64)
    expected = _features(published, grey.expand(-1, 3, -1, -1))
    found = _features(network, grey.expand(-1, channels, -1, -1))
    for one, other in zip(expected, found, strict=True):
        assert (one - other).abs().max() < tolerance * one.abs().max()


@pytest.mark.parametrize(("encoder", "classifier", "channels"), DEFAULT)
def test_a_grey_image_gets_the_answer_of_the_published_encoder(encoder, classifier, channels):
    _assert_grey_answers_agree(encoder, classifier, 1e-5, channels)


@pytest.mark.slow
@pytest.mark.parametrize(("encoder", "classifier", "tolerance"), REST)
def test_a_grey_image_gets_the_answer_of_another_encoder(encoder, classifier, tolerance):
    _assert_grey_answers_agree(encoder, classifier, tolerance, 5)


def test_timm_classifier_fills_three_channels_exactly():
    torch.manual_seed(0)
    classifier = timm.create_model("resnet18").eval()
    network = build("smp", 3, 1, encoder="tu-resnet18").eval()
    load_encoder(network, classifier.state_dict())
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = classifier.forward_features(images)
    torch.testing.assert_close(_features(network, images)[-1], expected)


@pytest.mark.parametrize("prefix", ["encoder.", "module.encoder.", "model.", "net.encoder.model."])
@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18"])
def test_prefixes_and_foreign_parts_are_left_out(prefix, encoder):
    state = timm.create_model("resnet18").state_dict()
    wrapped = {f"{prefix}{key}": value for key, value in state.items()}
    wrapped["decoder.blocks.0.weight"] = torch.zeros(1)
    network = build("smp", 5, 1, encoder=encoder)
    load_encoder(network, wrapped)
    found = network.encoder.get_parameter(_key(encoder, "layer4.1.bn2.weight"))
    assert torch.equal(found, state["layer4.1.bn2.weight"])
    stem = network.encoder.get_parameter(_key(encoder, "conv1.weight"))
    torch.testing.assert_close(stem[:, 3], state["conv1.weight"].sum(1) / 5)


def _key(encoder, key):
    return f"model.{key}" if encoder.startswith("tu-") else key


def test_a_whole_network_of_the_same_kind_will_do():
    trained, network = (build("smp", channels, 3, encoder="resnet18") for channels in (3, 5))
    load_encoder(network, trained.state_dict())
    assert torch.equal(network.encoder.layer4[1].bn2.weight, trained.encoder.layer4[1].bn2.weight)
    assert torch.equal(
        network.encoder.layer1[0].conv1.weight, trained.encoder.layer1[0].conv1.weight
    )


def test_a_cut_encoder_takes_the_weights_of_a_whole_one():
    options = {"encoder_depth": 3, "decoder_channels": [32, 16, 8]}
    network = build("smp", 5, 3, encoder="tu-convnext_atto", options=options)
    state = timm.create_model("convnext_atto").state_dict()
    load_encoder(network, state)
    found = network.encoder.get_parameter("model.stages_1.blocks.0.norm.weight")
    assert torch.equal(found, state["stages.1.blocks.0.norm.weight"])


def _without(state, ending):
    return {key: value for key, value in state.items() if not key.endswith(ending)}


def test_old_checkpoints_without_batch_counters_load():
    state = _without(timm.create_model("resnet18").state_dict(), "num_batches_tracked")
    network = build("smp", 5, 3, encoder="resnet18")
    load_encoder(network, state)
    loaded = network.encoder.state_dict()
    for name in ("layer4.1.conv2.weight", "layer1.0.bn1.running_var"):
        assert torch.equal(loaded[name], state[name])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda state: {}, "100 .*missing"),
        (lambda state: _without(state, "conv1.weight"), r"9 \(conv1.weight, .*missing, 0 left"),
        (
            lambda state: {**state, "layer4.2.bias": torch.zeros(1)},
            r"1 \(layer4.2.bias\) left over",
        ),
        (lambda state: {**state, "bn1.weight": torch.zeros(3)}, r"bn1_weight \(3,\) for \(64,\)"),
        (
            lambda state: {**state, "conv1.weight": torch.zeros(64, 3, 5, 5)},
            r"conv1_weight \(64, 3, 5, 5\) for \(64, 5, 7, 7\)",
        ),
        (
            lambda state: {**state, "conv1.weight": torch.zeros(64, 4, 7, 7)},
            r"conv1_weight \(64, 4, 7, 7\) for \(64, 5, 7, 7\)",
        ),
        (lambda state: timm.create_model("resnet34").state_dict(), "layer1.2.* left over"),
    ],
)
def test_weights_that_do_not_fit_are_named_and_nothing_is_copied(spoil, message):
    network = build("smp", 5, 3, encoder="resnet18")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        load_encoder(network, spoil(timm.create_model("resnet18").state_dict()))
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_a_network_without_a_library_encoder_says_so():
    with pytest.raises(ValueError, match="UNet has no encoder to load"):
        load_encoder(build("unet4", 3, 3), {})


def test_a_deeper_variant_is_refused_though_timm_spells_its_stages_otherwise():
    state = timm.create_model("convnext_atto").state_dict()
    state["stages.1.blocks.2.norm.weight"] = torch.zeros(80)
    with pytest.raises(ValueError, match=r"1 \(stages.1.blocks.2.norm.weight\) left over"):
        load_encoder(build("smp", 5, 3, encoder="tu-convnext_atto"), state)
