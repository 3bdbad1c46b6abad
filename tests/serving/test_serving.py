"""A served agent acts as a loaded one, for many clients at once; and what is wrong is one client's and one line."""

import json
import re
import threading

import jax
import numpy as np
import pytest
from served import Client, service_for, serving

from rl_meta.algorithms.maml import MAML
from rl_meta.algorithms.reptile import Reptile
from rl_meta.algorithms.rl2 import RL2
from rl_meta.collection.agent import Agent
from rl_meta.tasks.cartpole import CartPole
from rl_meta.tasks.pendulum import Pendulum

pytestmark = pytest.mark.frameworks
pytest.importorskip("fastapi")
ROUNDING = 1e-4
"""One program, compiled for one life and for several; learned from, it grows."""
METHODS = {
    "rl2": (RL2(memory=8, encoder=()), CartPole(horizon=6)),
    "maml": (MAML(copies=4, hidden=(8,)), Pendulum(horizon=10)),
    "reptile": (
        Reptile(copies=2, rollout_steps=4, improvements=2, hidden=(8,), minibatches=2, epochs=1),
        CartPole(horizon=6),
    ),
}


@pytest.fixture(scope="module", params=["rl2", "maml", pytest.param("reptile", marks=pytest.mark.learning)])
def served(request):
    """An untrained agent with steep weights, the port where it is served, and the service."""
    method, family = METHODS[request.param]
    params = jax.jit(method.build(method.view(family), 10).init)(jax.random.key(0)).params
    params = jax.tree.map(lambda x: 3 * x, params)
    adapter = method.build(family, 10).adapter
    agent = Agent(adapter, params, method.shape(family), family.observation_space, family.action_space)
    service = service_for(method, family, params)
    with serving(service) as port:
        yield agent, port, service, method.shape(family)


@pytest.fixture(scope="module")
def rl2(tmp_path_factory):
    """A served agent with a memory: the port and the service."""
    method, family = METHODS["rl2"]
    params = method.build(family, 10).init(jax.random.key(0)).params
    service = service_for(method, family, params, idle_seconds=3600.0)
    with serving(service) as port:
        yield port, service


def lifetime(act, space, steps, seed):
    """[steps, ...] Actions in a made-up environment, whose observations depend on them."""
    rng, outcome, actions = np.random.default_rng(seed), {}, []
    for step in range(steps):
        obs = rng.normal(size=space.shape).astype(np.float32)
        actions.append(np.asarray(act(obs.tolist(), **outcome)))
        ended = step % 5 == 4
        outcome = {
            "reward": float(rng.normal() + actions[-1].sum()),
            "terminated": ended and step % 2 == 0,
            "truncated": ended and step % 2 == 1,
            "final_observation": rng.normal(size=space.shape).tolist() if ended else None,
        }
    return np.array(actions)


