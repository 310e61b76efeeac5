"""Exported `test` presets, made once a session and shared by all of its processes."""

from __future__ import annotations

import contextlib
import copy
import functools
import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from tintype.card import Card, read_card
from tintype.export.onnx import write_model
from tintype.models import build
from tintype.models.base import ColorModel


def untrained(name: str) -> ColorModel:
    """A system's `test` preset, the same every time, in which nothing is zero by its start."""
    return copy.deepcopy(_built(name))


@functools.cache
def _built(name: str) -> ColorModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(name, "test")[0].eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
            for name, buffer in model.named_buffers():
                if name == "corrected_weights":
                    buffer.copy_(torch.rand_like(buffer) * 3 + 0.2)
    return model


def export_once(name: str, folder: Path) -> Card:
    """The card of `untrained(name)`, exported as NAME.tiny by whoever asks first."""
    card = folder / f"{name}.tiny.json"
    with _locked(folder / f"{name}.lock"):
        if not card.exists():
            write_model(untrained(name), card.stem, folder, {"step": 0})
    return read_card(card)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    while True:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
            break
        except FileExistsError:
            time.sleep(0.05)
    try:
        yield
    finally:
        path.unlink()
