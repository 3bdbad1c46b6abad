"""What a run leaves in its directory, read back and checked.

config.json       family, method, seeds, steps: what was asked for
versions.json     what it ran on
metrics.jsonl     one JSON object per logged iteration
evaluation.json   how the agent does in held-out tasks; absent until the run has been evaluated
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from rl_meta.errors import UserError

FORMAT = 1
ENTRY_KEYS = ("env_steps", "mean", "iqm", "low", "high", "p20")
SPEEDUP_KEYS = ("return", "steps", "baseline_steps", "times", "at_least")
NO_RUN = "give the directory of a run, as `rl-meta train` writes it"
BROKEN_RUN = "restore the file or train again"
BROKEN_EVALUATION = "delete the file and evaluate the run again"


class RunFiles(NamedTuple):
    """A run as it lies on disk."""

    config: dict[str, Any]
    versions: dict[str, Any]
    metrics: list[dict[str, Any]]
    """Rows in the order in which they were logged."""
    evaluation: dict[str, Any] | None


def read_run(directory: Path) -> RunFiles:
    """Read a run's directory.

    Raises:
        UserError: a file is missing (`evaluation.json` may be), unreadable, or not what it should be.
    """
    if not directory.is_dir():
        raise UserError(f"{directory} is not a directory: {NO_RUN}")
    return RunFiles(
        config=_read_config(directory / "config.json"),
        versions=_read_object(directory / "versions.json", BROKEN_RUN),
        metrics=_read_rows(directory / "metrics.jsonl"),
        evaluation=_read_evaluation(directory / "evaluation.json"),
    )


def _read_config(path: Path) -> dict[str, Any]:
    config = _read_object(path, BROKEN_RUN)
    for part in ("family", "method"):
        if not isinstance(config.get(part), dict) or "name" not in config[part]:
            raise UserError(f"{path} does not name its {part}: {BROKEN_RUN}")
    return config


def _read_evaluation(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    evaluation = _read_object(path, BROKEN_EVALUATION)
    try:
        _check_evaluation(evaluation)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is incomplete ({error.args[0]}): {BROKEN_EVALUATION}") from None
    return evaluation


def _check_evaluation(evaluation: dict[str, Any]) -> None:
    """Raise `KeyError` or `TypeError` where something that the report needs is not there."""
    for name in ("family", "method", "split", "tasks", "seeds"):
        _check_keys(evaluation, (name,), "the evaluation")
    curves = {"the evaluation": evaluation, **evaluation.get("baselines", {})}
    for name, curve in curves.items():
        entries = [*curve.get("stages", ()), *curve.get("episodes", ())]
        if not entries:
            raise KeyError(f"no stages in {name}")
        for entry in entries:
            _check_keys(entry, ENTRY_KEYS, f"a stage or episode of {name}")
            if not all(isinstance(entry[key], int | float) for key in ENTRY_KEYS):
                raise TypeError(f"a stage or episode of {name} holds something else than numbers")
    for name, entry in evaluation.get("speedup", {}).items():
        _check_keys(entry, SPEEDUP_KEYS, f"the speedup over {name}")


def _check_keys(mapping: dict[str, Any], keys: Iterable[str], what: str) -> None:
    for key in keys:
        if key not in mapping:
            raise KeyError(f"no {key} in {what}")


def _read_object(path: Path, remedy: str) -> dict[str, Any]:
    text = _read_text(path)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not valid JSON (line {error.lineno}): {remedy}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} must hold one JSON object, got a {type(value).__name__}: {remedy}")
    if value.get("format", FORMAT) != FORMAT:
        raise UserError(f"{path} has format {value['format']!r}, not {FORMAT}: use the RL-Meta that wrote it")
    return value


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file. The last line may still be being written, and is then left out."""
    *lines, unfinished = _read_text(path).split("\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        row = _parse_row(line)
        if line.strip() and row is None:
            raise UserError(f"{path} has no valid JSON object in line {number}: delete the line")
        rows.append(row)
    rows.append(_parse_row(unfinished))
    return [row for row in rows if row is not None]


def _parse_row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {NO_RUN}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}): {NO_RUN}") from None
