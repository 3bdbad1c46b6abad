"""What is served, without HTTP: begin, act and end, for many clients at once.

Whoever asks for an action while another one is computed waits for no clock: the next call takes all who wait by then.
A stage's learning runs on a thread of its own, so that the others' actions do not wait for it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from rl_meta.collection.ledger import Ledger, observed
from rl_meta.errors import UserError
from rl_meta.serving.lives import Acted, Lives, Moment
from rl_meta.serving.sessions import RefusedError, Session, Sessions
from rl_meta.types import PyTree

TIMED = 10_000
"""Of how many of the newest answers the times are told."""


class Outcome(NamedTuple):
    """What an action led to, as its client tells it."""

    observation: Any
    reward: float
    terminated: bool
    truncated: bool
    final_observation: Any
    """None: not known, or no episode ended."""


class Service:
    """One agent for many clients. All methods are to be called from one event loop, in which `run` runs."""

    def __init__(self, lives: Lives, sessions: Sessions) -> None:
        self.lives, self.sessions = lives, sessions
        self.begun = self.actions = self.calls = 0
        self._began = time.monotonic()
        self._seconds: deque[float] = deque(maxlen=TIMED)
        self._waiting: asyncio.Queue[tuple[Moment, asyncio.Future[Acted]]] = asyncio.Queue()
        self._device, self._learning = ThreadPoolExecutor(1), ThreadPoolExecutor(1)

    async def run(self) -> None:
        """Answer who waits, for ever."""
        while True:
            taken = [await self._waiting.get()]
            await asyncio.sleep(0)  # requests that have come in meanwhile get to their place in the queue
            while len(taken) < self.lives.batch and not self._waiting.empty():
                taken.append(self._waiting.get_nowait())
            moments, answers = zip(*taken, strict=True)
            try:
                several = await _on(self._device, self.lives.act, moments)
            except Exception as error:
                for answer in answers:
                    if not answer.done():  # a client may have gone
                        answer.set_exception(error)
                continue
            self.calls += 1
            self.actions += len(several)
            for answer, acted in zip(answers, several, strict=True):
                if not answer.done():
                    answer.set_result(acted)

    async def begin(self, seed: int) -> str:
        """The name of a new session."""
        ledger = Ledger(self.lives.shape, self.lives.action_space, learns=self.lives.learns)
        name, session = self.sessions.begin(ledger)
        session.busy = True
        try:
            session.key, session.keys = await _on(self._device, self.lives.begin, session.slot, seed)
        finally:
            self.sessions.answered(name, session)
        self.begun += 1
        return name

    async def act(self, name: str, outcome: Outcome) -> np.ndarray:
        """The next action, in the action space.

        Raises:
            RefusedError: there is no such session, it is being answered already, or what it tells is no observation.
        """
        asked, session = time.monotonic(), self.sessions.find(name)
        if session.busy:
            raise RefusedError(409, "this session's last request is still being answered: wait for it")
        obs, final = self._read(outcome)
        session.busy = True
        try:
            await self._follow(session, outcome, obs, final)
            acted = await self._answer(session)
        finally:
            self.sessions.answered(name, session)
        self._seconds.append(time.monotonic() - asked)
        return acted.action

    def end(self, name: str) -> None:
        """Forget a session."""
        self.sessions.end(name)

    def metrics(self) -> dict[str, Any]:
        """Counts since the start, and times of the newest answers."""
        self.sessions.expire()
        times = np.array(self._seconds) * 1000
        p50, p99 = np.percentile(times, [50, 99]).round(3).tolist() if times.size else (None, None)
        return {
            "sessions": len(self.sessions.named),
            "most_sessions": self.sessions.capacity,
            "sessions_begun": self.begun,
            "sessions_expired": self.sessions.expired,
            "actions": self.actions,
            "actions_per_call": round(self.actions / self.calls, 3) if self.calls else None,
            "latency_p50_milliseconds": p50,
            "latency_p99_milliseconds": p99,
            "seconds": round(time.monotonic() - self._began, 1),
        }

    async def _follow(self, session: Session, outcome: Outcome, obs: PyTree, final: PyTree) -> None:
        """Take in what the last action led to; learn where that ended the stage."""
        ledger = session.ledger
        if ledger.inputs is None:
            ledger.observe(obs)
            return
        if not ledger.follow(obs, final, outcome.reward, ended=(outcome.terminated, outcome.truncated)):
            return
        assert session.key is not None
        assert session.keys is not None
        steps = ledger.end_stage()
        if steps is not None:
            adapted = await _on(self._device, self.lives.read, session.slot)
            adapted = await _on(self._learning, self.lives.learn, session.keys.learn, adapted, steps)
            await _on(self._device, self.lives.write, session.slot, adapted)
        session.keys = await _on(self._device, self.lives.stage_keys, session.key, ledger.stage)

    async def _answer(self, session: Session) -> Acted:
        """Wait for the next call of the agent."""
        ledger = session.ledger
        assert session.keys is not None
        assert ledger.inputs is not None
        key = session.keys.act[ledger.copy, ledger.time]
        answer: asyncio.Future[Acted] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((Moment(session.slot, ledger.copy, key, ledger.inputs), answer))
        acted = await answer
        ledger.acted(acted.drawn, acted.extras)
        return acted

    def _read(self, outcome: Outcome) -> tuple[PyTree, PyTree]:
        """Observation and final observation, of the agent's space."""
        space = self.lives.observation_space
        try:
            obs = observed(space, outcome.observation)
            final = obs if outcome.final_observation is None else observed(space, outcome.final_observation)
        except UserError as error:
            raise RefusedError(422, _short(str(error))) from None
        return obs, final

    async def _on_device(self, function: Callable, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._device, function, *arguments)


async def _on(thread: ThreadPoolExecutor, function: Callable, *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(thread, function, *arguments)


def _short(message: str) -> str:
    """One line, whatever was sent."""
    line = " ".join(message.split())
    return line if len(line) <= 300 else line[:297] + "..."
