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
            print(f"  {name:24s} {line}")


def _what_it_is(kind: Kind, name: str) -> str:
    """The headline of its class; or of its module, where that is of one family alone and names it: "`name`: what"."""
    cls = kind.load(name)
    of_module = sys.modules[cls.__module__].__doc__ or ""
    alone = of_module.startswith(f"`{name}`: ")
    return (of_module.split(": ", 1)[1] if alone else cls.__doc__ or "").strip().splitlines()[0]
