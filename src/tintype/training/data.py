"""Load training photographs, decoded once into one flat array in memory or in a mapped file."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tintype.errors import DataError
from tintype.models.torch_color import linear_to_ab, srgb_to_linear
from tintype.training.files import (
    color_beyond_tone,
    decode,
    frequencies,
    mean_chroma,
    members,
    sources,
    thumbnail,
)


@dataclass
class PhotoStore:
    """Gamma-encoded RGB photographs of any sizes, in one tensor on one device.

    Attributes:
        pixels: all photographs one after the other, uint8 (total pixels, 3).
        start: index of each photograph's first pixel, int64 (N,).
        height, width: size of each photograph in pixels, int64 (N,).
        dropped: number of photographs that were left out, by reason.
        names: name of each photograph, e.g. ``source/label/id.jpg``.
        labels: class probabilities of each photograph, float16 (N, classes), or None.
        frequency: relative frequency at which each is drawn, float64 (N,) on the CPU; None for
            equal frequencies.
    """

    pixels: Tensor
    start: Tensor
    height: Tensor
    width: Tensor
    dropped: dict[str, int]
    names: list[str]
    labels: Tensor | None = None
    frequency: Tensor | None = None

    def __len__(self) -> int:
        return len(self.start)

    @property
    def device(self) -> torch.device:
        """Return the device of the photographs."""
        return self.pixels.device

    def to(self, device: torch.device) -> PhotoStore:
        """Return the photographs on another device."""
        return replace(
            self,
            pixels=self.pixels.to(device),
            start=self.start.to(device),
            height=self.height.to(device),
            width=self.width.to(device),
            labels=None if self.labels is None else self.labels.to(device),
        )

    def split(self, val_size: int) -> tuple[PhotoStore, PhotoStore]:
        """Split off the last ``val_size`` photographs, for validation; pixels are shared."""
        at = len(self) - val_size

        def part(cut: slice) -> PhotoStore:
            return replace(
                self,
                start=self.start[cut],
                height=self.height[cut],
                width=self.width[cut],
                names=self.names[cut],
                labels=None if self.labels is None else self.labels[cut],
                frequency=None if self.frequency is None else self.frequency[cut],
            )

        return part(slice(0, at)), part(slice(at, None))

    def crops(self, index: Tensor, top: Tensor, left: Tensor, side: int) -> Tensor:
        """Return square crops, uint8 (N, 3, side, side).

        Args:
            index: indices of the photographs, (N,).
            top, left: positions in [0, 1], from the first to the last possible one, (N,).
            side: in pixels, at most the shorter side of every photograph.
        """
        device = self.pixels.device
        index = index.to(device)
        width = self.width[index]
        y = (top.to(device) * (self.height[index] - side + 1)).long()
        x = (left.to(device) * (width - side + 1)).long()
        y = y.minimum(self.height[index] - side)
        x = x.minimum(width - side)
        span = torch.arange(side, device=device)
        rows = self.start[index][:, None] + (y[:, None] + span) * width[:, None]  # (N, side)
        pixel = rows[:, :, None] + (x[:, None] + span)[:, None, :]  # (N, side, side)
        return self.pixels[pixel].permute(0, 3, 1, 2)

    def take(
        self, index: Tensor, top: Tensor, left: Tensor, side: int
    ) -> tuple[Tensor, Tensor | None]:
        """Return square crops as `crops` does, and class probabilities, (N, classes), or None."""
        labels = None if self.labels is None else self.labels[index.to(self.labels.device)].float()
        return self.crops(index, top, left, side), labels

    def ahead(
        self, take: Callable[[int], tuple[Tensor, Tensor | None]], steps: Iterable[int]
    ) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        """Yield each step with what ``take`` gives for it."""
        for step in steps:
            yield step, *take(step)

    def epoch(self, random: torch.Generator) -> Tensor:
        """Draw the photographs of an epoch, in their order, int64 (N,)."""
        order = torch.randperm(len(self), generator=random)
        return draw_epoch(self.frequency, len(self), random)[order]

    def sample_ab(self, count: int, seed: int) -> Tensor:
        """Return ab of random pixels in Lab units, (count, 2), from which a prior is computed."""
        random = torch.Generator().manual_seed(seed)
        if self.frequency is None:
            photo = torch.randint(len(self), (count,), generator=random)
        else:
            photo = self.frequency.multinomial(count, replacement=True, generator=random)
        photo = photo.to(self.start.device)
        place = torch.rand(count, generator=random, dtype=torch.float64).to(self.start.device)
        area = self.height[photo] * self.width[photo]
        return ab_of(self.pixels[self.start[photo] + (place * area).long().minimum(area - 1)])


def draw_epoch(frequency: Tensor | None, count: int, random: torch.Generator) -> Tensor:
    """Draw the photographs of an epoch: each once, or in proportion to its frequency; ascending.

    Systematic sampling: each is drawn its expected number of times, rounded down or up.
    """
    index = torch.arange(count)
    if frequency is None:
        return index
    ends = (frequency / frequency.sum() * count).cumsum(0)
    start = torch.rand((), generator=random, dtype=torch.float64)
    return torch.searchsorted(ends, start + index, right=True).clamp_max(count - 1)


def ab_of(rgb: Tensor) -> Tensor:
    """Return ab in Lab units, (N, 2), of gamma-encoded pixels, uint8 (N, 3)."""
    linear = srgb_to_linear(rgb.float() / 255).T[None, :, :, None]  # (1, 3, N, 1)
    return linear_to_ab(linear)[0, :, :, 0].T


def load_photos(
    paths: Sequence[Path],
    *,
    short_side: int = 144,
    min_color: float = 2.0,
    min_chroma: float = 0.0,
    limit: int | None = None,
    sampling_weights: Mapping[str, float] | None = None,
    store: Path | None = None,
) -> PhotoStore:
    """Load all color photographs of the paths.

    Args:
        paths: tar shards of images (WebDataset naming, gzipped or not), folders, manifests, or
            single images.
        short_side: shorter side in pixels to which photographs are resized; those with less than
            half of it are left out.
        min_color: photographs with a smaller `color_beyond_tone`, in Lab units, are left out: gray,
            sepia and otherwise toned ones.
        min_chroma: photographs with a smaller `mean_chroma` are left out.
        limit: stop after this many photographs.
        sampling_weights: folder inside a path, e.g. ``"cats"`` or ``"cats/black"`` -> frequency at
            which its photographs are drawn, relative to those of folders without a weight.
        store: file for the decoded photographs. If it exists, it is mapped into memory, else it is
            written first.

    Raises:
        DataError: a path is not training data, no usable photograph is left, no photograph lies in
            a folder with a weight, a weight is not above 0, or `store` holds other photographs.
    """
    for folder, weight in (sampling_weights or {}).items():
        if not (math.isfinite(weight) and weight > 0):
            raise DataError(f"The sampling weight of {folder} is {weight}: give a number above 0.")
    least = {"short_side": short_side, "min_color": min_color, "min_chroma": min_chroma}
    if store is not None:
        asked = {
            "paths": [Path(p).name for p in paths],
            "bytes": [Path(p).stat().st_size if Path(p).is_file() else 0 for p in paths],
            "content": [_size(Path(p)) for p in paths],  # of folders and manifests too
            "limit": limit,
            **least,
        }
        if not store.exists():
            _write_file(store, asked, lambda keep: _decode_all(paths, limit, keep, **least))
        pixels, index = _map_file(store, asked)
    else:
        blocks: list[np.ndarray] = []
        index = _decode_all(paths, limit, blocks.append, **least)
        pixels = torch.empty((sum(len(block) for block in blocks), 3), dtype=torch.uint8)
        filled = 0
        for k, block in enumerate(blocks):
            pixels[filled : filled + len(block)] = torch.from_numpy(block)
            filled += len(block)
            blocks[k] = block[:0].copy()  # frees the block
    if not index["names"]:
        raise DataError(
            f"No usable color photograph in {', '.join(map(str, paths))} (left out: "
            f"{index['dropped']}); give tar shards or folders of color photographs."
        )
    height, width = torch.tensor(index["sizes"]).unbind(1)
    start = (height * width).cumsum(0) - height * width
    frequency = frequencies(index["names"], sampling_weights or {})
    dropped, names = index["dropped"], index["names"]
    return PhotoStore(pixels, start, height, width, dropped, names, None, frequency)


def _size(path: Path) -> int:
    """Return the size in bytes of a path's shards and images."""
    return sum(file.stat().st_size for _, file in sources(path) if file.exists())


