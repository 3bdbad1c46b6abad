import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from rl_meta.errors import UserError
from rl_meta.policies.spaces import (
    distribution,
    flat_size,
    flatten,
    flatten_action,
    head_sizes,
    into_space,
    is_continuous,
    no_action,
)

ROUNDING = 1e-6
"""Relative, of one or two operations in single precision."""

BOX = spaces.Box(np.float32([-2, 0, 10]), np.float32([2, 1, 30]))
HALF_BOUNDED = spaces.Box(np.float32([-np.inf, 0]), np.float32([np.inf, np.inf]))
NESTED = spaces.Dict(
    {
        "place": spaces.Box(-1.0, 1.0, (2,)),
        "inside": spaces.Dict({"mode": spaces.Discrete(3), "image": spaces.Box(0, 255, (2, 2), np.uint8)}),
        "digits": spaces.MultiDiscrete([2, 4]),
    }
)
SPACES = {
    "box": BOX,
    "scalar box": spaces.Box(-1.0, 1.0, ()),
    "matrix box": spaces.Box(-1.0, 1.0, (2, 3)),
    "integer box": spaces.Box(0, 255, (2, 2), np.uint8),
    "double box": spaces.Box(-1.0, 1.0, (2,), np.float64),
    "unbounded box": HALF_BOUNDED,
    "discrete": spaces.Discrete(4),
    "discrete from 5": spaces.Discrete(4, start=5),
    "multidiscrete": spaces.MultiDiscrete([2, 3, 4]),
    "multidiscrete from 1": spaces.MultiDiscrete([2, 3], start=[1, 1]),
    "dict": NESTED,
}
OBSERVATIONS = [
    *(pytest.param(space, id=name) for name, space in SPACES.items()),
    pytest.param(spaces.MultiDiscrete([[2, 3], [4, 5]]), id="matrix multidiscrete"),
]
ACTIONS = {name: SPACES[name] for name in ("box", "unbounded box", "discrete")}
DRAWN_FROM = [
    *(pytest.param(space, id=name) for name, space in ACTIONS.items()),
    pytest.param(SPACES["scalar box"], id="scalar box"),
    pytest.param(SPACES["matrix box"], id="matrix box"),
    pytest.param(SPACES["discrete from 5"], id="discrete from 5"),
]
UNSUPPORTED = {
    "text": (spaces.Text(3), 0),
    "multibinary": (spaces.MultiBinary(3), np.zeros(3)),
    "tuple": (spaces.Tuple([spaces.Discrete(2)]), (0,)),
    "dict with text": (
        spaces.Dict({"fine": spaces.Discrete(2), "bad": spaces.Text(3)}),
        {"fine": 0, "bad": 0},
    ),
}
READERS = {
    "flatten": flatten,
    "flat_size": lambda s, _: flat_size(s),
    "is_continuous": lambda s, _: is_continuous(s),
}


def sampled(space, count=None):
    """One observation, or `count` of them stacked."""
    space.seed(0)
    if count is None:
        return space.sample()
    return jax.tree.map(lambda *x: np.stack(x), *[space.sample() for _ in range(count)])


def numpy_flatten(space, x):
    """By Gymnasium's own conventions, one element."""
    if isinstance(space, spaces.Dict):
        return np.concatenate([numpy_flatten(space[name], x[name]) for name in space.spaces])
    if isinstance(space, spaces.Box):
        return np.ravel(x).astype(np.float32)
    sizes = np.ravel(getattr(space, "nvec", None) if isinstance(space, spaces.MultiDiscrete) else space.n)
    parts = []
    for digit, start, size in zip(np.ravel(x), np.ravel(space.start), sizes, strict=True):
        part = [0.0] * int(size)
        part[int(digit - start)] = 1.0
        parts += part
    return np.float32(parts)


def parameters_of(space, *batch, seed=0):
    outputs, free = head_sizes(space)
    return jnp.float32(np.random.default_rng(seed).normal(size=(*batch, outputs + free)))


@pytest.mark.parametrize("space", OBSERVATIONS)
def test_an_observation_is_flattened_part_by_part(space):
    x = sampled(space)
    np.testing.assert_array_equal(flatten(space, x), numpy_flatten(space, x))


@pytest.mark.parametrize("space", OBSERVATIONS)
def test_a_batch_is_flattened_element_by_element(space):
    xs = sampled(space, 6)
    two_axes = jax.tree.map(lambda x: x.reshape(2, 3, *x.shape[1:]), xs)
    one_by_one = [numpy_flatten(space, jax.tree.map(lambda x, i=i: x[i], xs)) for i in range(6)]
    np.testing.assert_array_equal(flatten(space, two_axes).reshape(6, -1), one_by_one)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_a_flat_observation_is_float32(space):
    assert flatten(space, sampled(space)).dtype == jnp.float32


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_the_flat_size_is_gymnasiums(space):
    assert flat_size(space) == spaces.utils.flatdim(space)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_entries_that_are_not_continuous_are_zero_or_one(space):
    flat = np.asarray(flatten(space, sampled(space, 20)))
    assert np.isin(flat[:, ~is_continuous(space)], [0, 1]).all()


