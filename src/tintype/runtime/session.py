"""ONNX Runtime sessions: threads, providers, and errors a user can act on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tintype.errors import CorruptModelError
from tintype.runtime.card import Card, verify

if TYPE_CHECKING:
    import onnxruntime


def cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Session:
    """One loaded network.

    Args:
        card: the model; its checksums are verified first.
        threads: of one run; by default as many as there are cores to this process.

    Raises:
        CorruptModelError: the weights are missing, damaged, or not what ONNX Runtime can load.
    """

    def __init__(self, card: Card, threads: int | None = None) -> None:
        import onnxruntime

        verify(card)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or cores()
        options.log_severity_level = 3  # errors only: warnings are for whoever exports
        try:
            self._session: onnxruntime.InferenceSession = onnxruntime.InferenceSession(
                str(card.weights), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            raise CorruptModelError(
                f"{card.weights} cannot be loaded by ONNX Runtime {onnxruntime.__version__} "
                f"({error}); reinstall tintype, or export the model again."
            ) from error

    def run(self, gray: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's output (C, h, w) for luminance (H, W) in [0, 1]."""
        feed = {self._session.get_inputs()[0].name: gray[None, None]}
        (output,) = self._session.run(None, feed)
        return np.asarray(output)[0]
