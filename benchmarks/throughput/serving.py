"""How long a client of `rl-meta serve` waits for an action, and how many actions a second there are for all of them.

    .venv/bin/python benchmarks/throughput/serving.py

The server, RL² with a GRU of 128 on cartpole, runs in a process of its own. The clients are all in this one, each with
a connection that stays open, and each asks for its next action as soon as it has the last one. `--batch 64` is beside
`--batch 1`, which answers one client at a time. Written to benchmarks/results/serving.json.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import rl_meta
from rl_meta.algorithms.rl2 import RL2
from rl_meta.tasks.cartpole import CartPole

OUTPUT = Path(__file__).resolve().parents[1] / "results" / "serving.json"
CLIENTS = (1, 4, 16, 64, 256)
BATCHES = (64, 1)
BODY = json.dumps({"observation": [0.01, -0.02, 0.03, -0.04], "reward": 1.0})


@contextmanager
def server(run: Path, batch: int) -> Iterator[tuple[int, int]]:
    """Yields the port of a server that has compiled, and its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [
        sys.executable,
        "-c",
        "from rl_meta.cli import main; main()",
        "serve",
        str(run),
        "--port",
        str(port),
        "--batch",
        str(batch),
    ]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        while "serving" not in (line := process.stderr.readline()):
            assert line, "the server has ended"
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


class Client:
    """A session, and how long each of its answers took, seconds. HTTP by hand, so that the clients cost little."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.asked = 0

    async def begin(self, port: int) -> None:
        """Connect, and begin a session."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.path = f"/sessions/{json.loads(await self._ask('POST', '/sessions', '{}'))['session']}"

    async def _ask(self, how: str, path: str, body: str = "") -> bytes:
        head = f"{how} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        self.writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        told = await self.reader.readuntil(b"\r\n\r\n")
        assert told.startswith(b"HTTP/1.1 20"), told
        length = re.search(rb"content-length: (\d+)", told, re.IGNORECASE)
        return await self.reader.readexactly(int(length[1])) if length else b""

    async def work(self, warm_up: float, seconds: float) -> None:
        """Ask for so many seconds, after a warm-up."""
        now = time.perf_counter()
        start = now + warm_up
        while now < start + seconds:
            await self._ask("POST", f"{self.path}/act", BODY)
            before, now = now, time.perf_counter()
            self.asked += 1
            if before >= start:
                self.seconds.append(now - before)

    async def end(self) -> None:
        """End the session."""
        await self._ask("DELETE", self.path)
        self.writer.close()


def cpu_seconds(process: int) -> float:
    """That a process has used so far (of Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(port: int, process: int, count: int, seconds: float) -> dict[str, Any]:
    """So many clients at once."""
    clients = [Client() for _ in range(count)]
    for client in clients:
        await client.begin(port)
    before, began = cpu_seconds(process), time.perf_counter()
    await asyncio.gather(*(client.work(1.0, seconds) for client in clients))
    cpu, wall = cpu_seconds(process) - before, time.perf_counter() - began
    for client in clients:
        await client.end()
    asked = sum(client.asked for client in clients)
    times = np.concatenate([client.seconds for client in clients])
    p50, p99 = (1000 * np.percentile(times, [50, 99])).round(2).tolist()
    return {
        "clients": count,
        "actions_per_second": round(len(times) / seconds, 1),
        "server_cpu_milliseconds_per_action": round(1000 * cpu / asked, 3),
        "server_cpu_share": round(cpu / wall, 2),
        "p50_milliseconds": p50,
        "p99_milliseconds": p99,
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="per number of clients")
    parser.add_argument("--clients", type=int, nargs="*", default=CLIENTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        run = rl_meta.train(CartPole(), RL2(), out=Path(directory) / "run", steps=1)
        measured = {}
        for batch in BATCHES:
            with server(run, batch) as served:
                measured[batch] = [asyncio.run(load(*served, count, options.seconds)) for count in options.clients]
            for row in measured[batch]:
                print(f"batch {batch}: {row}", flush=True)
    written = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "agent": "rl2 on cartpole, GRU 128",
        "batched": measured[64],
        "one_at_a_time": measured[1],
    }
    OUTPUT.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
