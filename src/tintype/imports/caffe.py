"""Read the layers of a Caffe network, with as much of protobuf's wire format as that needs.

NetParameter: layers in field 100; LayerParameter: name 1, blobs 7; BlobProto: shape 7 {dim 1} or
four sizes in 1 to 4, data 5 (packed float32, little-endian).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tintype.errors import UnimportableError

_LARGEST = 2 << 30  # bytes of a protobuf message

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_layers(path: Path) -> dict[str, list[Tensor]]:
    """Return the weights (blobs) of every layer that has some, in float32, by the layer's name.

    Raises:
        UnimportableError: the file is not a Caffe network, is damaged, or has the format of before
            2014.
    """
    if path.stat().st_size > _LARGEST:
        raise UnimportableError(f"{path} is larger than a Caffe network can be.")
    layers: dict[str, list[Tensor]] = {}
    old = False
    try:
        for field, value in _fields(memoryview(path.read_bytes())):
            old = old or field == 2
            if field == 100:
                name, blobs = _layer(value)
                if blobs:
                    layers[name] = blobs
    except (ValueError, IndexError, TypeError) as error:
        raise UnimportableError(
            f"{path} is shortened or damaged, or not a Caffe network ({error}): download it again."
        ) from error
    if not layers:
        why = "has Caffe's format of before 2014" if old else "holds no layers with weights"
        raise UnimportableError(f"{path} {why}: download colorization_release_v2.caffemodel.")
    return layers


def _layer(message: memoryview) -> tuple[str, list[Tensor]]:
    name, blobs = "", []
    for field, value in _fields(message):
        if field == 1:
            name = bytes(value).decode("utf-8", "replace")
        elif field == 7:
            blobs.append(_blob(value))
    return name, blobs


def _blob(message: memoryview) -> Tensor:
    shape: list[int] = []
    old = [1, 1, 1, 1]
    parts = []
    for field, value in _fields(message):
        if field == 7:
            for inner, dims in _fields(value):
                if inner == 1:
                    shape += [dims] if isinstance(dims, int) else _varints(dims)
        elif 1 <= field <= 4:
            old[field - 1] = value
        elif field == 5:
            parts.append(np.frombuffer(value, "<f4"))
    values = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    shape = shape or old
    if math.prod(shape) != values.size or not np.isfinite(values).all():
        raise ValueError(
            f"a blob of shape {shape} has {values.size} values, or values that are not finite"
        )
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


def _varints(message: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(message):
        value, at = _varint(message, at)
        values.append(value)
    return values


def _fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    """Yield the number and value of each field of a message: an integer, or its bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"a field of kind {kind}")
        if at + length > len(message):
            raise ValueError("a field ends beyond the file")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the integer that begins at a place, and the place after it."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