def test_a_served_agent_acts_as_a_loaded_one_over_stages_and_side_by_side(served):
    agent, port, service, shape = served
    steps = 2 * shape.copies * shape.steps + 3
    got, space = {}, agent.observation_space

    def live(seed):
        client = Client(port)
        session = client.begin(seed)
        got[seed] = lifetime(lambda obs, **outcome: client.act(session, obs, **outcome), space, steps, seed)

    threads = [threading.Thread(target=live, args=(seed,)) for seed in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(5):
        agent.begin_task(seed)
        expected = lifetime(agent.act, space, steps, seed)
        np.testing.assert_allclose(got[seed], expected, atol=ROUNDING, rtol=ROUNDING)
    assert len(np.unique(np.concatenate([*got.values()]).round(3))) > 1, "it always does the same: the test is empty"
    assert service.actions == 5 * steps


WRONG = {
    "another shape": (422, {"observation": [0.0] * 3}, "must have the shape \\(4,\\)"),
    "no numbers": (422, {"observation": "four"}, "must be numbers"),
    "ragged": (422, {"observation": [[1], [2, 3]]}, "must be numbers"),
    "nothing": (422, {}, "observation: Field required"),
    "null": (422, {"observation": [None] * 4}, "finite"),
    "not a number": (422, {"observation": [float("nan")] * 4}, "finite"),
    "too large a number": (422, {"observation": [1e300] * 4}, "finite"),
    "a reward that is not finite": (422, {"observation": [0.0] * 4, "reward": float("inf")}, "reward: .*finite"),
    "too large a reward": (422, {"observation": [0.0] * 4, "reward": 1e39}, "reward must be a number of single"),
    "a misspelt field": (422, {"observation": [0.0] * 4, "rewards": 1.0}, "rewards: Extra inputs"),
    "a wrong final observation": (422, {"observation": [0.0] * 4, "final_observation": [1]}, "must have the shape"),
    "too long": (413, {"observation": [0.0] * 5000}, "at most [\\d,]+ bytes"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_what_is_wrong_is_told_in_one_line_and_changes_no_session(rl2, name):
    status, body, message = WRONG[name]
    client = Client(rl2[0])
    sessions = [client.begin(seed=3) for _ in range(2)]
    for session in sessions:
        client.act(session, [0.1] * 4)
    got, told = client.ask("POST", f"/sessions/{sessions[0]}/act", body)
    assert got == status, told
    assert list(told) == ["error"]
    assert "\n" not in told["error"]
    assert re.search(message, told["error"])
    client = Client(rl2[0])
    one, other = (client.act(session, [0.2] * 4, reward=1.0) for session in sessions)
    assert one == other
    for session in sessions:
        assert client.ask("DELETE", f"/sessions/{session}")[0] == 204


def test_what_is_no_json_is_refused(rl2):
    client = Client(rl2[0])
    session = client.begin()
    for raw in ("{", "[" * 3000, '{"observation": [0, 0, 0, 0]} and more'):
        status, told = client.ask("POST", f"/sessions/{session}/act", raw=raw)
        assert (status, list(told)) in ((422, ["error"]), (400, ["error"]))
    client.ask("DELETE", f"/sessions/{session}")


def test_what_does_not_say_how_long_it_is_may_not_be_too_long_either(rl2):
    client = Client(rl2[0])
    session = client.begin()
    client.connection.request("POST", f"/sessions/{session}/act", iter([b" " * 1000] * 50), client.headers)
    answer = client.connection.getresponse()
    assert (answer.status, list(json.loads(answer.read()))) == (413, ["error"])
    client = Client(rl2[0])
    client.ask("DELETE", f"/sessions/{session}")


def test_unknown_sessions_paths_and_seeds_are_refused(rl2):
    client = Client(rl2[0])
    assert client.ask("POST", "/sessions/none/act", {"observation": [0.0] * 4})[0] == 404
    assert "unknown session 'none'" in client.ask("DELETE", "/sessions/none")[1]["error"]
    assert client.ask("GET", "/nowhere") == (404, {"error": "Not Found"})
    assert client.ask("POST", "/sessions", {"seed": -1})[0] == 422


def test_an_ended_session_is_forgotten_and_its_place_is_free(rl2):
    client = Client(rl2[0])
    sessions = [client.begin() for _ in range(8)]
    status, told = client.ask("POST", "/sessions")
    assert status == 503
    assert "all 8 sessions are in use" in told["error"]
    assert client.ask("DELETE", f"/sessions/{sessions[0]}")[0] == 204
    assert client.ask("POST", f"/sessions/{sessions[0]}/act", {"observation": [0.0] * 4})[0] == 404
    sessions[0] = client.begin()
    assert client.ask("GET", "/metrics")[1]["sessions"] == 8
    for session in sessions:
        client.ask("DELETE", f"/sessions/{session}")
    assert client.ask("GET", "/metrics")[1]["sessions"] == 0


def test_a_new_session_in_an_old_place_remembers_nothing(rl2):
    client = Client(rl2[0])
    acted = []
    for _ in range(2):
        session = client.begin(seed=1)
        acted.append([client.act(session, [x] * 4, reward=9.0) for x in np.linspace(-2, 2, 12).tolist()])
        client.ask("DELETE", f"/sessions/{session}")
    assert acted[0] == acted[1]


def test_metrics_count_what_was_served(rl2):
    client = Client(rl2[0])
    before = client.ask("GET", "/metrics")[1]
    session = client.begin()
    for _ in range(3):
        client.act(session, [0.0] * 4)
    after = client.ask("GET", "/metrics")[1]
    client.ask("DELETE", f"/sessions/{session}")
    assert after["actions"] - before["actions"] == 3
    assert after["sessions_begun"] - before["sessions_begun"] == 1
    assert 0 < after["latency_p50_milliseconds"] <= after["latency_p99_milliseconds"]


def test_with_a_token_only_health_is_open(rl2):
    with serving(rl2[1], token="secret") as port:
        for token in (None, "wrong", ""):
            assert Client(port, token).ask("POST", "/sessions")[0] == 401
            assert Client(port, token).ask("GET", "/metrics")[0] == 401
        assert Client(port).ask("GET", "/health") == (200, {"status": "ok"})
        client = Client(port, "secret")
        assert client.ask("DELETE", f"/sessions/{client.begin()}")[0] == 204


def test_a_session_tells_the_spaces_and_a_seed_that_repeats_it(rl2):
    client = Client(rl2[0])
    _, told = client.ask("POST", "/sessions")
    assert told["observation_space"]["shape"] == [4]
    assert told["action_space"] == {"type": "Discrete", "n": 2, "start": 0}
    sessions = told["session"], client.begin(told["seed"])
    acted = [[client.act(session, [0.1 * i] * 4) for i in range(10)] for session in sessions]
    assert acted[0] == acted[1]
    for session in sessions:
        client.ask("DELETE", f"/sessions/{session}")
    assert json.dumps(told)
