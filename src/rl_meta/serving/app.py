"""HTTP around the service: paths, what a request must look like, and who may ask."""

import asyncio
import hmac
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat
from starlette.exceptions import HTTPException as AnyHTTPException

from rl_meta.exporting.artefact import plain_space
from rl_meta.policies.spaces import flat_size
from rl_meta.serving.service import Outcome, Service
from rl_meta.serving.sessions import RefusedError

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
OPEN = "/health"
"""The path that needs no token."""
MOST_SEEDS = 2**32


class BeginRequest(BaseModel):
    """A new task."""

    model_config = ConfigDict(extra="forbid")
    seed: Annotated[int, Field(ge=0, lt=MOST_SEEDS)] | None = None
    """Decides all that the agent draws; null: drawn here."""


class ActRequest(BaseModel):
    """What the last action led to; in the first request of a session, all but the observation is ignored."""

    model_config = ConfigDict(extra="forbid")
    observation: Any
    """What the environment shows now: after the end of an episode, the first observation of the next one."""
    reward: FiniteFloat = 0.0
    terminated: bool = False
    truncated: bool = False
    final_observation: Any = None
    """The last observation of the episode that ended, where one did and it is known."""


def make_app(service: Service, about: dict[str, Any], *, token: str | None = None) -> FastAPI:
    """The application. about: what `POST /sessions` tells of the agent. token: what every request has to bring."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(service.run())
        yield
        running.cancel()

    app = FastAPI(title="rl-meta serve", lifespan=lifespan)
    app.add_middleware(Gate, token=token, most_bytes=most_bytes(service))
    _refuse_in_one_line(app)
    spaces = {
        "observation_space": plain_space(service.lives.observation_space),
        "action_space": plain_space(service.lives.action_space),
    }

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics")
    async def metrics() -> dict[str, Any]:
        return service.metrics()

    @app.post("/sessions", status_code=201)
    async def begin(request: BeginRequest | None = None) -> dict[str, Any]:
        seed = request.seed if request and request.seed is not None else secrets.randbelow(MOST_SEEDS)
        return {"session": await service.begin(seed), "seed": seed, **about, **spaces}

    @app.post("/sessions/{session}/act")
    async def act(session: str, request: ActRequest) -> Response:
        told = Outcome(
            request.observation, request.reward, request.terminated, request.truncated, request.final_observation
        )
        if abs(request.reward) > np.finfo(np.float32).max:
            raise RefusedError(422, f"a reward must be a number of single precision, got {request.reward:g}")
        action = await service.act(session, told)
        return Response(json.dumps({"action": action.tolist()}), media_type="application/json")

    @app.delete("/sessions/{session}", status_code=204)
    async def end(session: str) -> None:
        service.end(session)

    return app


def most_bytes(service: Service) -> int:
    """How long a request may be: two observations, generously written."""
    return 4096 + 2 * 64 * flat_size(service.lives.observation_space)


class Gate:
    """Refuses requests without the token, and those that are too long, before anything is made of them."""

    def __init__(self, app: Any, *, token: str | None, most_bytes: int) -> None:
        self._app, self._most = app, most_bytes
        self._expected = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """As an ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if self._expected is not None and scope["path"] != OPEN:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                answer = _error(401, "a token is needed: send the header 'Authorization: Bearer TOKEN'")
                await answer(scope, receive, send)
                return
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._most:
            await _error(413, self._too_long)(scope, receive, send)
            return
        await self._app(scope, self._counting(receive), send)

    @property
    def _too_long(self) -> str:
        return f"a request must have at most {self._most:,} bytes"

    def _counting(self, receive: Receive) -> Receive:
        """For those that do not say beforehand how long they are."""
        total = 0

        async def counted() -> MutableMapping[str, Any]:
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            if total > self._most:
                raise HTTPException(413, self._too_long)  # the one error that FastAPI lets through here
            return message

        return counted


def _refuse_in_one_line(app: FastAPI) -> None:
    """Whatever is wrong is told as {"error": one line}."""

    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> JSONResponse:
        return _error(error.status, str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return _error(422, f"{where}: {first['msg']}" if where else str(first["msg"]))

    @app.exception_handler(AnyHTTPException)
    async def http(_: Request, error: AnyHTTPException) -> JSONResponse:
        return _error(error.status_code, str(error.detail))

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:  # noqa: ARG001 (it goes to the server's log)
        return _error(500, "the server failed: see its log")


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status)
