"""Find photographs in shards, folders and manifests, and decode them."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import AvifImagePlugin, Image
from torch import Tensor

from tintype.errors import DataError, GrayPhotoError, PhotoError
from tintype.models.torch_color import (
    gray_to_f,
    linear_to_ab,
    linear_to_cbcr,
    srgb_to_gray,
    srgb_to_linear,
)
from tintype.photo import read_reduced

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif"}
# Photographs are decoded side by side: threads of their own cost one of them twice the time.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
_THUMB = 16  # side in pixels of the thumbnail on which color is measured


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield names and bytes of the images in a shard, folder, manifest or image file.

    Raises:
        DataError: the path is none of these, or cannot be read.
    """
    for name, file in sources(path):
        with naming(path):
            if not is_shard(file):
                yield name, file.read_bytes()
                continue
            with tarfile.open(file) as tar:
                for member in tar:
                    if not is_image(member.name):
                        continue
                    try:
                        content = tar.extractfile(member)
                    except KeyError:  # a link to a file outside the shard
                        content = None
                    if content is not None:
                        yield member.name, content.read()


def sources(path: Path) -> Iterator[tuple[str, Path]]:
    """Yield the shards and single images of a path; of the images, with their names.

    Raises:
        DataError: the path is no training data, or cannot be read.
    """
    with naming(path):
        if path.suffix not in (".txt", ".json") or not path.is_file():
            yield from _sources(path)
            return
        for listed in _manifest(path):
            listed = Path(listed).as_posix()
            for name, file in _sources(path.parent / listed):
                yield listed if name == Path(listed).name else f"{listed}/{name}", file


def _sources(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if is_image(file.name):
                yield file.relative_to(path).as_posix(), file
    elif is_shard(path) or is_image(path.name):
        yield path.name, path
    else:
        raise DataError(
            f"{path} is not training data: give tar shards, folders of images, or a manifest (.txt "
            "with one path per line, .json with a list of paths)."
        )


def is_shard(path: Path) -> bool:
    """Tell by its name whether a file is a tar shard, gzipped or not."""
    return path.name.endswith((".tar", ".tar.gz", ".tgz"))


def is_image(name: str) -> bool:
    """Tell by its name whether a file, or a member of a shard, is an image."""
    return Path(name).suffix.lower() in _SUFFIXES


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn errors of reading into a `DataError` that names the path."""
    try:
        yield
    except (tarfile.TarError, OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); make it again, or leave it out of the data."
        ) from error


def _manifest(path: Path) -> list[str]:
    """Return the paths in a manifest, relative to its folder."""
    text = path.read_text()
    if path.suffix == ".txt":
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path} is not a manifest: a .json manifest is a list of paths.")
    return names


def places(paths: Sequence[Path], unpacked: Path) -> Iterator[tuple[Path, str, int, int]]:
    """Yield file, name, offset and size in bytes (-1 for a whole file) of each image.

    Links inside a shard are left out.

    Args:
        paths: shards, folders, manifests or image files.
        unpacked: folder for gzipped shards, which are unpacked there once: only a plain one can be
            read at any place.

    Raises:
        DataError: a path is no training data, cannot be read, or not unpacked.
    """
    for path in map(Path, paths):
        for name, file in sources(path):
            if not is_shard(file):
                yield file, name, 0, -1
                continue
            with naming(file), tarfile.open(plain := _plain(file, unpacked), "r:") as tar:
                for member in tar:
                    # It would keep them all, a kilobyte each.
                    tar.members = []  # pyright: ignore[reportAttributeAccessIssue]
                    if member.isreg() and is_image(member.name):
                        yield plain, member.name, member.offset_data, member.size


def _plain(shard: Path, folder: Path) -> Path:
    """Return a shard that is not gzipped: the given one, or one that is unpacked here."""
    with open(shard, "rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return shard
    stat = shard.stat()
    key = f"{shard.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    plain = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.tar"
    if not plain.exists():
        folder.mkdir(exist_ok=True)
        partial = plain.with_suffix(f".{os.getpid()}.partial")
        try:
            with gzip.open(shard) as packed, open(partial, "wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)
            os.replace(partial, plain)
        except (OSError, EOFError, zlib.error) as error:
            partial.unlink(missing_ok=True)
            raise DataError(
                f"{shard} cannot be unpacked into {folder} ({error}): make room, or give shards "
                "that are not gzipped."
            ) from error
    return plain


def decode(data: bytes, short_side: int) -> Image.Image | str:
    """Return a photograph in RGB, or the reason to leave it out."""
    try:
        photo = read_reduced(data, short_side)
    except GrayPhotoError:
        return "gray"
    except PhotoError:
        return "unreadable"
    short, longer = sorted(photo.size)
    if short < short_side / 2:
        return "too small"
    if longer > 4 * short:
        return "too narrow"
    if short < short_side:
        width, height = (max(short_side, round(s * short_side / short)) for s in photo.size)
        photo = photo.resize((width, height), Image.Resampling.LANCZOS)
    return photo


def thumbnail(photo: Image.Image) -> np.ndarray:
    """Return the thumbnail on which color is measured, uint8 (h, w, 3)."""
    return np.asarray(photo.resize((_THUMB, _THUMB), Image.Resampling.BOX))


def color_beyond_tone(thumbs: Tensor) -> Tensor:
    """Return how colorful photographs are, not counting a uniform tone, in Lab units, (N,).

    In a toned print ab is a function of lightness. The result is the root mean square residual of
    ab after a quadratic fit in lightness.

    Args:
        thumbs: thumbnails, uint8 (N, h, w, 3).
    """
    left = []
    for part in thumbs.split(4096):
        rgb = part.float().permute(0, 3, 1, 2) / 255
        ab = linear_to_ab(srgb_to_linear(rgb)).flatten(2).transpose(1, 2)  # (N, h * w, 2)
        light = gray_to_f(srgb_to_gray(rgb)).flatten(1)
        # Project ab on an orthonormal basis of 1, L and L^2 of each photograph.
        basis = torch.linalg.qr(torch.stack((light**0, light, light**2), -1).double())[0].float()
        residual = ab - basis @ (basis.transpose(1, 2) @ ab)
        left.append(residual.square().mean((1, 2)).sqrt())
    return torch.cat(left)


def mean_chroma(thumbs: Tensor) -> Tensor:
    """Return the mean of |Cb| + |Cr|, each in [-0.5, 0.5], of thumbnails, uint8 (N, h, w, 3)."""
    linear = srgb_to_linear(thumbs.float().permute(0, 3, 1, 2) / 255)
    return linear_to_cbcr(linear).abs().sum(1).mean((1, 2))


def frequencies(names: Sequence[str], weights: Mapping[str, float]) -> Tensor | None:
    """Return the frequency of each photograph by its name, or None; see `load_photos`."""
    if not weights:
        return None
    folders = {PurePosixPath(folder): factor for folder, factor in weights.items()}
    missed = set(folders)
    frequency = torch.ones(len(names), dtype=torch.float64)
    for k, name in enumerate(names):
        # The innermost folder that has a weight decides.
        inside = next((f for f in PurePosixPath(name).parents if f in folders), None)
        if inside is not None:
            frequency[k] = folders[inside]
            missed.discard(inside)
    if missed:
        there = sorted({str(PurePosixPath(name).parent) for name in names} - {"."})
        raise DataError(
            f"No photograph lies in {', '.join(sorted(map(str, missed)))}: a sampling weight names "
            "a folder relative to the --data path that it is in. The folders are "
            f"{', '.join(there[:20]) or 'none'}{', and more' if len(there) > 20 else ''}."
        )
    return frequency
