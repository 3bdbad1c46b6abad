"""A server on a free port of this machine, in a thread, and a client of it."""

import json
import socket
import threading
import time
from contextlib import contextmanager
from http.client import HTTPConnection

from rl_meta.serving.server import server_of, service_of
from rl_meta.serving.settings import ServeSettings

CONNECTIONS = []
ABOUT = {"family": "test", "method": "test"}


@contextmanager
def serving(service, token=None):
    """Yields the port."""
    server = server_of(service, ABOUT, token=token)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield listener.getsockname()[1]
        finally:
            while CONNECTIONS:
                CONNECTIONS.pop().close()
            server.should_exit = True
            thread.join()


def service_for(method, family, params, **settings):
    """An agent with these meta-parameters."""
    settings = ServeSettings(**{"sessions": 8, "batch": 8, **settings})
    view = method.view(family)
    return service_of(method.build(view, 10), params, view, method.shape(view), settings)


class Client:
    def __init__(self, port, token=None):
        self.connection = HTTPConnection("127.0.0.1", port, timeout=60)
        CONNECTIONS.append(self.connection)
        self.headers = {"Content-Type": "application/json"}
        if token is not None:
            self.headers["Authorization"] = f"Bearer {token}"

    def ask(self, how, path, body=None, *, raw=None):
        """Status, and what was answered."""
        text = raw if raw is not None else None if body is None else json.dumps(body)
        self.connection.request(how, path, text, self.headers)
        answer = self.connection.getresponse()
        said = answer.read()
        return answer.status, json.loads(said) if said else None

    def begin(self, seed=0):
        status, told = self.ask("POST", "/sessions", {"seed": seed})
        assert status == 201, told
        return told["session"]

    def act(self, session, observation, **outcome):
        status, told = self.ask("POST", f"/sessions/{session}/act", {"observation": observation, **outcome})
        assert status == 200, told
        return told["action"]
