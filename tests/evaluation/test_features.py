import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tintype.errors import DataError
from tintype.evaluation.features.inception import InceptionV3
from tintype.evaluation.features.load import load_feature_networks
from tintype.evaluation.features.lpips import LPIPS
from tintype.evaluation.features.weights import load_state_dict, read_state_dict
from tintype.models.backbones import Classifier

RANDOM = np.random.default_rng(0)
PICTURE = RANDOM.integers(0, 256, (80, 96, 3), dtype=np.uint8)
OTHER = PICTURE[::-1].copy()


class Tiny(torch.nn.Module):
    """A feature network made by the test."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 2, 1)
        self.bn = torch.nn.BatchNorm2d(2)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_inception_is_the_published_network_without_its_classifiers():
    with torch.device("meta"):
        network = InceptionV3()
    # torchvision prints 27,161,264: 3,326,696 are of the auxiliary classifier, 2,049,000 of fc.
    assert count(network) == 27_161_264 - 3_326_696 - 2_049_000
    names = set(network.state_dict())
    assert {
        "Conv2d_1a_3x3.conv.weight",
        "Conv2d_4a_3x3.bn.running_var",
        "Mixed_5b.branch5x5_2.conv.weight",
        "Mixed_6a.branch3x3dbl_3.bn.bias",
        "Mixed_6e.branch7x7dbl_5.conv.weight",
        "Mixed_7a.branch7x7x3_4.conv.weight",
        "Mixed_7c.branch3x3dbl_3b.conv.weight",
        "Mixed_7c.branch_pool.bn.weight",
    } <= names
    assert network.Mixed_6b.branch7x7dbl_2.conv.weight.shape == (128, 128, 7, 1)


@pytest.mark.slow
def test_inception_sees_pictures_of_any_size_and_differs_in_its_poolings():
    torch.manual_seed(0)
    ours, theirs = InceptionV3().eval(), InceptionV3(tensorflow=True).eval()
    theirs.load_state_dict(ours.state_dict())
    with torch.inference_mode():
        x = torch.rand(1, 3, 64, 80)
        first, second = ours(x), theirs(x)
    assert first.shape == second.shape == (1, 2048)
    assert not torch.allclose(first, second)
    # The last block's pooling branch is the last 192 values: its maxima exceed means.
    assert second[0, -192:].sum() != first[0, -192:].sum()


@pytest.mark.slow
@pytest.mark.parametrize(("outputs", "kind"), [(1008, "TensorFlow"), (1000, "torchvision")])
def test_the_file_tells_which_inception_it_is(outputs, kind, tmp_path):
    weights = InceptionV3().state_dict()
    weights["fc.bias"] = torch.zeros(outputs)
    weights["AuxLogits.conv0.conv.weight"] = torch.zeros(1)  # not needed, no harm
    torch.save({k: v for k, v in weights.items() if "num_batches" not in k}, tmp_path / "i.pth")
    networks = load_feature_networks(fid=tmp_path / "i.pth", threads=1)
    assert kind in networks.notes["fid"]
    assert networks.inception_features is not None
    assert networks.inception_features(PICTURE).shape == (2048,)
    assert networks.classify is networks.lpips is None


def test_lpips_has_the_published_layers():
    with torch.device("meta"):
        network = LPIPS()
    assert count(network.features) == 2_469_696  # torchvision's AlexNet.features
    names = set(network.state_dict())
    assert {f"features.{k}.weight" for k in (0, 3, 6, 8, 10)} <= names
    assert {f"lin{k}.model.1.weight" for k in range(5)} <= names
    shapes = [tuple(getattr(network, f"lin{k}").model[1].weight.shape) for k in range(5)]
    assert shapes == [(1, c, 1, 1) for c in (64, 192, 384, 256, 256)]


def lpips_files(folder):
    torch.manual_seed(0)
    weights = {name: value.abs() for name, value in LPIPS().state_dict().items()}
    alexnet = {k: v for k, v in weights.items() if k.startswith("features")}
    heads = {k: v for k, v in weights.items() if k.startswith("lin")}
    torch.save({**alexnet, "classifier.1.weight": torch.zeros(2)}, folder / "alexnet.pth")
    torch.save(heads, folder / "alex.pth")
    return [folder / "alexnet.pth", folder / "alex.pth"]


def test_lpips_reads_two_files_and_is_nought_of_equal_pictures(tmp_path):
    distance = load_feature_networks(lpips_files=lpips_files(tmp_path)).lpips
    assert distance is not None
    assert distance(PICTURE, PICTURE) == 0
    assert distance(PICTURE, OTHER) > 0
    assert distance(PICTURE, OTHER) == pytest.approx(distance(OTHER, PICTURE), rel=1e-5)
    assert np.isnan(distance(PICTURE[:40], OTHER[:40]))  # too small for the last layer


def test_lpips_by_hand():
    network = LPIPS().eval()
    for k in range(5):
        torch.nn.init.constant_(getattr(network, f"lin{k}").model[1].weight, k + 1.0)
    x, y = torch.rand(2, 1, 3, 64, 64)
    with torch.no_grad():
        expected = 0.0
        first, second = ((2 * z - 1 - network.shift) / network.scale for z in (x, y))
        for k, layer in enumerate(network.features):
            first, second = layer(first), layer(second)
            if k in (1, 4, 7, 9, 11):
                a, b = (z / (z.pow(2).sum(1, keepdim=True).sqrt() + 1e-10) for z in (first, second))
                weight = 1.0 + (1, 4, 7, 9, 11).index(k)
                expected += weight * float((a - b).pow(2).sum(1).mean())
        assert float(network(x, y)) == pytest.approx(expected, rel=1e-5)


def test_the_classifier_labels_pictures(tmp_path):
    torch.manual_seed(0)
    save_file(Classifier().state_dict(), tmp_path / "c.safetensors")
    networks = load_feature_networks(classifier=tmp_path / "c.safetensors")
    assert networks.classify is not None
    assert 0 <= networks.classify(PICTURE) < 1000
    assert "MobileNetV2" in networks.notes["label_agreement"]


def test_a_file_that_was_cut_off_is_named_wherever_that_was(tmp_path):
    path = tmp_path / "old.pth"
    torch.save({"a": torch.zeros(3)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    for length in range(0, len(content), 3):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"old.pth cannot be used \(.+\)"):
            read_state_dict(path, "Tiny")


def test_any_network_is_filled_by_name(tmp_path):
    save_file(
        {k: v for k, v in Tiny().state_dict().items() if "num_batches" not in k},
        tmp_path / "tiny.safetensors",
    )
    weights = read_state_dict(tmp_path / "tiny.safetensors", "Tiny")
    network = Tiny()
    load_state_dict(network, weights, tmp_path, "Tiny")
    assert torch.equal(network.conv.weight, weights["conv.weight"])
    assert not network.training
    del weights["bn.running_mean"]
    with pytest.raises(DataError, match=r"bn.running_mean is missing.*needed: Tiny"):
        load_state_dict(Tiny(), weights, tmp_path, "Tiny")
    weights["bn.running_mean"] = torch.zeros(3)
    with pytest.raises(DataError, match=r"bn.running_mean is \(3,\) there"):
        load_state_dict(Tiny(), weights, tmp_path, "Tiny")


@pytest.mark.parametrize("content", [None, b"", b"no weights", "list", "code"])
def test_a_file_that_is_none_is_named_with_what_is_needed(content, tmp_path):
    path = tmp_path / "weights.pth"
    if content == "list":
        torch.save([1, 2], path)
    elif content == "code":
        torch.save({"a": Tiny()}, path)  # objects are never unpickled
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"weights.pth cannot be used .*pytorch-fid"):
        load_feature_networks(fid=path)
    with pytest.raises(DataError, match=r"weights.pth cannot be used .*PerceptualSimilarity"):
        load_feature_networks(lpips_files=[path])
    with pytest.raises(DataError, match=r"weights.pth cannot be used.*google-coral"):
        load_feature_networks(classifier=path)
