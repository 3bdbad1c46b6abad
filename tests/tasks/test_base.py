import jax
import numpy as np
import pytest

from rl_meta.errors import UserError
from rl_meta.tasks.bandit import Bandit
from rl_meta.tasks.base import draw_tasks, split_key
from tasks.playing import draw


def test_a_splits_stream_differs_from_the_others():
    streams = [jax.random.key_data(split_key(jax.random.key(0), s)) for s in ("train", "validation", "test")]
    assert len(np.unique(np.stack(streams), axis=0)) == 3


def test_a_split_that_the_family_lacks_is_refused():
    with pytest.raises(UserError, match="unknown split of Bandit 'extrapolation'"):
        draw_tasks(Bandit(), jax.random.key(0), 2, "extrapolation")


def test_drawn_tasks_are_all_different():
    drawn = draw(Bandit(), 20, "test").probabilities
    assert len(np.unique(np.asarray(drawn), axis=0)) == 20
