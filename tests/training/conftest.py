import pytest
from scenes import encoded, scene, write_shard


@pytest.fixture(scope="session")
def shard(tmp_path_factory):
    """A shard of 24 scenes."""
    files = [(f"drawn/scene/{k:06}.png", encoded(scene(k))) for k in range(24)]
    return write_shard(tmp_path_factory.mktemp("data") / "train-00000.tar", files)
