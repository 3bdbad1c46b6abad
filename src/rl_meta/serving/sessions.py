"""Who is being served: sessions by name, at most so many, each for as long as it is used."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rl_meta.collection.ledger import Ledger
from rl_meta.errors import UserError
from rl_meta.serving.lives import StageKeys
from rl_meta.types import Key


class RefusedError(UserError):
    """A request that cannot be served, with the status that HTTP has for it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Session:
    """A client's lifetime."""

    slot: int
    ledger: Ledger
    used: float
    """When it was last heard of, seconds."""
    key: Key | None = None
    keys: StageKeys | None = None
    """Of the stage that it is in."""
    busy: bool = False
    """Is an answer under way?"""


@dataclass
class Sessions:
    """Sessions by name."""

    capacity: int
    idle_seconds: float
    """So long without a request, and a session is over."""
    clock: Callable[[], float] = time.monotonic
    named: dict[str, Session] = field(default_factory=dict)
    expired: int = 0
    """How many were idle for too long, so far."""

    def __post_init__(self) -> None:
        self._free = list(range(self.capacity))[::-1]

    def begin(self, ledger: Ledger) -> tuple[str, Session]:
        """A new session, and its name, which cannot be guessed.

        Raises:
            RefusedError: there are as many as there may be, and none is idle.
        """
        self.expire()
        if not self._free:
            raise RefusedError(
                503,
                f"all {self.capacity} sessions are in use: end one, or try again later "
                f"(an idle one ends after {self.idle_seconds:g} seconds)",
            )
        name, session = secrets.token_urlsafe(16), Session(self._free.pop(), ledger, self.clock())
        self.named[name] = session
        return name, session

    def find(self, name: str) -> Session:
        """The session of this name, which is in use now.

        Raises:
            RefusedError: there is none.
        """
        self.expire()
        if name not in self.named:
            raise RefusedError(
                404,
                f"unknown session {name[:40]!r}: it never was, was ended, or was idle for more than "
                f"{self.idle_seconds:g} seconds; begin a new one",
            )
        session = self.named[name]
        session.used = self.clock()
        return session

    def end(self, name: str) -> None:
        """Forget it; an answer that is under way is still given."""
        session = self.find(name)
        del self.named[name]
        if not session.busy:
            self._free.append(session.slot)

    def answered(self, name: str, session: Session) -> None:
        """An answer was given."""
        session.busy, session.used = False, self.clock()
        if self.named.get(name) is not session:
            self._free.append(session.slot)

    def expire(self) -> None:
        """Forget those that were idle for too long."""
        latest = self.clock() - self.idle_seconds
        idle = [name for name, session in self.named.items() if session.used < latest and not session.busy]
        for name in idle:
            self._free.append(self.named.pop(name).slot)
        self.expired += len(idle)
