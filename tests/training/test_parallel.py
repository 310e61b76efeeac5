"""Two processes that share a run."""

import pytest
import torch
from processes import in_two_processes
from safetensors.torch import load_file

from tintype.models import build
from tintype.training.augment import Batches
from tintype.training.checkpoint import load_checkpoint
from tintype.training.data import load_photos
from tintype.training.parallel import bfloat16_pays

# One start of the processes for all tests: by the clock, by steps, and interrupted.
_SCRIPT = """
import json, os, pathlib, signal, sys
from safetensors.torch import save_file
from tintype.training.run import Run
from tintype.training.train import train

shard, out, teacher = map(pathlib.Path, sys.argv[1:])
rank = int(os.environ["RANK"])
os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "False"  # a store of its own for every run

def trained(name, on_line=None, system="tint", **options):
    os.environ["MASTER_PORT"] = str(int(os.environ["MASTER_PORT"]) + 1)
    model = train(Run(system, [shard], out / name, "test", val_size=1, **options), on_line)
    weights = {n: p.contiguous() for n, p in model.named_parameters()}
    save_file(weights, out / f"{name}{rank}.safetensors")

def interrupt(line):  # the first process's Ctrl-C stops both
    if json.loads(line)["kind"] == "train":
        signal.raise_signal(signal.SIGINT)

trained("clock", minutes=0.01)
trained("one", steps=1, changes={"dropout": 0.0, "hints": False})
trained("whole", steps=3)
trained("pic", system="pic", steps=1)
trained("labelled", system="letcolor", steps=1, teacher=teacher)
try:
    trained("stopped", interrupt, steps=3)
except KeyboardInterrupt:
    assert rank == 0
trained("stopped", steps=3, resume=True)
"""


@pytest.fixture(scope="module")
def runs(shard, teacher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    (folder / "both.py").write_text(_SCRIPT)
    in_two_processes(folder / "both.py", shard, folder, teacher)
    return folder


@pytest.mark.parametrize("name", ["clock", "one", "whole", "pic", "labelled", "stopped"])
def test_both_processes_keep_one_network(runs, name):
    first, second = (load_file(runs / f"{name}{rank}.safetensors") for rank in (0, 1))
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


def test_an_interrupted_run_of_two_processes_goes_on_to_the_weights_of_a_whole_one(runs):
    (_, found), (_, expected) = (load_checkpoint(runs / name) for name in ("stopped", "whole"))
    for part, tensors in expected.items():
        for name, value in tensors.items():
            assert torch.equal(found[part][name], value), (part, name)


def test_two_processes_learn_from_both_halves_of_a_batch(runs, shard):
    # After one step Adam's first moment is the averaged gradient, but for a factor.
    state = load_checkpoint(runs / "one")[1]["optimizer"]
    count = sum(name.endswith("exp_avg") for name in state)
    together = direction([state[f"{k}.exp_avg"] for k in range(count)])
    halves = [half_step(shard, rank) for rank in (0, 1)]
    # Their lengths differ, so that the sum comes before the normalization.
    both = [first + second for first, second in zip(*halves, strict=True)]
    alike = [float(together @ direction(other)) for other in (both, *halves)]
    assert alike[0] > 0.99 > max(alike[1:])


def half_step(shard, rank):
    """The gradient of one process's half of the first batch, in the optimizer's order."""
    torch.manual_seed(0)
    model, config = build("tint", "test", {"dropout": 0.0, "hints": False})
    store, _ = load_photos([shard], short_side=config.kept_side).split(1)
    model.start_training(store.sample_ab(50 * len(store), 0))
    batch = Batches(store, config, 0, rank, 2)(0)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_pays(torch.device("cpu"))):
        model.loss(batch)["loss"].backward()
    gradients = []
    for group, _ in model.parameter_groups():
        ordered = sorted(group, key=lambda p: p.ndim <= 1)  # decayed ones come first
        gradients += [torch.zeros_like(p) if p.grad is None else p.grad for p in ordered]
    return gradients


def direction(gradient):
    """Tensors as one vector of length 1."""
    return torch.nn.functional.normalize(torch.cat([g.flatten() for g in gradient]), dim=0)
