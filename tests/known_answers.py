"""Exact values of Bayes-optimal agents, computed without the library."""

from collections.abc import Iterator
from functools import cache
from itertools import pairwise


def bernoulli_bandit_value(pulls: int, arms: int) -> float:
    """Expected total reward of the Bayes-optimal agent: probabilities uniform, `pulls` pulls.

    Dynamic programming over what is known of the arms, as a sorted tuple of (successes, failures): the prior
    does not tell the arms apart, so neither their order nor which of several equal ones is pulled matters.
    """

    @cache
    def value(known: tuple[tuple[int, int], ...], left: int) -> float:
        if left == 0:
            return 0.0
        return max(pull(known, i, left) for i in range(arms) if i == 0 or known[i] != known[i - 1])

    def pull(known: tuple[tuple[int, int], ...], i: int, left: int) -> float:
        wins, losses = known[i]
        others = known[:i] + known[i + 1 :]
        win, lose = ((wins + 1, losses), (wins, losses + 1))
        chance = (wins + 1) / (wins + losses + 2)
        paid = 1 + value(tuple(sorted((*others, win))), left - 1)
        return chance * paid + (1 - chance) * value(tuple(sorted((*others, lose))), left - 1)

    return value(((0, 0),) * arms, pulls)


Cell = tuple[int, int]


def grid_goals(size: int) -> set[Cell]:
    """The goals of `GridNavigation`: every cell but the corner (0, 0) and its eight neighbours."""
    return {(x, y) for x in range(size) for y in range(size) if max(x, y) > 1}


def grid_navigation_plan(size: int, horizon: int) -> tuple[list[Cell], list[Cell]]:
    """Where a Bayes-optimal agent looks for the goal in the first and in the second episode.

    The first list has the cells after steps 1 .. `horizon`, all but the first of them goals never looked at
    before; the second has the goals left, which lie on one shortest path. Raises where no such plan exists.
    """
    goals = grid_goals(size)

    def search(path: list[Cell], left: frozenset[Cell]) -> Iterator[tuple[list[Cell], list[Cell]]]:
        if len(path) == horizon:
            chain = sorted(left, key=sum)
            if all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(chain)):
                yield path, chain
            return
        x, y = path[-1]
        for cell in ((x, y + 1), (x + 1, y), (x, y - 1), (x - 1, y)):
            if cell in left:
                yield from search([*path, cell], left - {cell})

    plan = next(search([(0, 1)], frozenset(goals)), None)
    if plan is None:
        raise ValueError(f"no plan reaches the bound for size {size}, horizon {horizon}")
    return plan


def grid_navigation_values(size: int, horizon: int, episodes: int) -> list[float]:
    """Expected return of the Bayes-optimal agent in each episode: +1 at the goal, -0.1 elsewhere.

    In the first episode each step looks at one cell at most, and the first goal is two steps away: steps
    2, 3, ... each looking at a new goal are the best conceivable. In a later episode nothing beats knowing
    the goal. `grid_navigation_plan` attains both bounds at once, so that they are the values.
    """
    searched, left = grid_navigation_plan(size, horizon)
    goals = grid_goals(size)

    def found_at(step: int) -> float:
        return (horizon - step + 1) - 0.1 * (step - 1)

    first = sum(found_at(step) for step in range(2, len(searched) + 1)) - 0.1 * horizon * len(left)
    later = sum(found_at(x + y) for x, y in goals)
    return [first / len(goals)] + [later / len(goals)] * (episodes - 1)
