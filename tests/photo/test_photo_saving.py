"""Writing: whole or not at all, and over nothing that was not given up."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from photo.saved import PIXELS, coloured, files, saved
from PIL import Image
from serving import all_done, at_once

from tintype.errors import UnwritablePhotoError
from tintype.photo import Photo
from tintype.photo.encoding import requested_format


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(PIXELS).save(path)
    return path


def test_a_photograph_is_written_to_a_path_or_a_file(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "result.png"
    assert coloured(source).save(target) == ()
    with (tmp_path / "other.png").open("wb") as file:
        coloured(source).save(file)
    assert target.read_bytes() == (tmp_path / "other.png").read_bytes()
    assert Photo.open(target).colors is not None
    assert files(tmp_path) == ["other.png", "photo.png", "result.png"]


def test_a_photograph_is_written_into_a_pipe(source: Path) -> None:
    for format in ("TIFF", "PNG"):
        read, sink = os.pipe()
        with os.fdopen(sink, "wb") as pipe:
            coloured(source).save(pipe, format=format)
        with os.fdopen(read, "rb") as pipe:
            assert Photo.open(pipe).format == format


def test_the_extension_decides_the_format_and_the_argument_over_it(
    source: Path, tmp_path: Path
) -> None:
    photo = coloured(source)
    for name, format, expected in [
        ("a.jpg", None, "JPEG"),
        ("b.JPEG", None, "JPEG"),
        ("c.tif", None, "TIFF"),
        ("d", None, "PNG"),
        ("e.webp", "tiff", "TIFF"),
        ("f.xyz", "jpg", "JPEG"),
    ]:
        photo.save(tmp_path / name, format=format)
        assert Photo.open(tmp_path / name).format == expected
    with pytest.raises(UnwritablePhotoError, match=r"\.jpg, \.png"):
        photo.save(tmp_path / "photo.gif")
    with pytest.raises(UnwritablePhotoError, match="choose JPEG, PNG"):
        photo.save(tmp_path / "photo.png", format="GIF")


def test_a_strange_extension_of_the_photograph_itself_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "album.1923"
    Image.fromarray(PIXELS).save(path, "JPEG")
    coloured(path).save(tmp_path / "result.1923")
    assert Photo.open(tmp_path / "result.1923").format == "JPEG"


@pytest.mark.parametrize("name", ["result", "noext.colorized", "x.compare", "a.b.colorized"])
def test_a_name_without_an_extension_takes_the_photographs_format(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "noext"
    Image.fromarray(PIXELS).save(path, "JPEG")
    assert requested_format(tmp_path / name, path) is None
    coloured(path).save(tmp_path / name)
    assert Photo.open(tmp_path / name).format == "JPEG"


def test_the_format_of_a_name_is_known_before_the_work() -> None:
    assert requested_format(Path("a.JPEG"), Path("b.png")) == "JPEG"
    assert requested_format(Path("a.1923"), Path("b.1923")) is None
    for strange in ("a.xyz", "a.1923", "a.colorized.xyz"):
        with pytest.raises(UnwritablePhotoError, match=r"end it in \.jpg"):
            requested_format(Path(strange), Path("b.jpg"))


def test_a_picture_from_memory_becomes_a_png() -> None:
    assert Photo.open(saved(Photo.from_array(PIXELS))).format == "PNG"


def test_the_photograph_itself_is_replaced_only_in_place(source: Path, tmp_path: Path) -> None:
    before = source.read_bytes()
    link = tmp_path / "link.png"
    link.symlink_to(source)
    hard = tmp_path / "hard.png"
    os.link(source, hard)
    photo = coloured(source)
    for target in (source, link, hard, tmp_path / "." / "photo.png"):
        with pytest.raises(UnwritablePhotoError, match="--in-place"):
            photo.save(target, overwrite=True)
    assert source.read_bytes() == before
    photo.save(in_place=True)
    assert Photo.open(source).colors is not None
    with pytest.raises(UnwritablePhotoError, match="where to write"):
        photo.save()
    with pytest.raises(UnwritablePhotoError, match="where to write"):
        Photo.from_array(PIXELS).save(in_place=True)


def test_in_place_gives_up_no_other_file(source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    other.write_bytes(b"precious")
    with pytest.raises(UnwritablePhotoError, match="--overwrite"):
        coloured(source).save(other, in_place=True)
    assert other.read_bytes() == b"precious"


def test_a_file_that_exists_is_replaced_only_on_demand(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "result.png"
    target.write_bytes(b"precious")
    with pytest.raises(UnwritablePhotoError, match="--overwrite"):
        coloured(source).save(target)
    assert target.read_bytes() == b"precious"
    coloured(source).save(target, overwrite=True)
    assert Photo.open(target).width == 8


def test_a_link_is_written_through(source: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "result.png", tmp_path / "link.png"
    link.symlink_to(target)
    coloured(source).save(link)
    assert link.is_symlink()
    assert Photo.open(target).width == 8


def test_the_file_behind_a_link_is_replaced_and_the_link_stays(
    source: Path, tmp_path: Path
) -> None:
    target, link = tmp_path / "result.png", tmp_path / "link.png"
    target.write_bytes(b"precious")
    link.symlink_to(target)
    with pytest.raises(UnwritablePhotoError, match="--overwrite"):
        coloured(source).save(link)
    coloured(source).save(link, overwrite=True)
    assert link.is_symlink()
    assert not target.is_symlink()
    assert Photo.open(target).width == 8


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_named_pipe_is_written_to_and_not_replaced(
    source: Path, tmp_path: Path, overwrite: bool
) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()))
    reader.start()
    coloured(source).save(path, overwrite=overwrite)
    reader.join()
    assert Photo.open(got[0]).width == 8
    assert path.is_fifo()
    assert files(tmp_path) == ["photo.png", "pipe"]


def test_a_device_is_written_to_and_not_replaced(source: Path) -> None:
    for overwrite in (False, True):
        coloured(source).save(os.devnull, overwrite=overwrite)
    assert Path(os.devnull).is_char_device()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device")
def test_a_device_that_is_full_is_an_error(source: Path) -> None:
    with pytest.raises(UnwritablePhotoError, match=r"No space left on device$"):
        coloured(source).save("/dev/full")


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="open files have no names")
def test_an_open_file_is_written_to_by_its_name(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"precious")
    before = path.stat().st_ino
    with path.open("ab") as file:
        coloured(source).save(f"/dev/fd/{file.fileno()}")
    assert path.stat().st_ino == before
    assert path.read_bytes().startswith(b"precious\x89PNG")


def test_a_pipe_that_nobody_reads_any_more_stays_a_broken_pipe(source: Path) -> None:
    read, sink = os.pipe()
    os.close(read)
    with os.fdopen(sink, "wb", buffering=0) as pipe, pytest.raises(BrokenPipeError):
        coloured(source).save(pipe)


class Sips(io.RawIOBase):
    """A raw file that takes seven bytes at a time, and in all no more than it has room for."""

    def __init__(self, room: int) -> None:
        self.room, self.got = room, bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        part = bytes(data)[: min(7, self.room - len(self.got))]
        self.got += part
        return len(part)


def test_all_is_written_to_a_file_that_takes_a_part_at_a_time(source: Path) -> None:
    sips = Sips(10**6)
    coloured(source).save(cast("BinaryIO", sips))
    assert sips.got == saved(coloured(source))
    with pytest.raises(UnwritablePhotoError, match="no more bytes"):
        coloured(source).save(cast("BinaryIO", Sips(20)))


def test_an_object_that_does_not_count_what_it_writes_is_believed(source: Path) -> None:
    got: list[bytes] = []
    file: Any = type("Sink", (), {"write": lambda self, data: got.append(bytes(data))})()
    coloured(source).save(file)
    assert Photo.open(b"".join(got)).width == 8


def test_what_is_no_file_for_bytes_is_refused_with_what_to_give(
    source: Path, tmp_path: Path
) -> None:
    photo = coloured(source)
    with (tmp_path / "closed").open("wb") as closed:
        pass
    with pytest.raises(UnwritablePhotoError, match="closed"):
        photo.save(closed)
    with source.open("rb") as unwritable, pytest.raises(UnwritablePhotoError):
        photo.save(unwritable)
    for other in (io.StringIO(), 5, b"name.png"):
        with pytest.raises(UnwritablePhotoError, match="open\\(path, 'wb'\\)"):
            photo.save(cast("Any", other))


@pytest.mark.skipif(os.name == "nt", reason="no such permissions")
def test_permissions_are_those_of_a_new_file_or_of_the_one_replaced(
    source: Path, tmp_path: Path
) -> None:
    old = os.umask(0o027)
    try:
        coloured(source).save(tmp_path / "new.png")
        source.chmod(0o604)
        coloured(source).save(in_place=True)
    finally:
        os.umask(old)
    assert (tmp_path / "new.png").stat().st_mode & 0o777 == 0o640
    assert source.stat().st_mode & 0o777 == 0o604


def test_threads_open_and_save_at_the_same_time(source: Path, tmp_path: Path) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for round in range(5):
                target = tmp_path / f"{number}-{round}.tif"
                coloured(source).save(target)
                assert Photo.open(target).width == 8
        except BaseException as error:
            failures.append(error)

    all_done(at_once(work, *((number,) for number in range(4))))
    assert not failures
    assert limit == Image.MAX_IMAGE_PIXELS
