"""A photograph that cannot be written is refused in a sentence, and what was there stays."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photo.saved import PIXELS, coloured, files
from PIL import Image

from tintype.errors import UnwritablePhotoError
from tintype.photo import Photo, encode, write
from tintype.photo.target import check_target


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(PIXELS).save(path)
    return path


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "BMP"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, format: str, channels: int) -> None:
    resource = pytest.importorskip("resource")
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, channels), dtype=np.uint8)
    path = tmp_path / "photo"
    Photo.from_array(noise).save(path, format=format)
    before = path.read_bytes()
    photo = Photo.open(path)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limit[1]))
    try:
        with pytest.raises(UnwritablePhotoError, match="cannot be written"):
            photo.save(in_place=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert path.read_bytes() == before
    assert files(tmp_path) == ["photo"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("at", ["encode", "fsync", "replace"])
def test_a_failure_leaves_nothing_and_what_was_there_before(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str, error: BaseException
) -> None:
    photo = coloured(source)
    target = tmp_path / "result.png"
    target.write_bytes(b"precious")

    def fail(*_: Any) -> None:
        raise error

    def write_half(_: Photo, file: io.BytesIO, __: list[str]) -> None:
        file.write(b"half of the")
        raise error

    if at == "encode":
        monkeypatch.setitem(encode._WRITERS, "PNG", write_half)
    else:
        monkeypatch.setattr(os, at, fail)
    expected = UnwritablePhotoError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        photo.save(target, overwrite=True)
    monkeypatch.undo()
    assert target.read_bytes() == b"precious"
    assert files(tmp_path) == ["photo.png", "result.png"]


def test_an_interruption_while_the_file_is_made_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = coloured(source)
    made = os.open

    def interrupted(*arguments: Any) -> int:
        os.close(made(*arguments))
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        photo.save(tmp_path / "result.png")
    monkeypatch.undo()
    assert files(tmp_path) == ["photo.png"]


def test_a_file_that_appears_meanwhile_is_not_replaced(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "result.png"
    encoded = write.encode

    def slowly(*arguments: Any) -> tuple[str, ...]:
        target.write_bytes(b"precious")
        return encoded(*arguments)

    monkeypatch.setattr(write, "encode", slowly)
    with pytest.raises(UnwritablePhotoError, match="exists"):
        coloured(source).save(target)
    assert target.read_bytes() == b"precious"
    assert files(tmp_path) == ["photo.png", "result.png"]


def test_what_cannot_be_written_is_said(source: Path, tmp_path: Path) -> None:
    photo = coloured(source)
    with pytest.raises(UnwritablePhotoError, match="make it first"):
        photo.save(tmp_path / "no" / "folder.png")
    with pytest.raises(UnwritablePhotoError, match="is a folder"):
        photo.save(tmp_path, overwrite=True)
    with pytest.raises(UnwritablePhotoError, match="cannot be written"):
        photo.save(source / "below.png")


def test_a_name_that_leads_nowhere_is_refused_in_one_sentence(source: Path, tmp_path: Path) -> None:
    def refused(target: str | Path) -> str:
        with pytest.raises(UnwritablePhotoError) as caught:
            coloured(source).save(target, overwrite=True)
        return str(caught.value)

    assert refused("") == "an empty name was given: name a file to write"
    below = source / "below.png"
    assert refused(below) == f"{below} cannot be written: {source} is a file, not a folder"
    missing = tmp_path / "no" / "folder.png"
    assert refused(missing) == (
        f"{missing} cannot be written: there is no folder {missing.parent}: make it first"
    )
    assert "cannot be written" in refused("a\0b.png")
    loop, lost = tmp_path / "loop.png", tmp_path / "lost.png"
    loop.symlink_to(loop)
    lost.symlink_to(missing)
    assert f"there is no folder {missing.parent}" in refused(lost)
    for target in (loop, tmp_path / f"{'x' * 300}.png"):
        assert refused(target).startswith(f"{target} cannot be written: ")
    assert files(tmp_path) == ["loop.png", "lost.png", "photo.png"]


def protect(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deny writing to a path, for root as well."""
    allowed = os.access

    def access(asked: Any, mode: int) -> bool:
        return Path(asked) != path and allowed(asked, mode)

    monkeypatch.setattr(os, "access", access)


def test_a_file_that_is_write_protected_is_not_replaced(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "result.png"
    target.write_bytes(b"precious")
    protect(target, monkeypatch)
    with pytest.raises(UnwritablePhotoError, match=r"result\.png is write-protected; "):
        coloured(source).save(target, overwrite=True)
    assert target.read_bytes() == b"precious"
    monkeypatch.undo()
    before = source.read_bytes()
    protect(source, monkeypatch)
    with pytest.raises(UnwritablePhotoError, match=r"photo\.png is write-protected; "):
        coloured(source).save(in_place=True)
    assert source.read_bytes() == before


def test_a_folder_that_is_write_protected_is_called_so(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    protect(tmp_path, monkeypatch)
    with pytest.raises(UnwritablePhotoError, match=r"the folder .* is write-protected"):
        coloured(source).save(tmp_path / "result.png")


def test_a_target_is_checked_before_the_work_as_it_is_by_saving(
    source: Path, tmp_path: Path
) -> None:
    check_target(tmp_path / "result.png", source)
    check_target(source, source, in_place=True)
    for target in (source, tmp_path, tmp_path / "no" / "folder.png"):
        with pytest.raises(UnwritablePhotoError):
            check_target(target, source, overwrite=True)


@pytest.mark.parametrize(("format", "side"), [("JPEG", 65501), ("WEBP", 16384), ("AVIF", 32769)])
def test_a_picture_too_long_for_a_format_is_refused(format: str, side: int) -> None:
    photo = Photo.from_array(np.zeros((1, side), dtype=np.uint8))
    with pytest.raises(UnwritablePhotoError, match="choose PNG or TIFF"):
        photo.save(io.BytesIO(), format=format)
