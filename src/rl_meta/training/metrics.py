"""Metrics of a run: one JSON object per line, and the same for TensorBoard."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from rl_meta.training.checkpoints import write_whole

Line = dict[str, Any]


class MetricsFiles:
    """DIR/metrics.jsonl, and TensorBoard's event files in DIR/tensorboard."""

    def __init__(self, directory: Path, *, iteration: int) -> None:
        """Continue after `iteration`: later lines, of a run that was cut off, are dropped."""
        from tensorboardX import SummaryWriter  # noqa: PLC0415 (slow to import)

        path = directory / "metrics.jsonl"
        kept = [line for line in read_lines(path) if line["iteration"] <= iteration]
        write_whole(path, "".join(json.dumps(line) + "\n" for line in kept).encode())
        self._file = path.open("a")
        steps = kept[-1]["env_steps"] if kept else 0
        self._board = SummaryWriter(str(directory / "tensorboard"), purge_step=steps + 1)

    def write(self, line: Line) -> None:
        """One line; numbers per seed are lists."""
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        for name, value in line.items():
            if isinstance(value, list) and np.ndim(value) == 1:
                numbers = [v for v in value if v is not None]
                if numbers:
                    self._board.add_scalar(_tag(name), float(np.mean(numbers)), line["env_steps"])

    def close(self) -> None:
        """No more lines."""
        self._file.close()
        self._board.close()


def _tag(name: str) -> str:
    """The tags that users of TensorBoard expect."""
    return {"return": "rollout/ep_rew_mean", "steps_per_second": "time/fps"}.get(name, f"train/{name}")


def read_lines(path: Path) -> list[Line]:
    """All whole lines of a metrics file; a last line that was cut off is left out."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines


def plain(value: Any) -> Any:
    """Arrays as lists, with null for what is not a number."""
    if isinstance(value, list):
        return [plain(v) for v in value]
    return None if value is None or not np.isfinite(value) else float(f"{value:.6g}")
