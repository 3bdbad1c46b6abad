"""`rl-meta list`: families and methods, and what they are."""

import json
import sys
from dataclasses import dataclass

import tyro

from rl_meta.training.catalogue import Kind, families, methods


@dataclass(frozen=True)
class ListOptions:
    """Families and methods, with the first line of what they are."""

    json: bool = False
    """Print one JSON object instead."""


def run(words: list[str]) -> None:
    """Print what there is."""
    options = tyro.cli(ListOptions, args=words, prog="rl-meta list")
    found = {kind.name: {name: _what_it_is(kind, name) for name in sorted(kind.table)} for kind in (families, methods)}
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for kind, entries in found.items():
        print(f"{kind} (`rl-meta train {'NAME rl2' if kind == 'family' else 'cartpole NAME'} --help` shows its fields)")
        for name, line in entries.items():
            print(f"  {name:20s} {line}")


def _what_it_is(kind: Kind, name: str) -> str:
    """The headline of its module, or of its class where a module has several."""
    cls = kind.load(name)
    alone = sum(path.startswith(f"{cls.__module__}:") for path in kind.table.values()) == 1
    headline = ((sys.modules[cls.__module__] if alone else cls).__doc__ or "").strip().splitlines()[0]
    return headline.split(": ", 1)[-1] if headline.startswith("`") else headline
