"""Metrics of a run: one JSON object per line, and the same for TensorBoard."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from rl_meta.errors import UserError
from rl_meta.training.checkpoints import write_whole

Line = dict[str, Any]


class MetricsFiles:
    """DIR/metrics.jsonl, and TensorBoard's event files in DIR/tensorboard."""

    def __init__(self, directory: Path, *, iteration: int) -> None:
        """Continue after `iteration`: later lines, of a run that was cut off, are dropped."""
        from tensorboardX import SummaryWriter  # noqa: PLC0415 (slow to import)

        path = directory / "metrics.jsonl"
        kept = [line for line in read_lines(path) if line["iteration"] <= iteration]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        if not path.exists() or path.read_text() != text:
            write_whole(path, text.encode())
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
        with suppress(OSError):  # which has been told, where a disk is full
            self._board.close()
        self._file.close()


def _tag(name: str) -> str:
    """The tags that users of TensorBoard expect."""
    return {"return": "rollout/ep_rew_mean", "steps_per_second": "time/fps"}.get(name, f"train/{name}")


def read_lines(path: Path) -> list[Line]:
    """All whole lines of a metrics file; a last line that was cut off is left out.

    Raises:
        UserError: another line is damaged.
    """
    if not path.exists():
        return []
    lines, texts = [], path.read_text().splitlines()
    for number, text in enumerate(texts, 1):
        try:
            lines.append(json.loads(text))
        except ValueError:
            if number < len(texts):
                raise UserError(f"line {number} of {path} is damaged: mend it, or delete it") from None
    return lines


def plain(value: Any) -> Any:
    """Arrays as lists, with null for what is not a number."""
    if isinstance(value, list):
        return [plain(v) for v in value]
    return None if value is None or not np.isfinite(value) else float(f"{value:.6g}")
