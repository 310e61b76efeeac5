"""What networks cost: CPU seconds of one run on one thread, and the memory at its highest.

    python benchmarks/published.py MODEL.onnx ... [--sides 256 512]

Each figure is of a process of its own, which loads the main graph as the runtime does but on one
thread, runs it once to warm up where that is cheap, and then once more. CPU time does not depend on
what else the machine does.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

_RUN = """
import resource, sys, time
import numpy as np, onnxruntime as ort
path, side, level = sys.argv[1], int(sys.argv[2]), sys.argv[3]
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.enable_mem_pattern = False
options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_{level}_ALL")
started = time.process_time()
session = ort.InferenceSession(path, options)
loaded = time.process_time() - started
inputs = {"gray": np.random.default_rng(0).random((1, 1, side, side), np.float32)}
if any(node.name == "hints" for node in session.get_inputs()):
    inputs["hints"] = np.zeros((1, 3, side // 4, side // 4), np.float32)
started = time.process_time()
session.run(None, inputs)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{loaded:.2f} {time.process_time() - started:.2f} {peak:.0f}")
"""


def main() -> None:
    """Print a row for each model and side, graphs as they are and optimized by ONNX Runtime."""
    parser = argparse.ArgumentParser(description="What networks cost.")
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 512])
    options = parser.parse_args()
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    print(f"on {cpu[1] if cpu else 'an unknown processor'}")
    print("model                     MB  side  graph    load s  run s  peak MB")
    for model in options.models:
        size = model.stat().st_size / 1e6
        for side in options.sides:
            for level in ("DISABLE", "ENABLE"):
                words = [sys.executable, "-c", _RUN, str(model), str(side), level]
                found = subprocess.run(words, capture_output=True, text=True)
                row = found.stdout.split() if found.returncode == 0 else ["–"] * 3
                how = "as is" if level == "DISABLE" else "opt."
                print(
                    f"{model.stem:24} {size:4.0f} {side:5}  {how:7} {row[0]:>7} {row[1]:>6} "
                    f"{row[2]:>8}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
