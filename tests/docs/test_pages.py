"""What the documentation says is so: its code runs, its commands are understood, its links and names lead somewhere."""

import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest

from rl_meta import api, cli, comparison
from rl_meta.training.catalogue import FAMILIES, METHODS, families, methods
from rl_meta.training.config import RunConfig

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
NAMES = [str(page.relative_to(ROOT / "docs")) for page in PAGES]


def blocks(page, language):
    """The code blocks of a page, each with the number of its first line."""
    text = page.read_text()
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text[: match.start(1)].count("\n"), match[1]) for match in found]


def prose(page):
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def run_page(page, monkeypatch, tmp_path):
    """Run a page's Python blocks in order in one module; returns it."""
    monkeypatch.chdir(tmp_path)
    module = ModuleType("page_" + page.stem.replace("-", "_"))  # gymnasium.md must not hide the package
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for line, code in blocks(page, "python"):
        exec(compile("\n" * line + code, str(page), "exec"), module.__dict__)
    return module


NEEDS = {
    "initial-networks.md": "keras",
    "stable-baselines3.md": "sb3_contrib",
    "tuning.md": "ray",
    "rllib.md": "ray.rllib",
    "export.md": "onnxruntime",
    "serving.md": "fastapi",
    "cluster.md": "ray",
}
"""Packages that a page's code imports, if it is tested with those of other frameworks."""
ON_RAY = (
    pytest.mark.frameworks,
    pytest.mark.xdist_group("ray"),
    pytest.mark.filterwarnings("ignore"),  # its processes end when it pleases
)
LONG = ("aggregation.md", "runs.md")
"""Pages whose code takes long, which is run with those."""
MARKS = dict.fromkeys([*NEEDS, *LONG], pytest.mark.frameworks)
MARKS |= {name: ON_RAY for name, package in NEEDS.items() if package.startswith("ray")}
WITH_CODE = [
    pytest.param(name, marks=MARKS.get(name, ()))
    for name, page in zip(NAMES, PAGES, strict=True)
    if blocks(page, "python") and page.stem != "evaluation"  # that page has a test of its own
]


@pytest.mark.filterwarnings("ignore:.*:UserWarning:(stable_baselines3|sb3_contrib)")
@pytest.mark.parametrize("name", WITH_CODE)
def test_the_code_of_a_page_runs(name, monkeypatch, tmp_path):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    run_page(ROOT / "docs" / name, monkeypatch, tmp_path)


class UnderstoodError(Exception):
    """Raised in place of the work that a command would do."""


COMMANDS = [
    pytest.param(line, id=f"{page.name}: {line}")
    for page in (*PAGES, ROOT / "README.md")
    for _, block in blocks(page, "sh")
    for line in block.splitlines()
    if line.startswith("rl-meta ")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_the_command_line_understands_every_command(line, monkeypatch, tmp_path):
    def train(family, method, *, steps, seed, seeds, **_):
        RunConfig(families.make(family), methods.make(method), steps=steps, seed=seed, seeds=seeds)
        raise UnderstoodError

    def evaluate(run, *, split, acting, baselines, **_):
        assert split in families.load("cartpole").splits
        assert acting in comparison.ACTING
        comparison.needing_no_training(baselines, families.make("cartpole"))
        raise UnderstoodError

    def work(*_, **__):
        raise UnderstoodError

    monkeypatch.chdir(tmp_path)
    for name, replacement in {"train": train, "evaluate": evaluate}.items():
        monkeypatch.setattr(api, name, replacement)
    for name in ("resume", "report", "aggregate", "sweep", "export", "serve", "train_learner", "tune", "resume_tuning"):
        monkeypatch.setattr(api, name, work)
    words = shlex.split(line, comments=True)[1:]
    if words in (["list"], ["--version"]):
        cli.main(words)
        return
    with pytest.raises(SystemExit if "--help" in words else UnderstoodError) as end:
        cli.main(words)
    assert getattr(end.value, "code", 0) in (0, None)


@pytest.mark.parametrize("name", NAMES)
def test_links_within_the_project_lead_somewhere(name):
    page = ROOT / "docs" / name
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), f"{name}: {target}"
        assert not anchor or anchor in anchors(linked), f"{name}: {target}"


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", NAMES)
def test_files_that_a_page_names_exist(name):
    for path in re.findall(r"`((?:src|tests|examples|benchmarks|docs)/[\w./*-]+)`", (ROOT / "docs" / name).read_text()):
        assert (ROOT / path).exists(), f"{name}: {path}"


def test_the_index_names_every_page_and_every_example():
    index = (ROOT / "docs" / "README.md").read_text()
    examples = [path.name for path in (ROOT / "examples").glob("*.py")]
    assert [name for name in (*NAMES, *examples) if name not in index and name != "README.md"] == []


def table_rows(page):
    """The cells of all rows of a page's tables whose first cell is one name in code."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.read_text().splitlines()]
    return {row[0].strip("`"): row[1:] for row in rows if re.fullmatch(r"`[\w-]+`", row[0])}


def test_the_table_of_families_is_that_of_the_catalogue():
    text = (ROOT / "docs" / "families.md").read_text()
    told = {name: row for name, row in table_rows(ROOT / "docs" / "families.md").items() if len(row) == 6}
    assert told.keys() == FAMILIES.keys()
    for name, (_, _, _, horizon, episodes, splits) in told.items():
        family = families.make(name)
        assert horizon in (str(family.horizon), "the environment's"), name
        assert episodes == str(family.episodes), name
        assert ("by region" in splits) == ("extrapolation" in family.splits), name
    assert "have `extrapolation` as well" in " ".join(text.split())


def test_every_method_is_in_the_table_of_methods():
    told = table_rows(ROOT / "docs" / "choosing-a-method.md")
    assert told.keys() == METHODS.keys()


def test_every_field_of_an_evaluation_is_explained(monkeypatch, tmp_path):
    page = ROOT / "docs" / "evaluation.md"
    evaluation = run_page(page, monkeypatch, tmp_path).evaluation
    section = page.read_text().partition("## The fields of evaluation.json")[2]
    told = set(re.findall(r"`(\w+)`", section))
    fields = {*evaluation, *evaluation["stages"][0], *evaluation["episodes"][0], *evaluation["scores"]}
    assert fields <= told
    assert {"return", "steps", "baseline_steps", "times", "at_least"} <= told
