import re
import sys
from html.parser import HTMLParser

import matplotlib
import pytest
from synthetic_run import add_short_episodes, synthetic_evaluation, write_run

from rl_meta.analysis.report import write_report
from rl_meta.errors import UserError

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """What a browser makes of a page: its words, its attributes, and tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.attributes, self.tags = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += attrs
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style",):
            self.words.append(data)

    def __contains__(self, words):
        return words in " ".join("".join(self.words).split())


def report_of(directory, **kwargs):
    """The page of a synthetic run, parsed; and its text."""
    path = write_report(write_run(directory, **kwargs))
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert not page.open
    return page, text


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The page of a run with five seeds, ten episodes and three baselines."""
    evaluation = synthetic_evaluation(seeds=5, episodes=10)
    evaluation["speedup"]["scratch"] |= {"baseline_steps": 42_000, "times": 210.0}
    return report_of(tmp_path_factory.mktemp("full"), seeds=5, evaluation=evaluation, stages=10)


def test_the_page_lies_in_the_run_directory(tmp_path):
    assert write_report(write_run(tmp_path, rows=2)) == tmp_path / "report.html"


def test_the_page_needs_nothing_from_elsewhere(full):
    page, text = full
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert not {"link", "script", "img", "iframe", "object"} & set(page.tags)
    outside = [(name, value) for name, value in page.attributes if name in ("src", "href")]
    assert all(value.startswith("#") for _, value in outside)
    assert all(url.startswith("#") for url in re.findall(r"url\(([^)]*)\)", text))


def test_every_reference_inside_the_page_has_one_target(full):
    page, text = full
    ids = [value for name, value in page.attributes if name == "id"]
    used = {value[1:] for name, value in page.attributes if name == "href"}
    used |= {url[1:] for url in re.findall(r"url\(([^)]*)\)", text)}
    assert len(ids) == len(set(ids))
    assert used <= set(ids)


def test_drawings_take_their_colours_from_the_page(full):
    _, text = full
    body = text[text.index("</style>") :]
    assert "var(--series-0)" in body
    assert set(re.findall(r"#[0-9a-f]{6}\b", body)) == set()


def test_the_page_says_what_it_is_and_what_was_found(full):
    page, _ = full
    assert "rl2 on cartpole" in page
    assert "In a task it has never seen, the agent's first episode returns 12" in page
    assert "learning from scratch needs 42,000 steps for the former, the agent 200: 210 times as" in page
    assert "200 test tasks · 5 seeds · actions sampled" in page
    assert "trained for 3,072,000 environment steps per seed · 1 min 36 s of training" in page


def test_the_page_lists_stages_settings_and_versions(full):
    page, _ = full
    for words in ("95 % interval", "20th percentile", "learning rate", "gru.size", "[64, 64]", "NVIDIA H200"):
        assert words in page


def test_every_metric_has_a_panel_and_text_has_none(full):
    page, _ = full
    for words in ("return by stage", "policy loss", "entropy", "clipped share", "steps per second"):
        assert words in page
    assert "remark" not in page


def test_the_same_run_gives_the_same_page(tmp_path):
    evaluation = synthetic_evaluation()
    first = report_of(tmp_path / "a", evaluation=evaluation, rows=5)[1]
    assert report_of(tmp_path / "b", evaluation=evaluation, rows=5)[1] == first


def test_names_are_text_and_never_markup(tmp_path):
    name = "<script>alert('1 & 2')</script> $x^2$ </svg>"
    evaluation = synthetic_evaluation(tasks=8)
    evaluation["method"] = name
    evaluation["baselines"][name] = evaluation["baselines"].pop("oracle")
    page, text = report_of(tmp_path, evaluation=evaluation, method=name, rows=3)
    assert "script" not in page.tags
    assert "<script" not in text
    assert f"{name} on cartpole" in page


def test_without_an_evaluation_the_page_reports_the_training(tmp_path):
    page, _ = report_of(tmp_path, seeds=2)
    assert "This run has not been evaluated in new tasks yet; in training, the return went from" in page
    assert "Adaptation in a new task" not in page


def test_before_the_first_iteration_the_page_says_so(tmp_path):
    page, _ = report_of(tmp_path, rows=0)
    assert "has not logged a return yet" in page
    assert "No iteration has been logged yet." in page


