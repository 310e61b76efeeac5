"""Where the graphs of a model run: an execution provider of ONNX Runtime, or the CPU instead."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tintype.runtime.ort import load_onnxruntime

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Provider: TypeAlias = Literal["cpu", "cuda", "coreml", "directml", "openvino"]

_CPU = "CPUExecutionProvider"
NAMES: dict[Provider, str] = {
    "cpu": _CPU,
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}


@dataclass
class Device:
    """The provider that runs the graphs of one model; where it is missing or fails, the CPU.

    Attributes:
        provider: that is used, or was asked for while no graph is loaded.
        remarks: what there is to say of it, until `said` takes them.
    """

    provider: Provider = "cpu"
    remarks: list[str] = field(default_factory=list)

    def session(self, path: str, options: Any) -> InferenceSession:
        """Load a graph; what is raised is ONNX Runtime's, of the CPU."""
        onnxruntime = load_onnxruntime()
        wanted = NAMES[self.provider]
        if wanted not in onnxruntime.get_available_providers():
            self.give_up(f"is not in the ONNX Runtime {onnxruntime.__version__} installed here")
        elif wanted != _CPU:
            try:
                found = onnxruntime.InferenceSession(path, options, providers=[wanted, _CPU])
                # ONNX Runtime takes the CPU by itself where a provider lacks its libraries.
                if not on_cpu(found):
                    return found
                self.give_up("lacks its libraries or its device here")
            except Exception as error:  # ONNX Runtime's exceptions share no public base class
                self.give_up(f"fails ({error})")
        return onnxruntime.InferenceSession(path, options, providers=[_CPU])

    def give_up(self, reason: str) -> None:
        """Take the CPU from now on, and remark why."""
        if self.provider != "cpu":
            words = " ".join(reason.split())[:200]
            self.remarks.append(f"the provider {self.provider} {words}: the CPU goes on")
            self.provider = "cpu"

    def said(self) -> tuple[str, ...]:
        """Return what there is to say, once."""
        remarks, self.remarks = tuple(self.remarks), []
        return remarks


def on_cpu(session: InferenceSession) -> bool:
    """Tell whether a graph runs on the CPU alone."""
    return session.get_providers() == [_CPU]
