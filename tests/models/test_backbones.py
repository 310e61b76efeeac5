import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from tintype.errors import CheckpointError
from tintype.models.backbones import Backbone, Classifier, DilatedBackbone, SameConv

VARIANTS = {
    # Channels at 1/4, 1/8, 1/16 and 1/32; parameters with folded norms and a gray stem, without
    # the classifier's last layer.
    "mobilenet_v2": ((24, 32, 96, 1280), 2_206_240),
    "efficientnet_lite0": ((24, 40, 112, 1280), 3_349_424),
    "efficientnet_lite2": ((24, 48, 120, 1280), 4_781_448),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_features_come_at_four_scales_with_the_published_channels(variant):
    channels, parameters = VARIANTS[variant]
    with torch.device("meta"):
        network = Backbone(variant)
        features = network(torch.rand(2, 1, 64, 96))
    assert network.channels == channels
    scales = [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert [tuple(f.shape) for f in features] == [
        (2, c, *scale) for c, scale in zip(channels, scales, strict=True)
    ]
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize(("height", "width"), [(8, 12), (7, 12), (8, 9)])
def test_strided_kernels_lie_where_tensorflow_put_them(kernel, height, width):
    """Of k - 2 pixels missing at an even side the smaller half comes first; at odd ones k - 1."""
    torch.manual_seed(0)
    conv, picture = SameConv(1, 1, kernel, 2), torch.rand(1, 1, height, width)
    found = conv(picture)
    assert found.shape[-2:] == (-(-height // 2), -(-width // 2))
    for y in range(found.shape[2]):
        for x in range(found.shape[3]):
            expected = conv.bias.clone()
            for dy in range(kernel):
                for dx in range(kernel):
                    row = 2 * y + dy - (kernel - 2 + height % 2) // 2
                    column = 2 * x + dx - (kernel - 2 + width % 2) // 2
                    if 0 <= row < height and 0 <= column < width:
                        expected = expected + conv.weight[:, 0, dy, dx] * picture[0, 0, row, column]
            torch.testing.assert_close(found[0, :, y, x], expected, atol=1e-5, rtol=1e-4)


def test_symmetric_padding_is_torchs():
    conv, picture = SameConv(2, 3, 3, 2, symmetric=True), torch.rand(1, 2, 8, 9)
    torch.testing.assert_close(conv(picture), F.conv2d(picture, conv.weight, conv.bias, 2, 1))


@torch.no_grad()
@pytest.mark.parametrize("variant", ["mobilenet_v2", "efficientnet_lite0", "tiny"])
def test_a_dilated_backbone_gives_at_every_second_position_what_the_classifier_gives(variant):
    torch.manual_seed(0)
    strided, dilated = Backbone(variant, 0.25), DilatedBackbone(variant, 0.25)
    weights = strided.state_dict()
    dilated.load_state_dict({name: weights[name] for name in dilated.state_dict()})
    gray = torch.rand(1, 1, 64, 96)
    found = dilated(gray)
    assert found.shape == (1, strided.channels[2], 8, 12)
    torch.testing.assert_close(found[..., 1::2, 1::2], strided(gray)[2])


@pytest.mark.parametrize("variant", ["mobilenet_v2", "efficientnet_lite0"])
def test_a_gray_stem_computes_what_a_classifier_of_colors_sees_in_gray(variant, tmp_path):
    torch.manual_seed(0)
    colors, network = Backbone(variant, inputs=3), Backbone(variant)
    weights = colors.state_dict() | {"classifier.weight": torch.zeros(10, 1280)}
    save_file(weights, tmp_path / "classifier.safetensors")
    assert "ImageNet" in network.load_imagenet(tmp_path / "classifier.safetensors")
    gray = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        for own, theirs in zip(network(gray), colors(gray.expand(1, 3, 32, 32)), strict=True):
            torch.testing.assert_close(own, theirs, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("content", [b"", b"not weights at all", None])
def test_a_file_that_holds_no_weights_is_refused(tmp_path, content):
    path = tmp_path / "x.safetensors"
    if content is not None:
        path.write_bytes(content)
    for load in (Backbone("mobilenet_v2").load_imagenet, Classifier.load):
        with pytest.raises(CheckpointError, match="safetensors file or a"):
            load(path)


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file(Backbone("mobilenet_v2", inputs=3).state_dict(), path)
    with pytest.raises(CheckpointError, match="does not hold efficientnet_lite0"):
        Backbone("efficientnet_lite0").load_imagenet(path)
    with pytest.raises(CheckpointError, match="classifier"):
        Classifier.load(path)


def test_the_classifier_gives_probabilities_and_leaves_the_background_out(teacher):
    network = Classifier.load(teacher)
    assert not any(p.requires_grad for p in network.parameters())
    with torch.no_grad():
        network.classifier.bias[0] = 1e4  # the background
        found = network(torch.rand(2, 3, 64, 64))
    assert found.shape == (2, 1000)
    torch.testing.assert_close(found.sum(1), torch.ones(2))
