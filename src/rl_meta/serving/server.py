"""From a trained agent to a server that answers."""

import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from rl_meta.algorithms.base import MetaAlgorithm, Shape, deterministic
from rl_meta.serving.app import make_app
from rl_meta.serving.lives import Lives
from rl_meta.serving.service import Service
from rl_meta.serving.sessions import Sessions
from rl_meta.serving.settings import ServeSettings
from rl_meta.tasks.base import Family
from rl_meta.types import PyTree


def service_of(
    algorithm: MetaAlgorithm, params: PyTree, view: Family, shape: Shape, settings: ServeSettings
) -> Service:
    """The service of an agent that sees families through `view`."""
    adapter = algorithm.adapter
    if settings.acting == "deterministic":
        adapter = adapter._replace(act=deterministic(algorithm).act)
    seen = view.observation_space, view.action_space
    lives = Lives(adapter, params, shape, *seen, capacity=settings.sessions, batch=settings.batch)
    return Service(lives, Sessions(settings.sessions, settings.idle_seconds))


def serve_service(
    service: Service,
    listener: socket.socket,
    about: dict[str, Any],
    settings: ServeSettings,
    say: Callable[[str], None],
) -> None:
    """Compile, then answer until Ctrl-C. about: see `make_app`."""
    service.lives.compile(lambda done, total: say(f"compiling {done} of {total}"))
    server = server_of(service, about, token=settings.secret)
    host, port = listener.getsockname()[:2]
    say(f"serving {about['method']} on {about['family']} at http://{f'[{host}]' if ':' in host else host}:{port}")
    server.run(sockets=[listener])


def server_of(service: Service, about: dict[str, Any], *, token: str | None = None) -> uvicorn.Server:
    """A server, to be run with a socket that listens."""
    app = make_app(service, about, token=token)
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on"))
