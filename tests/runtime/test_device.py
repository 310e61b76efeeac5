"""Execution providers of ONNX Runtime: of one that is missing it is said, and the CPU goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import bins_model, sampler_model

from tintype.runtime.colorizer import Colorizer
from tintype.runtime.model import Model
from tintype.runtime.ort import load_onnxruntime

GRAY = np.full((32, 48), 128, np.uint8)
ort = load_onnxruntime()


class Fake:
    """A session of a provider that this machine lacks; it fails at its run."""

    def __init__(self, path: str, options: Any, providers: list[str]) -> None:
        self._session = REAL(path, options, providers=["CPUExecutionProvider"])
        self._providers = providers

    def get_providers(self) -> list[str]:
        return self._providers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, *arguments: Any) -> Any:
        if len(self._providers) > 1:
            raise RuntimeError("out of memory\non device 0")
        return self._session.run(*arguments)


REAL = ort.InferenceSession


def colors(model: Model) -> Any:
    return Colorizer(model).colorize(GRAY).rgb()


@pytest.fixture
def tint(tmp_path: Path) -> Path:
    return bins_model(tmp_path).path


def test_a_provider_that_is_not_there_is_said_once_and_gives_the_colors_of_the_cpu(
    tint: Path,
) -> None:
    model = Model(tint, provider="directml")
    (said,) = model.device.said()
    assert said.startswith("the provider directml is not in the ONNX Runtime ")
    assert said.endswith("installed here: the CPU goes on")
    assert np.array_equal(colors(model), colors(Model(tint)))
    assert model.device.said() == ()


def test_a_provider_without_its_device_is_said(tint: Path, monkeypatch: Any) -> None:
    # As ONNX Runtime does where CUDA's libraries are not found: it takes the CPU and goes on.
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(
        ort, "InferenceSession", lambda path, options, providers: REAL(path, options, providers[1:])
    )
    model = Model(tint, provider="cuda")
    assert model.device.said() == (
        "the provider cuda lacks its libraries or its device here: the CPU goes on",
    )


@pytest.mark.parametrize("made", [bins_model, sampler_model])
def test_a_provider_that_fails_at_its_work_is_said_and_the_photograph_is_colored(
    tmp_path: Path, monkeypatch: Any, made: Any
) -> None:
    path = made(tmp_path).path
    expected = colors(Model(path))
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(ort, "InferenceSession", Fake)
    model = Model(path, provider="cuda")
    assert model.device.said() == ()
    assert np.array_equal(colors(model), expected)
    assert model.device.said() == (
        "the provider cuda fails (out of memory on device 0): the CPU goes on",
    )
    assert model.device.provider == "cpu"


@pytest.mark.gpu
def test_cuda_colors_as_the_cpu_does(tint: Path) -> None:
    model = Model(tint, provider="cuda")
    assert model.device.said() == ()
    assert np.abs(colors(model).astype(int) - colors(Model(tint))).max() <= 2
