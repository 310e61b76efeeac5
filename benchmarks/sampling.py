"""How long does a sample take? Row by row, and every other way, from the same weights in one run.

    python benchmarks/sampling.py [--model pixcolor] [--threads 2] [--photo examples/cameraman.jpg]

Ways to draw the 1,568 values of 28x28 cells from ``pixcolor``, with the same noise:

- naive: one pass of the whole exported network, conditioning included, for every value. A few
  passes are timed and the time of all is their mean times 1,568: each pass does the same work;
- naive, coloring network only: the same with the conditioning pass shared;
- whole picture: fixed-point iteration with the coloring network over all cells at once;
- pixel by pixel: `tintype.runtime.sampler`'s rows, but every row read once for each of its values;
- rows: what tintype does, fixed-point iteration in each row.

All but naive must give the same levels, which is checked. Then what a user waits for: both stages,
and eight pictures of one megapixel written to disk.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from PIL import Image
from tintype.runtime.engine import reduce
from tintype.systems import rebuild
from tintype.systems.pixcolor import PixColor
from tintype.training.export import start_from_exported
from torch import nn

from tintype import Colorizer, Photo
from tintype.runtime.sampler import Sampler, gumbel

PHOTO = Path(__file__).parent.parent / "examples" / "cameraman.jpg"


def least(work: Callable[[], object], runs: int = 3) -> float:
    """Seconds of the quickest of several runs, after one to warm up."""
    work()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def exported(
    module: nn.Module, inputs: tuple[torch.Tensor, ...], threads: int
) -> onnxruntime.InferenceSession:
    """The module as a float32 session for inputs of these shapes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "network.onnx"))
        torch.onnx.export(module, inputs, path, dynamo=True, external_data=False, verbose=False)
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def call(session: onnxruntime.InferenceSession, *inputs: np.ndarray) -> list[np.ndarray]:
    """All outputs for inputs in their order."""
    names = [node.name for node in session.get_inputs()]
    found = session.run(None, dict(zip(names, inputs, strict=True)))
    return [np.asarray(output) for output in found]


def whole_picture(
    session: onnxruntime.InferenceSession,
    condition: np.ndarray,
    noise: np.ndarray,
    temperature: float,
) -> tuple[np.ndarray, int]:
    """Levels by fixed-point iteration over all cells, and the passes that took."""
    n = noise.shape[1]
    levels = np.full((n, 2, *noise.shape[3:]), noise.shape[2] // 2, np.int64)
    for passes in range(1, 2 * levels[0, 0].size + 2):
        logits = np.stack(call(session, levels, condition))
        found = (logits / np.float32(temperature) + noise).argmax(2).swapaxes(0, 1)
        if np.array_equal(found, levels):
            return levels, passes
        levels = found
    raise RuntimeError("no fixed point")


class PixelByPixel(Sampler):
    """The same rows, each read once for every one of its values."""

    def _settle(self, guess, above, noise, temperature, known, row):
        passes, nats = 2 * guess.shape[-1] + 1, np.zeros(0, np.float32)
        for _ in range(passes):
            guess, nats = self._read.call(
                above=above,
                levels=guess,
                noise=noise,
                temperature=np.array(temperature, np.float32),
            )
        return guess, nats, passes


def ways(colorizer: Colorizer, gray: np.ndarray, threads: int) -> None:
    """Print the table of stage 1."""
    card = colorizer.card
    made = rebuild("pixcolor", card.training["config"])
    start_from_exported(made, card.weights)
    assert isinstance(made, PixColor)
    made.eval()
    seen = reduce(gray, card.size)
    sampler, slow = Sampler(card, threads), PixelByPixel(card, threads)
    condition = sampler.condition(seen)
    height, width = condition.shape[2:]
    values = 2 * height * width
    temperature = sampler.temperature
    print(f"{height}x{width} cells, {values} values, temperature {temperature}, {threads} threads")
    for count in (1, 8):
        pictures = np.repeat(seen[None, None], count, 0)
        features = np.repeat(condition, count, 0)
        levels = sampler.sample(condition, count).levels
        tensors = torch.from_numpy(pictures), torch.from_numpy(levels)
        full = exported(made, tensors, threads)
        coloring = exported(made.coloring, (tensors[1], torch.from_numpy(features)), threads)
        noise = gumbel(0, count, sampler.levels.count, (height, width))
        agreed, passes = whole_picture(coloring, features, noise, temperature)
        alike = (agreed == levels).all((1, 2, 3)).mean()
        pixelwise = slow.sample(condition, count)
        alike_pixelwise = (pixelwise.levels == levels).all((1, 2, 3)).mean()
        sampled = sampler.sample(condition, count)

        rows = least(lambda n=count: sampler.sample(sampler.condition(seen), n))
        seconds = {
            "naive": values * least(lambda f=full, p=pictures, v=levels: call(f, p, v)),
            "naive, coloring network only": values
            * least(lambda c=coloring, v=levels, x=features: call(c, v, x)),
            f"whole picture ({passes} passes, {alike:.0%} of samples equal)": least(
                lambda c=coloring, x=features, z=noise: whole_picture(c, x, z, temperature), 1
            ),
            f"pixel by pixel ({pixelwise.passes} row passes, {alike_pixelwise:.0%} equal)": least(
                lambda n=count: slow.sample(slow.condition(seen), n), 1
            ),
            f"rows ({sampled.passes} row passes)": rows,
        }
        print(f"\nstage 1, {count} at once: seconds, times as long as rows")
        for name, value in seconds.items():
            print(f"  {name:<58} {value:9.3f} {value / rows:9.1f}")


def waiting(colorizer: Colorizer, gray: np.ndarray) -> None:
    """Print what a user waits for, the model loaded."""
    sampler = Sampler(colorizer.card, colorizer.threads)
    megapixel = np.asarray(Image.fromarray(gray).resize((1200, 834), Image.Resampling.LANCZOS))
    large = Photo.from_array(megapixel)

    def at_working_size(count: int) -> None:
        seen = reduce(gray, colorizer.card.size)
        levels = sampler.sample(sampler.condition(seen), count).levels
        sampler.refine(seen, levels)

    def written(folder: str) -> None:
        for colouring in colorizer.sample(large, 8):
            path = Path(folder, f"{colouring.number}.jpg")
            colouring.photo.save(path, overwrite=True)

    print("\nboth stages, model loaded: seconds")
    for count in (1, 8):
        taken = least(lambda n=count: at_working_size(n))
        print(f"  {count} at working size {'':<38} {taken:9.3f}")
    with tempfile.TemporaryDirectory() as folder:
        taken = least(lambda: written(folder))
    print(f"  8 JPEGs of one megapixel, full size, written {'':<18} {taken:9.3f}")


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="pixcolor")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--photo", type=Path, default=PHOTO)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    colorizer = Colorizer(arguments.model, threads=arguments.threads)
    gray = Photo.open(arguments.photo).gray
    ways(colorizer, gray, arguments.threads)
    waiting(colorizer, gray)


if __name__ == "__main__":
    main()
