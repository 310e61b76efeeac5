import torch
import torch.nn.functional as F

from tintype.systems.mobilenet import DepthwiseConv, MobileNetV2


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