def _write_file(
    path: Path,
    asked: Mapping[str, Any],
    decode: Callable[[Callable[[np.ndarray], Any]], dict[str, Any]],
) -> None:
    """Write decoded photographs one after the other, then their index (JSON) and its length."""
    partial = path.with_name(f".{path.name}.partial")
    with open(partial, "wb") as file:
        text = json.dumps({**decode(lambda pixels: file.write(pixels.data)), **asked}).encode()
        file.write(text + len(text).to_bytes(8, "little"))
    os.replace(partial, path)


def _map_file(path: Path, asked: Mapping[str, Any]) -> tuple[Tensor, dict[str, Any]]:
    """Map a file of `_write_file` into memory; return its pixels and its index."""
    try:
        with open(path, "rb") as file:
            end = file.seek(-8, os.SEEK_END)
            length = int.from_bytes(file.read(8), "little")
            file.seek(end - length)
            index = json.loads(file.read(length))
        index.setdefault("content", asked["content"])  # earlier versions did not write it
        if any(index[key] != value for key, value in asked.items()):
            raise ValueError("it was made from other data")
        pixels = np.memmap(path, np.uint8, "c", shape=((end - length) // 3, 3))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} does not hold these photographs ({error}): remove it, or name "
            "another file with --store."
        ) from error
    return torch.from_numpy(pixels), index


def _decode_all(
    paths: Sequence[Path],
    limit: int | None,
    keep: Callable[[np.ndarray], Any],
    *,
    short_side: int,
    min_color: float,
    min_chroma: float,
) -> dict[str, Any]:
    """Call `keep` with the pixels (n, 3) of usable photographs; return their names and sizes."""
    names: list[str] = []
    sizes: list[tuple[int, int]] = []
    dropped: dict[str, int] = {}
    images = islice((image for path in paths for image in members(Path(path))), limit)

    def drop(reason: str, count: int = 1) -> None:
        if count:
            dropped[reason] = dropped.get(reason, 0) + count

    with ThreadPoolExecutor() as pool:  # Pillow decodes without holding the interpreter lock
        while chunk := list(islice(images, 512)):
            decoded = []
            photos = pool.map(lambda image: _decode(image[1], short_side), chunk)
            for (name, _), photo in zip(chunk, photos, strict=True):
                if isinstance(photo, str):
                    drop(photo)
                else:
                    decoded.append((name, *photo))
            if not decoded:
                continue
            thumbs = torch.from_numpy(np.stack([thumb for _, _, thumb in decoded]))
            colored = (color_beyond_tone(thumbs) >= min_color) & (mean_chroma(thumbs) >= min_chroma)
            kept = [photo for photo, good in zip(decoded, colored.tolist(), strict=True) if good]
            drop("without color", len(decoded) - len(kept))
            # One block per chunk: the allocator would not return many small arrays to the system.
            if kept:
                keep(np.concatenate([pixels.reshape(-1, 3) for _, pixels, _ in kept]))
                sizes += [pixels.shape[:2] for _, pixels, _ in kept]
                names += [name for name, _, _ in kept]
    return {"names": names, "sizes": sizes, "dropped": dropped}


def _decode(data: bytes, short_side: int) -> tuple[np.ndarray, np.ndarray] | str:
    """Return a photograph, uint8 (H, W, 3), and its thumbnail, or the reason to leave it out."""
    photo = decode(data, short_side)
    return photo if isinstance(photo, str) else (np.asarray(photo), thumbnail(photo))
