"""What recall costs that tallies numbered observations, beside the same that searches all steps.

    python benchmarks/throughput/recall.py

Milliseconds per lifetime, the median of five calls with 64 lifetimes each, in this process: of `learning`, the gradient
of a sum over a lifetime looked back on, and of `living`, one step after the other. Both find the same.
"""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp

from rl_meta.policies.recall import Lookup, MeanOutcome, Recall, Tally

OUTPUT = Path(__file__).resolve().parents[1] / "results" / "throughput-recall.json"
LIFETIMES, OUTCOME, WIDTH, CALLS = 64, 13, 64, 5
POINTS = [(1, 500), (1, 100), (10, 100), (10, 50), (25, 125), (25, 250), (25, 500)]
"""States, and steps of a lifetime."""


def milliseconds(work: Callable, *arguments: object) -> float:
    """Per lifetime, of a compiled function."""
    jax.block_until_ready(work(*arguments))
    seconds = []
    for _ in range(CALLS):
        began = time.perf_counter()
        jax.block_until_ready(work(*arguments))
        seconds.append(time.perf_counter() - began)
    return round(1e3 * statistics.median(seconds) / LIFETIMES, 4)


def measure(memory: Recall | Tally, xs: jax.Array) -> dict[str, float]:
    """xs: [T, LIFETIMES, in]."""
    slopes = eqx.filter_jit(eqx.filter_grad(lambda memory, xs: jnp.square(memory.unroll(xs)).sum()))
    start = jax.tree.map(lambda x: jnp.broadcast_to(x, (LIFETIMES, *x.shape)), memory.start())
    live = eqx.filter_jit(lambda memory, xs: jax.lax.scan(lambda state, x: memory.step(state, x), start, xs)[1])
    return {"learning": milliseconds(slopes, memory, xs), "living": milliseconds(live, memory, xs)}


def main() -> None:
    """Measure, write the results."""
    rows = []
    for states, steps in POINTS:
        key_states, key_outcomes, key_lookup, key_mean = jax.random.split(jax.random.key(0), 4)
        visited = jax.random.randint(key_states, (steps, LIFETIMES), 0, states)
        outcomes = jax.random.normal(key_outcomes, (steps, LIFETIMES, OUTCOME))
        xs = jnp.concatenate([jax.nn.one_hot(visited, states), outcomes], -1)
        lookup = Lookup(states, MeanOutcome(OUTCOME, WIDTH, key=key_mean), WIDTH, key=key_lookup)
        searching, tallying = measure(Recall(lookup, steps), xs), measure(Tally(lookup), xs)
        ratio = {name: round(searching[name] / tallying[name], 2) for name in searching}
        rows.append({"states": states, "steps": steps, "search": searching, "tally": tallying, "ratio": ratio})
        print(rows[-1], flush=True)
    OUTPUT.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
