"""The operations that benchmarks/training_hours.py counts."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "training_hours.py"


@pytest.mark.slow
def test_a_critic_adds_its_steps_to_those_of_the_generator():
    spec = importlib.util.spec_from_file_location("training_hours", PATH)
    hours = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hours)
    assert hours.operations("adversarial", "test") > hours.operations("cic", "test") > 1e6
