"""Is vectorisation faster? Naive loops, one matrix product, and the library's convolution.

    python benchmarks/vectorisation.py [--patches 4] [--maps 32 48 48 32] [--threads 1]

Liang et al. (2016) build on vectorized CNNs (Ren and Xu 2015), whose claim is that unrolling a
convolution into one matrix product is much faster than looping. Each layer of the patch network,
forward and backward, on the same numbers, in this one run:

- naive: a loop over output pixels and maps, each a product of kernel and window by numpy;
- vectorized: `VectorizedConv2d`, unrolling and one matrix product for each patch;
- library: `torch.nn.Conv2d`.

The last columns say how many times as long as the library each takes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from tintype.models.patchwise import PatchNetwork, PatchwiseConfig, VectorizedConv2d


def naive(
    x: np.ndarray, weight: np.ndarray, grad: np.ndarray, pad: int
) -> tuple[tuple[float, float], list[np.ndarray]]:
    """Seconds forward and backward of a convolution by loops, x (N, C, H, W), and what it found."""
    x = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    k = weight.shape[-1]
    started = time.perf_counter()
    y = np.zeros_like(grad)
    for n, m, i, j in np.ndindex(y.shape):
        y[n, m, i, j] = (weight[m] * x[n, :, i : i + k, j : j + k]).sum()
    forward = time.perf_counter() - started

    started = time.perf_counter()
    to_x, to_weight = np.zeros_like(x), np.zeros_like(weight)
    for n, m, i, j in np.ndindex(y.shape):
        g = grad[n, m, i, j]
        to_x[n, :, i : i + k, j : j + k] += g * weight[m]
        to_weight[m] += g * x[n, :, i : i + k, j : j + k]
    backward = time.perf_counter() - started
    inner = slice(pad, -pad or None)
    return (forward, backward), [y, to_x[:, :, inner, inner], to_weight]


def seconds(work: Callable[[], object], runs: int = 5) -> float:
    """The least of several runs, after one to warm up."""
    work()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def measure(
    layer: nn.Conv2d, x: torch.Tensor, grad: torch.Tensor, expected: list[np.ndarray]
) -> tuple[float, float]:
    """Seconds forward and backward of a layer, after a check that it computes what loops do."""
    x = x.clone().requires_grad_()
    with torch.no_grad():
        forward = seconds(lambda: layer(x))
    y = layer(x)
    wanted = (x, layer.weight)
    assert layer.bias is not None
    found = [y - layer.bias[:, None, None]]
    found += torch.autograd.grad(y, wanted, grad, retain_graph=True)
    for mine, right in zip(found, expected, strict=True):
        assert np.abs(mine.detach().numpy() - right).max() < 1e-4 * np.abs(right).max()
    return forward, seconds(lambda: torch.autograd.grad(y, wanted, grad, retain_graph=True))


def main() -> None:
    """Print a line per layer and one for the network."""
    parser = argparse.ArgumentParser(description="Is vectorisation faster?")
    parser.add_argument("--patches", type=int, default=4)
    parser.add_argument("--maps", type=int, nargs=4, default=[32, 48, 48, 32])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = PatchNetwork(PatchwiseConfig(maps=tuple(options.maps)))
    print(f"{options.patches} patches of 64 x 64, {options.threads} thread(s), float32, ms")
    heads = ("naive", "vectorized", "library")
    print(
        f"{'layer':<22}{'':<10}" + "".join(f"{h:>12}" for h in heads) + "   naive/  vect./library"
    )
    totals = {"forward": np.zeros(3), "backward": np.zeros(3)}
    x = torch.rand(options.patches, 1, 64, 64)
    for layer in network.children():
        assert isinstance(layer, nn.Conv2d)
        pad = int(layer.padding[0])
        vectorized = VectorizedConv2d(
            layer.in_channels, layer.out_channels, layer.kernel_size[0], padding=pad
        )
        vectorized.load_state_dict(layer.state_dict())
        with torch.no_grad():
            y = layer(x)
        grad = torch.randn_like(y)
        looped, found = naive(x.numpy(), layer.weight.detach().numpy(), grad.numpy(), pad)
        fast = (measure(way, x, grad, found) for way in (vectorized, layer))
        columns = zip(looped, *fast, strict=True)
        label = f"{layer.kernel_size[0]}x{layer.kernel_size[0]}, "
        label += f"{layer.in_channels} -> {layer.out_channels}"
        for way, times in zip(totals, columns, strict=True):
            totals[way] += times
            print(line(label, way, np.array(times)), flush=True)
            label = ""
        x = y.relu().detach()
    for way, times in totals.items():
        print(line("network", way, times))


def line(label: str, way: str, times: np.ndarray) -> str:
    """One line of the table."""
    figures = "".join(f"{1e3 * t:>12.1f}" for t in times)
    return f"{label:<22}{way:<10}{figures}{times[0] / times[2]:>9.0f} {times[1] / times[2]:>9.2f}"


if __name__ == "__main__":
    main()
