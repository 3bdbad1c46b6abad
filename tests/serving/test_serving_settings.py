"""Where a server may listen, when sessions end, and what the command refuses."""

import socket
import sys

import pytest

from rl_meta.algorithms.base import Shape
from rl_meta.algorithms.rl2 import RL2
from rl_meta.cli import main
from rl_meta.collection.ledger import Ledger
from rl_meta.errors import UserError
from rl_meta.serving.sessions import RefusedError, Sessions
from rl_meta.serving.settings import ServeSettings, is_loopback
from rl_meta.tasks.bandit import Bandit
from untrained import untrained_run

LEDGER = Ledger(Shape(1, 1, 1), Bandit().action_space, learns=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_this_machine_alone_needs_no_token(host):
    assert is_loopback(host)
    ServeSettings(host=host).check()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org", "", "localhost.example.org"])
def test_any_other_address_needs_a_token(host, monkeypatch):
    monkeypatch.delenv("RL_META_TOKEN", raising=False)
    with pytest.raises(UserError, match="can be reached from other machines, so a token is needed"):
        ServeSettings(host=host).check()
    ServeSettings(host=host, token="secret").check()
    monkeypatch.setenv("RL_META_TOKEN", "secret")
    ServeSettings(host=host).check()


@pytest.mark.parametrize("token", ["", "two\nlines", "ä"])
def test_a_token_that_no_header_can_carry_is_refused(token):
    with pytest.raises(UserError, match="printable ASCII"):
        ServeSettings(token=token).check()


def test_a_token_is_not_shown():
    assert "secret" not in repr(ServeSettings(token="secret"))


def test_a_session_ends_when_it_is_idle_and_not_while_it_is_used():
    now = [0.0]
    sessions = Sessions(2, 10.0, clock=lambda: now[0])
    used, idle = (sessions.begin(LEDGER)[0] for _ in range(2))
    now[0] = 8.0
    sessions.find(used)
    now[0] = 12.0
    sessions.find(used)
    with pytest.raises(RefusedError, match="idle for more than 10 seconds"):
        sessions.find(idle)
    assert sessions.expired == 1
    assert sessions.begin(LEDGER)[1].slot != sessions.named[used].slot


def test_a_session_that_is_being_answered_keeps_its_place_until_then():
    now = [0.0]
    sessions = Sessions(1, 10.0, clock=lambda: now[0])
    name, session = sessions.begin(LEDGER)
    session.busy = True
    now[0] = 100.0
    assert sessions.find(name) is session
    sessions.end(name)
    with pytest.raises(RefusedError, match="all 1 sessions are in use"):
        sessions.begin(LEDGER)
    sessions.answered(name, session)
    sessions.begin(LEDGER)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return untrained_run(tmp_path_factory.mktemp("run") / "run", Bandit(arms=2, pulls=6), RL2(memory=4, encoder=()))


def refused(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(["serve", *map(str, words)])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_the_command_refuses_in_one_line(run, capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("RL_META_TOKEN", raising=False)
    assert "a token is needed" in refused(capsys, run, "--host", "0.0.0.0")
    assert "is not a run directory" in refused(capsys, tmp_path, "--port", "0")
    assert "sessions must be at least 1" in refused(capsys, run, "--sessions", "0")
    assert "port must be in [0, 65535]" in refused(capsys, run, "--port", "70000")
    assert "seed_index must be from 0 to 1" in refused(capsys, run, "--port", "0", "--seed-index", "9")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = refused(capsys, run, "--port", taken.getsockname()[1])
    assert "choose another --port" in said


def test_a_missing_extra_is_named_with_its_install_command(run, capsys, monkeypatch):
    for name in ("rl_meta.serving.server", "rl_meta.serving.app"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "pip install 'rl-meta[serve]'" in refused(capsys, run)