@pytest.mark.parametrize("baselines", [True, False])
def test_one_stage_and_one_episode_are_enough(tmp_path, baselines):
    evaluation = synthetic_evaluation(episodes=1, tasks=1, baselines=baselines)
    page, _ = report_of(tmp_path, evaluation=evaluation, rows=1, stages=1)
    assert "the agent's first episode returns" in page
    assert "Gain from adapting" not in page


def test_with_several_episodes_in_a_stage_the_page_goes_by_stages(tmp_path):
    evaluation = add_short_episodes(synthetic_evaluation())
    page, _ = report_of(tmp_path, evaluation=evaluation, rows=3)
    assert "per episode in its first 200 steps and 1" in page
    assert "Stage 2" in page
    assert "rl2: 4 episodes" in page


def test_what_the_family_measures_is_in_the_page_for_every_agent_that_has_it(tmp_path):
    evaluation = synthetic_evaluation(episodes=3)
    row = lambda episode, mean: {"episode": episode, "mean": mean, "low": mean - 0.05, "high": mean + 0.05}
    rates = lambda *means: {"crash_rate": {"stages": [], "episodes": [row(i, m) for i, m in enumerate(means)]}}
    evaluation["measures"] = rates(0.61, 0.5, 0.32)
    evaluation["baselines"]["multitask"]["measures"] = rates(0.72)
    page, _ = report_of(tmp_path, evaluation=evaluation)
    assert "What else was measured" in page
    for words in ("rl2, episode 1", "0.61", "rl2, episode 3", "0.32", "0.27 to 0.37", "0.72"):
        assert words in page
    assert "rl2, episode 2" not in page
    assert "What else was measured" not in report_of(tmp_path / "none", evaluation=synthetic_evaluation())[0]


def test_many_episodes_are_folded(tmp_path):
    evaluation = synthetic_evaluation(episodes=100, tasks=16, baselines=False)
    page, text = report_of(tmp_path, evaluation=evaluation, rows=3, stages=100)
    assert "rl2: 100 stages" in page
    assert text.index("<details>") < text.index("<table>")


def test_long_logs_make_no_long_pages(tmp_path):
    short = len(report_of(tmp_path / "short", rows=300)[1])
    assert len(report_of(tmp_path / "long", rows=3000)[1]) < 1.5 * short


def test_a_line_that_is_still_being_written_is_left_out(tmp_path):
    write_run(tmp_path, rows=3)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 3, "env_st')
    assert write_report(tmp_path).exists()


@pytest.mark.parametrize("name", ["config.json", "versions.json", "metrics.jsonl"])
def test_a_missing_file_is_named(tmp_path, name):
    (write_run(tmp_path, rows=1) / name).unlink()
    with pytest.raises(UserError, match=rf"{re.escape(name)} is missing: give the directory of a run"):
        write_report(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "versions.json", "evaluation.json", "metrics.jsonl"])
@pytest.mark.parametrize("content", [b"{broken\n", b"[1, 2]\n", b"\xff\xfe\n"])
def test_a_broken_file_is_named_in_one_line(tmp_path, name, content):
    (write_run(tmp_path, rows=1) / name).write_bytes(content)
    with pytest.raises(UserError) as raised:
        write_report(tmp_path)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_directory_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere is not a directory"):
        write_report(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"tasks": ...}, "no tasks in the evaluation"),
        ({"stages": [], "episodes": []}, "no stages in the evaluation"),
        ({"stages": [{"stage": 0}]}, "no env_steps in a stage or episode of the evaluation"),
        ({"speedup": {"scratch": {}}}, "no return in the speedup over scratch"),
        ({"format": 2}, "has format 2, not 1"),
        ({"stages": 7}, "is incomplete"),
    ],
)
def test_an_evaluation_with_gaps_is_refused_with_what_is_missing(tmp_path, change, complaint):
    evaluation = synthetic_evaluation(tasks=8, baselines=False) | change
    evaluation = {name: value for name, value in evaluation.items() if value is not ...}
    with pytest.raises(UserError, match=complaint):
        write_report(write_run(tmp_path, evaluation=evaluation, rows=1))


def test_drawing_leaves_matplotlibs_settings_alone(tmp_path):
    before, loaded = matplotlib.rcParams.copy(), "matplotlib.pyplot" in sys.modules
    report_of(tmp_path, evaluation=synthetic_evaluation(tasks=8), rows=2)
    assert matplotlib.rcParams.copy() == before
    assert ("matplotlib.pyplot" in sys.modules) == loaded
