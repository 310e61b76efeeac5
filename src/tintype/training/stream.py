"""Stream training photographs that no memory holds: read at their place in the shards, each epoch.

Nothing is kept of a photograph but where it lies, so that any batch can be made at any time: its
photographs follow from the seed and the step alone. An epoch takes the files in random order; a
shuffle buffer then mixes their photographs. torch's DataLoader decodes batches ahead in processes
of their own.
"""

from __future__ import annotations

import os
import signal
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tintype.errors import DataError
from tintype.training.data import ab_of, draw_epoch
from tintype.training.files import (
    color_beyond_tone,
    decode,
    frequencies,
    mean_chroma,
    places,
    thumbnail,
)
from tintype.training.parallel import processes_here

BUFFER = 16_384  #: photographs in the shuffle buffer: so far one moves from its place in the shards
_PIXELS = 100  # of each photograph on which a prior is computed
_UNKNOWN, _COLORED, _GRAY = range(3)  # what is known of a photograph's color
_TRIES = 1_000  # photographs that may be unusable one after the other


@dataclass
class PhotoStream:
    """Color photographs in files, decoded when they are wanted; otherwise like a `PhotoStore`.

    One that turns out to be unusable (gray, damaged, too small) is replaced by another, always the
    same.

    Attributes:
        files: paths of the shards and single images, encoded as bytes, (files,).
        file: index of each photograph's file, int32 (N,).
        offset, size: its place in the file, in bytes, int64 (N,).
        folder: index of its folder, int32 (N,).
        color: whether it is in color, as far as a process that shares it has looked, int8 (N,).
        folders: names of the folders, e.g. ``source/label``.
        short_side, min_color, min_chroma: see `tintype.training.data.load_photos`.
        frequency: as in `PhotoStore`.
        classes: index of each folder's class, int64 (folders,), -1 for none; None without labels.
        device: where batches are wanted.
    """

    files: np.ndarray
    file: Tensor
    offset: Tensor
    size: Tensor
    folder: Tensor
    color: Tensor
    folders: list[str]
    short_side: int
    min_color: float
    min_chroma: float
    frequency: Tensor | None = None
    classes: Tensor | None = None
    device: torch.device | str = "cpu"

    def __len__(self) -> int:
        return len(self.offset)

    def said(self) -> str:
        """Say in a line that the photographs are streamed."""
        return (
            f"streamed: decoded, these {len(self):,} photographs do not fit where they would be "
            f"held (--memory, --store); files in random order, a shuffle buffer of {BUFFER:,} "
            f"photographs, decoded by {workers()} processes"
        )

    def to(self, device: torch.device) -> PhotoStream:
        """Return the photographs for batches on another device."""
        return replace(self, device=device)

    def split(self, val_size: int) -> tuple[PhotoStream, PhotoStream]:
        """Split off the last ``val_size`` photographs, for validation."""
        at = len(self) - val_size

        def part(cut: slice) -> PhotoStream:
            names = ("file", "offset", "size", "folder", "color")
            arrays = {name: getattr(self, name)[cut] for name in names}
            weights = None if self.frequency is None else self.frequency[cut]
            return replace(self, **arrays, frequency=weights)

        return part(slice(0, at)), part(slice(at, None))

    def epoch(self, random: torch.Generator) -> Tensor:
        """Draw the photographs of an epoch, in their order, int64 (N,)."""
        drawn = draw_epoch(self.frequency, len(self), random)
        turn = torch.randperm(len(self.files), generator=random)
        drawn = drawn[turn[self.file[drawn].long()].argsort(stable=True)]  # shard by shard
        moved = BUFFER * torch.rand(len(drawn), generator=random, dtype=torch.float64)
        return drawn[(torch.arange(len(drawn)) + moved).argsort()]

    def take(
        self, index: Tensor, top: Tensor, left: Tensor, side: int
    ) -> tuple[Tensor, Tensor | None]:
        """Return square crops as `crops` does, and class probabilities, (N, classes), or None.

        Raises:
            DataError: hardly any photograph is usable.
        """
        crops: list[np.ndarray | None] = [None] * len(index)
        used, missing = index.tolist(), list(range(len(index)))
        down, right = top.numpy(), left.numpy()
        for tries in range(_TRIES):
            found = self._decoded([used[k] for k in missing])
            for k, photo in zip(missing, found, strict=True):
                if photo is None:
                    used[k] = int(np.random.default_rng((int(index[k]), tries)).integers(len(self)))
                else:
                    height, width = photo.shape[0] - side, photo.shape[1] - side
                    y = min(int(down[k] * np.float32(height + 1)), height)
                    x = min(int(right[k] * np.float32(width + 1)), width)
                    crops[k] = photo[y : y + side, x : x + side]
            missing = [k for k in missing if crops[k] is None]
            if not missing:
                break
        else:
            raise DataError(
                f"Hardly any of the {len(self):,} images is a usable color photograph: give tar "
                "shards or folders of color photographs."
            )
        rgb = torch.from_numpy(np.stack([crop for crop in crops if crop is not None]))
        return rgb.permute(0, 3, 1, 2), self._labels(used)

    def crops(self, index: Tensor, top: Tensor, left: Tensor, side: int) -> Tensor:
        """Return square crops, uint8 (N, 3, side, side); see `PhotoStore.crops`."""
        return self.take(index, top, left, side)[0].to(self.device)

    def sample_ab(self, count: int, seed: int) -> Tensor:
        """Return ab of random pixels in Lab units, about (count, 2); see `PhotoStore.sample_ab`."""
        random = torch.Generator().manual_seed(seed)
        drawn = self.epoch(random)  # in an order that mixes a few shards at a time
        photos = drawn[torch.randperm(len(drawn), generator=random)[: max(1, count // _PIXELS)]]
        found = []
        for index in photos.split(64):
            top, left = torch.rand((2, len(index)), generator=random)
            rgb = self.take(index, top, left, self.short_side)[0].flatten(2)  # (n, 3, pixels)
            pixel = torch.randint(rgb.shape[2], (len(index), 1, _PIXELS), generator=random)
            found.append(rgb.gather(2, pixel.expand(-1, 3, -1)).transpose(1, 2).flatten(0, 1))
        return ab_of(torch.cat(found))

    def ahead(
        self, take: Callable[[int], tuple[Tensor, Tensor | None]], steps: Iterable[int]
    ) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        """Yield each step with what ``take`` gives for it, made ahead in other processes."""
        loader = DataLoader(
            _Steps(take),
            batch_size=None,
            sampler=steps,
            num_workers=workers(),
            worker_init_fn=_ignore_ctrl_c,
            generator=torch.Generator(),  # not the global one, on which dropout depends
        )
        try:
            for made in loader:
                if isinstance(made, DataError):
                    raise made
                yield made
        except RuntimeError as error:
            raise DataError(
                f"A process that decodes photographs ended ({str(error).partition(chr(10))[0]}): "
                "free memory, then go on with --resume."
            ) from error

    def _decoded(self, index: Sequence[int]) -> list[np.ndarray | None]:
        """Return photographs, uint8 (H, W, 3); None for those that are left out."""
        color = self.color.numpy()
        photos = [
            "without color" if color[k] == _GRAY else decode(self._read(k), self.short_side)
            for k in index
        ]
        decoded = [(k, p) for k, p in zip(index, photos, strict=True) if not isinstance(p, str)]
        if unknown := [(k, photo) for k, photo in decoded if color[k] == _UNKNOWN]:
            thumbs = torch.from_numpy(np.stack([thumbnail(photo) for _, photo in unknown]))
            good = color_beyond_tone(thumbs) >= self.min_color
            if self.min_chroma:
                good &= mean_chroma(thumbs) >= self.min_chroma
            color[[k for k, _ in unknown]] = torch.where(good, _COLORED, _GRAY).numpy()
        return [
            np.asarray(photo) if not isinstance(photo, str) and color[k] == _COLORED else None
            for k, photo in zip(index, photos, strict=True)
        ]

    def _read(self, k: int) -> bytes:
        """Return the bytes of a photograph; none of one that cannot be read."""
        try:
            with open(self.files[int(self.file[k])], "rb") as file:
                file.seek(int(self.offset[k]))
                return file.read(int(self.size[k]))
        except OSError:
            return b""

    def _labels(self, index: Sequence[int]) -> Tensor | None:
        if self.classes is None:
            return None
        own = self.classes[self.folder[torch.tensor(index)].long()]
        return one_hot(own, int(self.classes.max()) + 1)


def one_hot(classes: Tensor, count: int) -> Tensor:
    """Return rows, float32 (N, count), that are 1 at a class, int64 (N,); -1 has no class."""
    return (classes[:, None] == torch.arange(count)).float()


class _Steps(Dataset):
    """What a function gives for a step, as DataLoader asks for it; errors are handed on whole."""

    def __init__(self, take: Callable[[int], tuple[Tensor, Tensor | None]]) -> None:
        self.take = take

    def __getitem__(self, step: int) -> tuple[int, Tensor, Tensor | None] | DataError:
        try:
            return step, *self.take(step)
        except DataError as error:
            return error


def _ignore_ctrl_c(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that trains ends the others


def workers() -> int:
    """Return how many processes decode: one for each core of this run that the loop leaves."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS or Windows
        cores = os.cpu_count() or 1
    return max(1, cores // processes_here() - 1)


def open_stream(
    paths: Sequence[Path],
    unpacked: Path,
    *,
    short_side: int,
    min_color: float,
    min_chroma: float,
    limit: int | None,
    sampling_weights: Mapping[str, float],
) -> PhotoStream:
    """List the photographs of paths without decoding them.

    Args:
        paths, short_side, min_color, min_chroma, limit, sampling_weights: see
            `tintype.training.data.load_photos`.
        unpacked: folder for gzipped shards, which are unpacked there once: only an unpacked one
            can be read at any place.

    Raises:
        DataError: as `load_photos` does, or there is no room to unpack a shard.
    """
    files: list[bytes] = []
    folders: dict[str, int] = {}
    file, offset, size, folder = array("i"), array("q"), array("q"), array("i")
    for path, name, start, length in islice(places(paths, unpacked), limit):
        if not files or files[-1] != os.fsencode(path):
            files.append(os.fsencode(path))
        file.append(len(files) - 1)
        offset.append(start)
        size.append(length)
        folder.append(folders.setdefault(name.rpartition("/")[0], len(folders)))
    if not files:
        raise DataError(
            f"No image in {', '.join(map(str, paths))}: give tar shards or folders of color "
            "photographs."
        )
    names = [str(PurePosixPath(name)) for name in folders]  # "." for none, as in `load_photos`
    weights = frequencies([f"{name}/x" for name in names], sampling_weights)
    place = [torch.from_numpy(np.array(values)) for values in (file, offset, size, folder)]
    return PhotoStream(
        np.array(files),
        *place,
        color=torch.full((len(file),), _UNKNOWN, dtype=torch.int8).share_memory_(),
        folders=names,
        short_side=short_side,
        min_color=min_color,
        min_chroma=min_chroma,
        frequency=None if weights is None else weights[place[-1].long()],
    )
