import pytest
import torch
import torch.nn.functional as F

from tintype.systems.mobilenet import Classifier, DepthwiseConv, MobileNetV2


def test_features_come_at_four_scales_with_the_published_channels():
    features = MobileNetV2()(torch.rand(2, 1, 64, 96))
    shapes = [tuple(f.shape) for f in features]
    assert shapes == [(2, 24, 16, 24), (2, 32, 8, 12), (2, 96, 4, 6), (2, 1280, 2, 3)]


def test_published_parameter_count():
    # 3.4 M of the paper with batch norms folded, less the classifier's 1.28 M and two of the
    # stem's three input channels; exact by layer sums.
    assert sum(p.numel() for p in MobileNetV2().parameters()) == 2_206_240


def test_strided_depthwise_gives_the_same_values_and_gradients_in_training():
    layer = DepthwiseConv(6, stride=2).to(torch.bfloat16)
    results = []
    for training in (True, False):
        layer.train(training)
        x = torch.rand(2, 6, 12, 10, generator=torch.Generator().manual_seed(0))
        x = x.to(torch.bfloat16).requires_grad_()
        layer.zero_grad()
        y = layer(x)
        y.square().sum().backward()
        results.append((y.detach(), x.grad, layer.weight.grad.clone(), layer.bias.grad.clone()))
    for fast, plain in zip(*results, strict=True):
        torch.testing.assert_close(fast, plain)


@pytest.mark.parametrize(("height", "width"), [(8, 12), (7, 12), (8, 9)])
def test_the_classifiers_kernels_lie_where_tensorflow_put_them(height, width):
    """Its "SAME" pads an even size at the far side only, an odd one on both (stride 2, 3x3)."""
    stem = Classifier().stem
    picture = torch.rand(1, 3, height, width)
    found = stem(picture)
    kernel, bias = stem.weight, stem.bias
    assert found.shape[-2:] == (-(-height // 2), -(-width // 2))
    for y in range(found.shape[2]):
        for x in range(found.shape[3]):
            expected = bias.clone()
            for dy in range(3):
                for dx in range(3):
                    row, column = 2 * y + dy - height % 2, 2 * x + dx - width % 2
                    if 0 <= row < height and 0 <= column < width:
                        expected = expected + kernel[:, :, dy, dx] @ picture[0, :, row, column]
            torch.testing.assert_close(found[0, :, y, x], expected, atol=1e-5, rtol=1e-4)


def test_every_strided_convolution_of_the_classifier_pads_alike():
    strided = [m for m in Classifier().modules() if getattr(m, "stride", None) == (2, 2)]
    assert len(strided) == 5
    assert {layer.padding for layer in strided} == {(0, 0)}


def test_gray_stem_computes_what_a_colour_classifier_sees_in_gray():
    encoder = MobileNetV2()
    weights = {k: v.clone() for k, v in encoder.state_dict().items()}
    weights["stem.weight"] = torch.randn(32, 3, 3, 3)
    weights["classifier.weight"] = torch.zeros(10, 1280)  # what the encoder does not need
    encoder.load_imagenet(weights)
    gray = torch.rand(1, 1, 32, 32)
    colour = F.conv2d((2 * gray - 1).expand(1, 3, 32, 32), weights["stem.weight"], None, 2, 1)
    own = F.conv2d(2 * gray - 1, encoder.stem.weight, None, 2, 1)
    torch.testing.assert_close(own, colour, atol=1e-5, rtol=1e-4)
