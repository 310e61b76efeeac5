"""From a file to a model: which it is, what may be chosen, and what is left when it goes wrong."""

from types import SimpleNamespace

import pytest
import torch
from published_states import eccv16_state

from tintype.errors import CheckpointError, UnimportableError
from tintype.imports import importer
from tintype.imports.importer import ImportOptions, import_model
from tintype.imports.kinds import KNOWN


@pytest.fixture
def written(monkeypatch):
    """Puts a stand-in before what writes the model; returns what that was given."""
    given = SimpleNamespace()

    def write_model(model, name, out, training, licence, **options):
        vars(given).update(model=model, name=name, out=out, training=training, licence=licence)
        vars(given).update(options)

    monkeypatch.setattr(importer, "write_model", write_model)
    return given


@pytest.fixture
def file(tmp_path):
    torch.save(eccv16_state(), tmp_path / "some.pth")
    return tmp_path / "some.pth"


def test_what_may_be_chosen_reaches_the_files(file, tmp_path, written):
    options = ImportOptions(
        *("cic.mine", "eccv16", 128, "aspect", "bilinear", True), licence="Mine.", note="Scanned."
    )
    import_model(file, tmp_path / "models", options)
    assert (written.name, written.half) == ("cic.mine", True)
    assert written.changes["enlarge"] == "bilinear"
    size = written.changes["size"]
    assert (size["short_side"], size["shape"], size["resample"]) == (128, "aspect", "bicubic")
    assert written.licence.startswith("Mine. Imported by its user")
    assert written.training["note"].endswith("Scanned.")


def test_a_checksum_says_which_weights_they_are(file, tmp_path, written, monkeypatch):
    heard = []
    import_model(file, tmp_path, say=heard.append)
    assert "published_as" not in written.training
    assert any("Not a known file; SHA-256" in line for line in heard)
    monkeypatch.setitem(KNOWN, importer.sha256(file), ("eccv16", "release.pth"))
    heard.clear()
    import_model(file, tmp_path, say=heard.append)
    assert written.training["published_as"] == "release.pth"
    assert "note" not in written.training
    assert not any("known" in line for line in heard)


def test_the_name_of_a_file_counts_before_that_of_its_folder(tmp_path):
    tags = ("wide", "stable", "video")
    for place, tag in (
        ("stable-models/ColorizeVideo_gen.pth", "video"),
        ("ddcolor_stable/pytorch_model.bin", "stable"),
        ("unstable/pytorch_model.bin", "wide"),
    ):
        path = tmp_path / place
        path.parent.mkdir()
        path.write_bytes(b"x")
        origin = importer._origin(path, tags, ImportOptions())
        assert origin.tag == tag
        assert ("taken from its name" in origin.warning) == (tag != "wide")


def refuse(said, source, out, **options):
    with pytest.raises(UnimportableError, match=said):
        import_model(source, out, ImportOptions(**options))


@pytest.mark.slow
def test_options_that_cannot_be_met_are_refused(file, tmp_path, written, monkeypatch):
    refuse("not a name for it: it takes the form cic.TAG", file, tmp_path, name="tint.mine")
    refuse("not a name for it", file, tmp_path, name="cic.a/b")
    refuse("There is no kind 'vgg'", file, tmp_path, kind="vgg")
    refuse("a multiple of 8 up to 4096", file, tmp_path, size=100)
    refuse("a multiple of 8", file, tmp_path, size=8192)
    (tmp_path / "cic.eccv16.json").write_text("{}")
    refuse("exists: say --overwrite", file, tmp_path)
    import_model(file, tmp_path, ImportOptions(overwrite=True))
    monkeypatch.setattr(importer.shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 16))
    refuse("has room for 0 MB", file, tmp_path / "a" / "b")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("model3.2.bias"), r"cannot be imported: it lacks model3.2.bias\.$"),
        (lambda s: s.update({"extra": torch.ones(1)}), "it has extra"),
        (lambda s: s.update({"model1.2.bias": torch.ones(9)}), r"shape \(9,\), not \(4,\)"),
        (lambda s: s.pop("model8.6.weight"), "differs from eccv16: lacks model8.6.weight"),
        (lambda s: s.update({"model1.0.weight": torch.ones(4)}), "not one of rank 4"),
        (lambda s: [s.pop(k) for k in list(s)] and s.update(a=torch.ones(1)), "no known network"),
    ],
)
def test_files_of_other_networks(tmp_path, written, change, said):
    state = eccv16_state()
    change(state)
    torch.save(state, tmp_path / "x.pth")
    refuse(said, tmp_path / "x.pth", tmp_path)


def test_critics_are_called_so(tmp_path):
    torch.save({"0.0.weight": torch.ones(1)}, tmp_path / "Colorize_crit.pth")
    refuse("it is a critic", tmp_path / "Colorize_crit.pth", tmp_path)


@pytest.mark.parametrize("error", [CheckpointError("They differ."), KeyboardInterrupt()])
def test_nothing_is_left_of_what_ended_early(file, tmp_path, monkeypatch, error):
    def write_model(model, name, out, *rest, **options):
        (out / "deeper").mkdir(parents=True)
        (out / "deeper").rmdir()
        raise error

    monkeypatch.setattr(importer, "write_model", write_model)
    with pytest.raises(type(error)):
        import_model(file, tmp_path / "new" / "models")
    assert [path.name for path in tmp_path.iterdir()] == ["some.pth"]
