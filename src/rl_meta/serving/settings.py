"""Where a server listens, who may ask, and for how many it is."""

import ipaddress
import os
import socket
from dataclasses import dataclass, field
from typing import Annotated, Literal

from rl_meta.errors import UserError, unknown
from rl_meta.settings import Count, Positive, Range, check_settings

ACTING = ("sampled", "deterministic")
TOKEN = "RL_META_TOKEN"
"""The environment variable that the command takes the token from."""


@dataclass(frozen=True)
class ServeSettings:
    """Settings of a server."""

    host: str = "127.0.0.1"
    """Address to listen at; any but this machine itself needs a token."""
    port: Annotated[int, Range(0, 65535)] = 8000
    """0: any that is free."""
    token: str | None = field(default=None, repr=False)
    """What every request has to bring; None: the environment variable RL_META_TOKEN, which others do not see."""
    sessions: Count = 256
    """Clients at the same time; each takes memory from the start on."""
    idle_seconds: Positive = 600.0
    """So long without a request, and a session is over."""
    batch: Count = 64
    """The most clients that are acted for in one call of the agent."""
    acting: Literal["sampled", "deterministic"] = "sampled"
    """As in training, or at its best."""

    def check(self) -> None:
        """Is all in range, and the token there where one is needed? Raises `UserError`."""
        check_settings(self)
        if self.acting not in ACTING:
            raise unknown("acting", self.acting, ACTING)
        secret = self.secret
        if secret is not None and not (secret and secret.isascii() and secret.isprintable()):
            raise UserError("the token must be of printable ASCII characters, and of at least one")
        if secret is None and not is_loopback(self.host):
            raise UserError(
                f"{self.host} can be reached from other machines, so a token is needed: "
                f"set the environment variable {TOKEN}, or listen at 127.0.0.1"
            )

    @property
    def secret(self) -> str | None:
        """The token that counts."""
        return os.environ.get(TOKEN) if self.token is None else self.token

    def listening(self) -> socket.socket:
        """A socket at the address.

        Raises:
            UserError: it cannot be had, or `check` does not pass.
        """
        self.check()
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            return socket.create_server((self.host, self.port), family=family, backlog=1024)
        except OSError as error:
            raise UserError(
                f"cannot listen at {self.host}, port {self.port} ({error.strerror}): choose another --port"
            ) from None


def is_loopback(host: str) -> bool:
    """Is this an address that only programs on the same machine reach? A name other than localhost may not be."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
