"""ONNX Runtime sessions: threads, providers, and errors a user can act on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

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
    """One loaded graph of a model.

    Args:
        card: the model; the file's checksum is verified first.
        threads: of one run; by default as many as there are cores to this process.
        part: which graph, of a model that has several: ``NAME.part.onnx``.

    Raises:
        CorruptModelError: the weights are missing, damaged, or not what ONNX Runtime can load.
    """

    def __init__(self, card: Card, threads: int | None = None, part: str = "") -> None:
        import onnxruntime

        path = card.file(part)
        verify(card, path.name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or cores()
        options.log_severity_level = 3  # errors only: warnings are for whoever exports
        # Threads that wait by spinning take the cores that decode and join the photograph.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: onnxruntime.InferenceSession = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            raise CorruptModelError(
                f"{path} cannot be loaded by ONNX Runtime {onnxruntime.__version__} "
                f"({error}); reinstall tintype, or export the model again."
            ) from error

    def run(self, gray: NDArray[np.float32]) -> NDArray[np.float32]:
        """The only output (C, h, w) for luminance (H, W) in [0, 1]."""
        (output,) = self.call(gray=gray[None, None])
        return output[0]

    def sizes(self, name: str) -> list[int | str | None]:
        """Sizes of an input's axes: a number where it is fixed."""
        return next(node.shape for node in self._session.get_inputs() if node.name == name)

    def call(self, **inputs: NDArray[Any]) -> list[NDArray[Any]]:
        """All outputs for inputs by name."""
        return [np.asarray(output) for output in self._session.run(None, inputs)]
