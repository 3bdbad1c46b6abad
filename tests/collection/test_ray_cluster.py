"""Collectors on a Ray cluster of several nodes, simulated on one machine, whose nodes come and go while it trains."""

import signal
import time
from contextlib import closing
from functools import partial

import numpy as np
import pytest
from safetensors.numpy import load_file

ray = pytest.importorskip("ray")

from ray.cluster_utils import Cluster  # noqa: E402

import rl_meta  # noqa: E402
from hosted import HostedArms  # noqa: E402
from integrations.toy_learners import Wavering  # noqa: E402
from rl_meta.algorithms.rl2 import RL2  # noqa: E402
from rl_meta.collection import crew  # noqa: E402
from rl_meta.collection.crew import Crew  # noqa: E402
from rl_meta.collection.ray_actors import RayActors  # noqa: E402
from rl_meta.errors import UserError  # noqa: E402
from rl_meta.integrations.foreign import ForeignReptile, lessons_of, meta_train  # noqa: E402
from rl_meta.tasks.probes import AimAt, OneArmPays  # noqa: E402
from rl_meta.tasks.surroundings import surroundings  # noqa: E402
from rl_meta.training.metrics import read_lines  # noqa: E402

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.xdist_group("ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

METHOD = RL2(memory=8, encoder=(8,), meta_batch_size=4)
STEPS = 60 * 4 * 2 * 6
STORE = {"object_store_memory": 200 * 2**20}


class Nodes:
    """A head without processors for collectors, and nodes with one each."""

    def __init__(self):
        self.cluster = Cluster(True, head_node_args={"num_cpus": 0, "include_dashboard": False, **STORE})
        finds = {"PYTHONPATH": surroundings()["PYTHONPATH"]}
        ray.init(address=self.cluster.address, runtime_env={"env_vars": finds}, log_to_driver=False)
        self.nodes = []

    def add(self):
        self.nodes.append(self.cluster.add_node(num_cpus=1, **STORE))

    def kill(self):
        self.cluster.remove_node(self.nodes.pop(0), allow_graceful=False)

    def leave(self, count):
        """So many of them."""
        while len(self.nodes) > count:
            self.kill()
        while len(self.nodes) < count:
            self.add()

    def close(self):
        ray.shutdown()
        self.cluster.shutdown()


@pytest.fixture(scope="module")
def nodes():
    made = Nodes()
    yield made
    made.close()


def newest(run):
    return load_file(sorted((run / "checkpoints").glob("*"))[-1])


def assert_same_state(ours, theirs):
    arrays = newest(theirs)
    for name, array in newest(ours).items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)


def test_an_address_where_no_cluster_is_is_refused(tmp_path, monkeypatch):
    def nobody(**_):
        raise ConnectionError("nobody answers")

    monkeypatch.setattr(ray, "init", nobody)
    with pytest.raises(
        UserError, match=r"answers at '127\.0\.0\.1:1': start one with `ray start --head`.*\(nobody answers\)"
    ):
        rl_meta.train(
            OneArmPays(), METHOD, out=tmp_path / "run", steps=STEPS, cluster=rl_meta.Cluster(1, "127.0.0.1:1")
        )


def test_a_cluster_without_room_says_what_it_has(nodes, tmp_path, monkeypatch):
    nodes.leave(0)
    monkeypatch.setattr(crew, "NOBODY_SECONDS", 1.0)
    with pytest.raises(UserError, match="no worker has started within 1 seconds: the cluster has 0 of 0 CPUs free"):
        rl_meta.train(OneArmPays(), METHOD, out=tmp_path / "run", steps=STEPS, cluster=rl_meta.Cluster(1, "auto"))


class ComingAndGoing:
    """Adds a node after two iterations; when its collector takes part, the first node is killed."""

    def __init__(self, nodes):
        self.nodes, self.seen = nodes, []

    def __call__(self, line):
        self.seen.append(line["collectors"][0])
        if line["iteration"] == 2:
            self.nodes.add()
        if max(self.seen) < 2:
            time.sleep(1)  # the new collector is starting
        elif len(self.nodes.nodes) == 2:
            self.nodes.kill()


@pytest.mark.parametrize("family", [OneArmPays(), HostedArms()], ids=["device", "host"])
def test_nodes_may_come_and_go_and_no_number_changes(family, nodes, tmp_path):
    nodes.leave(1)
    there, here, changing = rl_meta.Cluster(2, "auto"), rl_meta.Cluster(2), ComingAndGoing(nodes)
    moved = rl_meta.train(family, METHOD, out=tmp_path / "moved", steps=STEPS, cluster=there, report=changing)
    still = rl_meta.train(family, METHOD, out=tmp_path / "still", steps=STEPS, cluster=here)
    told = read_lines(moved / "metrics.jsonl")
    assert changing.seen[:2] == [1.0, 1.0]
    assert max(changing.seen) == 2.0
    assert changing.seen[-1] == 1.0
    assert sum(line["collector_deaths"][0] for line in told) == 1.0
    assert sum(line["parts_lived_again"][0] for line in told) == 1.0
    assert [line["return"] for line in told] == [line["return"] for line in read_lines(still / "metrics.jsonl")]
    assert_same_state(moved, still)


def test_a_run_that_is_stopped_resumes_on_the_cluster_to_the_same_numbers(nodes, tmp_path):
    def interrupt(line):
        if line["iteration"] == 3:
            signal.raise_signal(signal.SIGINT)

    nodes.leave(1)
    one = rl_meta.Cluster(1, "auto")
    whole = rl_meta.train(OneArmPays(), METHOD, out=tmp_path / "whole", steps=STEPS, cluster=one)
    with pytest.raises(KeyboardInterrupt):
        rl_meta.train(OneArmPays(), METHOD, out=tmp_path / "cut", steps=STEPS, cluster=one, report=interrupt)
    rl_meta.resume(tmp_path / "cut", family=OneArmPays(), cluster=one)
    assert_same_state(tmp_path / "cut", whole)


def test_learners_of_other_libraries_learn_the_same_on_actors(nodes, tmp_path):
    nodes.leave(1)
    method = ForeignReptile(meta_batch_size=4, task_steps=10)
    alone, there = Wavering(), Wavering()
    meta_train(alone, AimAt(), method, out=tmp_path / "alone", steps=80)
    with closing(Crew(RayActors(partial(lessons_of, Wavering), "auto", workers=1), 1)) as some:
        meta_train(there, AimAt(), method, out=tmp_path / "there", steps=80, crew=some)
    assert there.x == alone.x
