import pytest
import torch
from safetensors.torch import save_file
from scenes import encoded, scene, write_shard

from tintype.systems.mobilenet import Classifier


@pytest.fixture(scope="session")
def shard(tmp_path_factory):
    """A shard of 24 scenes."""
    files = [(f"drawn/scene/{k:06}.png", encoded(scene(k))) for k in range(24)]
    return write_shard(tmp_path_factory.mktemp("data") / "train-00000.tar", files)


@pytest.fixture(scope="session")
def teacher(tmp_path_factory):
    """A classifier that knows nothing, in the file format of one that does."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("teacher") / "classifier.safetensors"
    save_file({k: v.half() for k, v in Classifier().state_dict().items()}, path)
    return path
