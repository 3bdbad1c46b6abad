"""The numbered examples run, and print about the numbers that they should reach."""

import os
import py_compile
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
NUMBERS = [path.name[:2] for path in EXAMPLES]
WITHOUT_TRAINING = {
    "01": ["--tasks", "4000"],
    "02": ["--tasks", "100"],
    "06": ["--steps", "20000", "--tasks", "2"],
}
"""Arguments with which an example takes seconds."""
REACHED = re.compile(r": (-?[\d.]+) \(should be about (-?[\d.]+)")
TOLERANCE = {
    "01": 0.15,
    "02": 0.9,
    "03": 0.1,
    "04": 0.3,
    "05": 0.15,
    "06": 6.0,
    "07": 0.3,
    "08": 0.15,
    "09": 1.5,
    "11": 0.5,
    "12": 0.15,
    "13": 0.6,
    "14": 15.0,
    "15": 15.0,
    "16": 0.2,
    "17": 0.0,
}
"""Of the numbers reached: four standard errors of the examples' sample sizes, or what seeds differ by."""


def run(number, tmp_path, *arguments):
    """An example's pairs of (reached, should be reached)."""
    path = next(path for path in EXAMPLES if path.name.startswith(number))
    compiled_for_speed = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path), *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ if arguments else compiled_for_speed,
    )
    assert done.returncode == 0, done.stderr
    return [(float(got), float(should)) for got, should in REACHED.findall(done.stdout)]


def test_the_examples_are_numbered_from_one():
    assert [f"{i:02d}" for i in range(1, len(EXAMPLES) + 1)] == NUMBERS


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_compiles(path, tmp_path):
    py_compile.compile(str(path), cfile=str(tmp_path / "compiled"), doraise=True)


@pytest.mark.parametrize("number", WITHOUT_TRAINING)
def test_an_example_runs(number, tmp_path):
    assert run(number, tmp_path, *WITHOUT_TRAINING[number])


NEEDS = {"12": "ray", "14": "stable_baselines3", "15": "ray", "16": "onnxruntime", "17": "ray"}
"""Packages that an example imports and the tests do not install."""
WITH_FRAMEWORKS = {"14": ["--steps", "16384", "--tasks", "1"], "16": ["--steps", "5000", "--tasks", "5"]}
"""Arguments with which an example takes seconds."""


@pytest.mark.frameworks
@pytest.mark.parametrize("number", WITH_FRAMEWORKS)
def test_an_example_runs_with_frameworks(number, tmp_path):
    pytest.importorskip(NEEDS[number])
    assert run(number, tmp_path, *WITH_FRAMEWORKS[number])


@pytest.mark.learning
@pytest.mark.parametrize("number", TOLERANCE)
def test_an_example_reaches_its_numbers(number, tmp_path):
    if number in NEEDS:
        pytest.importorskip(NEEDS[number])
    reached = run(number, tmp_path)
    assert reached
    for got, should in reached:
        assert abs(got - should) <= TOLERANCE[number]
