"""ONNX Runtime sessions: files that are the card's, inputs that are the contract's."""

from __future__ import annotations

import hashlib
import mmap
import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tintype.card import Card
from tintype.errors import CorruptModelError
from tintype.runtime import watch
from tintype.runtime.ort import bounded_memory, load_onnxruntime
from tintype.runtime.watch import watched

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_LARGEST_FILE = 2 << 30  # bytes: no ONNX file is larger
_LARGEST_CHROMA = 1e4  # in any space, and far beyond every color

# The key under which a tensor names a file outside the model, with the last byte of its length.
_EXTERNAL = re.compile(rb"[\x00\x08]location")


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def verify(card: Card) -> None:
    """Check that the model's files are there and are the ones the card was written for.

    Raises:
        CorruptModelError: a file is missing, or differs from its checksum.
    """
    for name in (card.file().name, *card.files):
        _verified(card, name)


def network_inputs(card: Card) -> dict[str, int]:
    """Return names and ranks of what a model's main graph takes."""
    return {"gray": 4, "hints": 4} if card.takes_hints else {"gray": 4}


class Session:
    """One loaded graph of a model.

    It runs on one thread: how many there are would change the order of its sums, and the same
    photograph is to give the same bytes on any machine. Several threads may run it at once.

    Args:
        card: the model; the file's checksum is verified first.
        part: which graph, of ``NAME.part.onnx``; the main one has no part.
        needs: names and ranks of inputs that the graph must have.
        may: names and ranks of those it may have besides.
        gives: names and ranks of outputs that it must have; it may have others.

    Attributes:
        inputs, outputs: shapes by name; a size that may be any is a word or None.

    Raises:
        CorruptModelError: the file is missing, damaged, not what ONNX Runtime can load, or not
            what the contract says (docs/reference/model-files.md).
    """

    def __init__(
        self,
        card: Card,
        part: str,
        needs: Mapping[str, int],
        gives: Mapping[str, int],
        may: Mapping[str, int] | None = None,
    ) -> None:
        self.path = card.file(part)
        if _verified(card, self.path.name, _names_other_files):
            raise self._error("names files outside itself, for which no checksum answers")
        onnxruntime = load_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only: warnings are for whoever exports
        options.add_session_config_entry(*bounded_memory())
        options.enable_mem_pattern = False  # it keeps as much memory again for a second run
        levels = onnxruntime.GraphOptimizationLevel
        by_row = part in ("above", "row", "cache")
        # A graph that runs once a photograph starts in half the time as it is, and keeps no memory
        # for a next run; those of a sampler's rows run hundreds of times. Their numbers of threads
        # are fixed: sums depend on them, and the colors must not.
        options.graph_optimization_level = (
            levels.ORT_ENABLE_ALL if by_row else levels.ORT_DISABLE_ALL
        )
        options.enable_cpu_mem_arena = by_row
        options.inter_op_num_threads = 1
        options.intra_op_num_threads = 1 if by_row else 2
        # Threads that wait by spinning take the cores that decode and join the photograph.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: InferenceSession = onnxruntime.InferenceSession(
                str(self.path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            version = onnxruntime.__version__
            raise self._error(
                f"cannot be loaded by ONNX Runtime {version} ({_line(error)})"
            ) from error
        takes, gives_ = self._session.get_inputs(), self._session.get_outputs()
        self.inputs = {node.name: list(node.shape) for node in takes}
        self.outputs = {node.name: list(node.shape) for node in gives_}
        self._check("takes", self.inputs, needs, {**(may or {}), **needs})
        known = {name: len(shape) for name, shape in self.outputs.items()}
        self._check("gives", self.outputs, gives, {**known, **gives})
        for node in (*takes, *gives_):
            if node.name in {**needs, **gives} and node.type != "tensor(float)":
                raise self._error(f"has {node.name} of {node.type} where a model has tensor(float)")

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return all outputs by name, for the inputs that the graph names among those given.

        Raises:
            CorruptModelError: ONNX Runtime cannot run the graph on them, or does not come to an
                end, or what comes out is not what the graph promises.
        """
        inputs = {name: tensors[name] for name in self.inputs}
        options = load_onnxruntime().RunOptions()
        try:
            with watched(options):
                outputs = self._session.run(None, inputs, options)
        except Exception as error:
            if options.terminate:
                raise self._error(f"was stopped after {watch.LONGEST:.0f} seconds") from error
            raise self._error(f"fails when it is run ({_line(error)})") from error
        found = dict(zip(self.outputs, map(np.asarray, outputs), strict=True))
        # ONNX Runtime itself only warns of another rank than the graph declares.
        for name, declared in self.outputs.items():
            if found[name].ndim != len(declared):
                raise self._error(f"gives {name} of rank {found[name].ndim}, not {len(declared)}")
        return found

    def _check(
        self, verb: str, found: Mapping[str, Any], needs: Mapping[str, int], may: Mapping[str, int]
    ) -> None:
        """Compare names and ranks with the contract's."""
        ranks = {name: len(shape) for name, shape in found.items()}
        if needs.keys() <= ranks.keys() and all(may.get(n) == rank for n, rank in ranks.items()):
            return
        expected = ", ".join(f"{name} of rank {rank}" for name, rank in needs.items())
        given = ", ".join(f"{name} of rank {rank}" for name, rank in ranks.items())
        raise self._error(f"{verb} {given or 'nothing'} where a model {verb} {expected}")

    def _error(self, reason: str) -> CorruptModelError:
        return CorruptModelError(
            f"{self.path} {reason}; reinstall tintype, or export the model again."
        )


def checked_chroma(card: Card, chroma: NDArray[Any]) -> NDArray[np.float32]:
    """Return the planes (2, h, w) of a model's output (1, 2, h, w); nothing else is ever written.

    Raises:
        CorruptModelError: it is no such thing, or its values are not those of colors.
    """
    shape = chroma.shape
    # What is not a number is not within the limit either.
    colors = chroma.size > 0 and bool((np.abs(chroma) <= _LARGEST_CHROMA).all())
    if len(shape) != 4 or shape[:2] != (1, 2) or not colors:
        raise CorruptModelError(
            f"{card.file()} gives {shape} where a model gives (1, 2, h, w), or values of no color; "
            "reinstall tintype, or export the model again."
        )
    return chroma[0].astype(np.float32, copy=False)


def _line(error: Exception) -> str:
    """What ONNX Runtime says, which may be many lines."""
    words = " ".join(str(error).split())
    return words if len(words) <= 300 else f"{words[:299]}…"


def _verified(card: Card, name: str, look: Callable[[mmap.mmap], bool] | None = None) -> bool:
    """Check that a file of a model is the one the card was written for; return what `look` says."""
    path = card.path.parent / name
    if name not in card.files:
        raise CorruptModelError(f"{card.path} has no checksum of {name}; export the model again.")
    try:
        if path.exists() and not path.is_file():  # a pipe would keep its reader waiting
            raise OSError(0, "it is no file")
        if path.exists() and path.stat().st_size > _LARGEST_FILE:
            raise OSError(0, f"it is larger than {_LARGEST_FILE >> 30} GiB")
        # Mapped, not read: its pages are the cache's, and gone before the model takes its memory.
        with (
            open(path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            intact = hashlib.sha256(content).hexdigest() == card.files[name]
            found = look is not None and look(content)
    except OSError as error:
        raise CorruptModelError(
            f"{path} is missing or cannot be read ({error.strerror}); reinstall tintype or restore "
            "the file."
        ) from error
    except ValueError:  # an empty file cannot be mapped
        intact = found = False
    if not intact:
        raise CorruptModelError(
            f"{path} is damaged: its checksum is not the card's. Delete it and reinstall "
            "tintype, or export the model again."
        )
    return found


def _names_other_files(content: mmap.mmap) -> bool:
    """Whether a tensor of an ONNX file lies in another file."""
    # The word alone is found ten times as fast as the expression, and mostly is not there.
    return content.find(b"location") >= 0 and _EXTERNAL.search(content) is not None