def test_only_measurements_are_continuous():
    expected = {"digits": [False] * 6, "inside": [True] * 4 + [False] * 3, "place": [True] * 2}
    assert is_continuous(NESTED).tolist() == [entry for name in NESTED.spaces for entry in expected[name]]


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize(("space", "x"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_observation_spaces_of_other_kinds_are_refused(space, x, read):
    with pytest.raises(UserError, match="observation space must be Box, Discrete, MultiDiscrete or Dict, got"):
        read(space, x)


@pytest.mark.parametrize("function", [no_action, head_sizes, lambda space: distribution(space, jnp.zeros(4))])
@pytest.mark.parametrize("name", ["multidiscrete", "dict"])
def test_action_spaces_of_other_kinds_are_refused(name, function):
    with pytest.raises(UserError, match="action space must be Box or Discrete, got"):
        function(SPACES[name])


def test_the_bounds_of_a_box_action_are_flattened_to_minus_one_and_one():
    ends = flatten_action(BOX, jnp.stack([BOX.low, BOX.high]))
    np.testing.assert_allclose(ends, [[-1] * 3, [1] * 3], rtol=ROUNDING)


@pytest.mark.parametrize("far", [-1e6, 1e6])
def test_a_flat_box_action_lies_within_three_half_widths_of_the_middle(far):
    np.testing.assert_array_equal(flatten_action(BOX, jnp.full(3, far)), [3 * np.sign(far)] * 3)


def test_an_action_without_bounds_is_flattened_to_itself():
    action = jnp.array([-2.5, 1.5])
    np.testing.assert_array_equal(flatten_action(HALF_BOUNDED, action), action)


def test_a_discrete_action_is_flattened_to_one_hot():
    np.testing.assert_array_equal(flatten_action(spaces.Discrete(3), jnp.array([2, 0])), [[0, 0, 1], [1, 0, 0]])


@pytest.mark.parametrize("space", ACTIONS.values(), ids=ACTIONS)
def test_no_action_is_zero_with_the_shape_and_type_of_an_action(space):
    sample = lambda parameters, key: distribution(space, parameters).sample(key)
    none, drawn = no_action(space), jax.eval_shape(sample, parameters_of(space), jax.random.key(0))
    assert (none.shape, none.dtype, bool(none.any())) == (drawn.shape, drawn.dtype, False)


@pytest.mark.parametrize("space", DRAWN_FROM)
def test_an_action_drawn_and_clipped_is_in_its_space(space):
    act = lambda parameters, key: into_space(space, distribution(space, parameters).sample(key))
    actions = jax.jit(act)(5 * parameters_of(space, 50), jax.random.key(0))
    assert all(space.contains(np.asarray(action)) for action in np.asarray(actions))


def test_a_box_action_is_clipped_to_its_bounds():
    np.testing.assert_array_equal(into_space(BOX, jnp.array([-3.0, 0.5, 31.0])), [-2.0, 0.5, 30.0])


def test_a_discrete_action_counts_from_the_start_of_its_space():
    assert into_space(spaces.Discrete(3, start=5), jnp.array(2)) == 7


@pytest.mark.parametrize(
    ("space", "sizes"), [(spaces.Discrete(4), (4, 0)), (BOX, (3, 3)), (SPACES["matrix box"], (6, 6))]
)
def test_a_box_needs_a_mean_per_state_and_a_free_log_std(space, sizes):
    assert head_sizes(space) == sizes


def test_parameters_of_a_discrete_policy_are_its_logits():
    logits = jnp.array([0.0, 1.0, -1.0])
    np.testing.assert_array_equal(distribution(spaces.Discrete(3), logits).logits, logits)


@pytest.mark.parametrize(("mean", "action"), [(-1.0, BOX.low), (0.0, (BOX.low + BOX.high) / 2), (1.0, BOX.high)])
def test_the_mean_of_a_box_policy_is_in_half_widths_from_the_middle(mean, action):
    policy = distribution(BOX, jnp.concatenate([jnp.full(3, mean), jnp.zeros(3)]))
    np.testing.assert_allclose(policy.sample(None), action, rtol=ROUNDING)


def test_the_standard_deviation_of_a_box_policy_is_in_half_widths():
    policy = distribution(BOX, jnp.concatenate([jnp.zeros(3), jnp.full(3, np.log(0.5))]))
    np.testing.assert_allclose(jnp.exp(policy.log_std), (BOX.high - BOX.low) / 4, rtol=ROUNDING)


def test_without_bounds_parameters_are_in_the_units_of_actions():
    policy = distribution(HALF_BOUNDED, jnp.array([3.0, -4.0, 0.5, -0.5]))
    np.testing.assert_allclose([policy.mean, policy.log_std], [[3.0, -4.0], [0.5, -0.5]], rtol=ROUNDING)


@pytest.mark.parametrize("space", ACTIONS.values(), ids=ACTIONS)
def test_a_policy_has_the_batch_axes_of_its_parameters(space):
    def evaluate(parameters, key):
        policy = distribution(space, parameters)
        return policy.log_prob(policy.sample(key)), policy.entropy()

    log_prob, entropy = jax.eval_shape(evaluate, parameters_of(space, 2, 5), jax.random.key(0))
    assert log_prob.shape == entropy.shape == (2, 5)
