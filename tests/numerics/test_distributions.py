import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special, stats

from rl_meta.numerics.distributions import Categorical, DiagonalNormal, TanhNormal

ROUNDING = 1e-5
"""Relative, of single-precision logarithms and sums of a few of them."""
UNLIKELY = 1e-3
"""p-value below which a sample is not taken to be from the distribution (the keys are fixed)."""
DRAWS = 20_000

few = settings(max_examples=40, deadline=None)
logits = arrays(np.float32, (2, 5), elements=st.floats(-8, 8, width=32))
means = arrays(np.float32, (4, 3), elements=st.floats(-5, 5, width=32))
log_stds = arrays(np.float32, 3, elements=st.floats(-2, 2, width=32))

log_prob = jax.jit(lambda policy, action: policy.log_prob(action))
entropy = jax.jit(lambda policy: policy.entropy())


def log_probabilities(logits):
    return special.log_softmax(logits.astype(float), -1)


@few
@given(logits, st.tuples(st.integers(0, 4), st.integers(0, 4)))
def test_a_categorical_log_probability_is_scipys(logits, action):
    expected = log_probabilities(logits)[np.arange(2), action]
    got = log_prob(Categorical(jnp.array(logits)), jnp.array(action))
    np.testing.assert_allclose(got, expected, rtol=ROUNDING, atol=ROUNDING)


@few
@given(logits)
def test_a_categorical_entropy_is_scipys(logits):
    expected = stats.entropy(np.exp(log_probabilities(logits)), axis=-1)
    np.testing.assert_allclose(entropy(Categorical(jnp.array(logits))), expected, rtol=ROUNDING, atol=ROUNDING)


def test_categorical_logits_need_not_be_normalised():
    plain, shifted = (Categorical(jnp.array([0.0, 1.0, -2.0]) + shift) for shift in (0.0, 50.0))
    actions = jnp.arange(3)
    one_by_one = lambda policy: jax.vmap(policy.log_prob)(actions)
    np.testing.assert_allclose(one_by_one(shifted), one_by_one(plain), rtol=1e-4)


def test_categorical_actions_come_as_often_as_their_probability():
    logits = jnp.array([0.0, 1.0, -2.0, 0.5])
    drawn = Categorical(jnp.broadcast_to(logits, (DRAWS, 4))).sample(jax.random.key(0))
    expected = DRAWS * np.exp(log_probabilities(np.asarray(logits)))
    assert stats.chisquare(np.bincount(drawn, minlength=4), expected, sum_check=False).pvalue > UNLIKELY


@pytest.mark.parametrize("key", [None, jax.random.key(0)])
def test_categorical_actions_are_int32(key):
    assert Categorical(jnp.zeros((2, 3))).sample(key).dtype == jnp.int32


def test_the_mode_of_a_categorical_is_its_likeliest_action():
    policy = Categorical(jnp.array([[0.0, 3.0, 1.0], [2.0, -1.0, 1.0]]))
    assert policy.sample(None).tolist() == [1, 0]


@few
@given(means, log_stds, means)
def test_a_normal_log_probability_is_the_sum_of_scipys_over_dimensions(mean, log_std, action):
    expected = stats.norm.logpdf(action, mean, np.exp(log_std.astype(float))).sum(-1)
    got = log_prob(DiagonalNormal(jnp.array(mean), jnp.array(log_std)), jnp.array(action))
    np.testing.assert_allclose(got, expected, rtol=10 * ROUNDING, atol=10 * ROUNDING)


@few
@given(means, log_stds)
def test_a_normal_entropy_is_the_sum_of_scipys_over_dimensions(mean, log_std):
    expected = np.full(4, stats.norm.entropy(scale=np.exp(log_std.astype(float))).sum())
    got = entropy(DiagonalNormal(jnp.array(mean), jnp.array(log_std)))
    np.testing.assert_allclose(got, expected, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("dimension", [0, 1])
def test_normal_actions_are_distributed_as_scipys(dimension):
    mean, log_std = jnp.array([2.0, -1.0]), jnp.array([-1.0, 0.5])
    drawn = DiagonalNormal(jnp.broadcast_to(mean, (DRAWS, 2)), log_std).sample(jax.random.key(0))
    scipys = stats.norm(float(mean[dimension]), np.exp(float(log_std[dimension])))
    assert stats.kstest(np.asarray(drawn[:, dimension], float), scipys.cdf).pvalue > UNLIKELY


def test_the_dimensions_of_a_normal_action_are_independent():
    drawn = DiagonalNormal(jnp.zeros((DRAWS, 2)), jnp.zeros(2)).sample(jax.random.key(0))
    assert stats.pearsonr(*np.asarray(drawn, float).T).pvalue > UNLIKELY


def test_the_mode_of_a_normal_is_its_mean():
    mean = jnp.array([[1.0, 2.0]])
    np.testing.assert_array_equal(DiagonalNormal(mean, jnp.zeros(2)).sample(None), mean)


@pytest.mark.parametrize(
    ("policy", "action"),
    [
        (Categorical(jnp.zeros((4, 3))), jnp.zeros(4, jnp.int32)),
        (DiagonalNormal(jnp.zeros((4, 3)), jnp.zeros(3)), jnp.zeros((4, 3))),
    ],
)
def test_the_gradient_of_a_log_probability_scatters_nothing(policy, action):
    gradient = jax.grad(lambda policy: policy.log_prob(action).sum())
    assert "scatter" not in str(jax.make_jaxpr(gradient)(policy))


def test_a_scatter_would_be_seen():
    gradient = jax.grad(lambda x: x[jnp.arange(4), jnp.zeros(4, jnp.int32)].sum())
    assert "scatter" in str(jax.make_jaxpr(gradient)(jnp.zeros((4, 3))))


def test_the_divergence_of_categoricals_is_scipys():
    own, other = np.float32([[0.3, -1, 2], [0, 0, 0]]), np.float32([[1, 0.5, -1], [0.2, 0, 0.1]])
    got = Categorical(jnp.array(own)).kl(Categorical(jnp.array(other)))
    expected = stats.entropy(np.exp(log_probabilities(own)), np.exp(log_probabilities(other)), axis=-1)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_the_divergence_of_normals_is_their_expected_log_ratio():
    own = DiagonalNormal(jnp.array([0.5, -1.0]), jnp.array([0.2, -0.3]))
    other = DiagonalNormal(jnp.array([0.1, -0.5]), jnp.array([-0.1, 0.3]))
    drawn = DiagonalNormal(*(jnp.broadcast_to(x, (DRAWS, 2)) for x in own)).sample(jax.random.key(0))
    ratio = np.asarray(own.log_prob(drawn) - other.log_prob(drawn))
    four_standard_errors = 4 * ratio.std() / np.sqrt(DRAWS)
    assert float(own.kl(other)) == pytest.approx(ratio.mean(), abs=four_standard_errors)


@pytest.mark.parametrize(
    "policy",
    [
        Categorical(jnp.arange(3.0)),
        DiagonalNormal(jnp.ones(2), jnp.array([0.3, -1.0])),
        TanhNormal(jnp.ones(2), jnp.array([0.3, -1.0])),
    ],
)
def test_a_distribution_does_not_diverge_from_itself(policy):
    assert float(policy.kl(policy)) == pytest.approx(0, abs=1e-6)


# ------------------------------------------------------------------------------------------------ TanhNormal

SQUASHED = TanhNormal(jnp.array([0.4]), jnp.array([-0.3]))
GRID = jnp.linspace(-1, 1, 200_001)[1:-1]
"""Of the actions, without the bounds."""


def integral(values):
    return float(jnp.trapezoid(values, GRID))


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (0.4, -0.3), (-1.5, -2.0), (0.2, 0.3)])
def test_the_density_of_a_squashed_normal_integrates_to_one(mean, log_std):
    policy = TanhNormal(jnp.array([mean]), jnp.array([log_std]))
    assert integral(jnp.exp(policy.log_prob(GRID[:, None]))) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (0.4, -0.3), (-1.5, -2.0), (0.2, 0.3)])
def test_the_entropy_of_a_squashed_normal_is_the_integral_of_its_definition(mean, log_std):
    policy = TanhNormal(jnp.array([mean]), jnp.array([log_std]))
    log_prob = policy.log_prob(GRID[:, None])
    assert float(policy.entropy()) == pytest.approx(-integral(jnp.exp(log_prob) * log_prob), abs=1e-3)


def test_samples_of_a_squashed_normal_follow_its_density():
    keys = jax.random.split(jax.random.key(0), 20_000)
    drawn = jax.vmap(SQUASHED.sample)(keys)
    below = integral(jnp.exp(SQUASHED.log_prob(GRID[:, None])) * (GRID < 0.2))
    assert float((drawn < 0.2).mean()) == pytest.approx(below, abs=0.02)  # standard error 0.004


def test_the_density_returned_with_a_sample_is_that_of_the_sample():
    action, log_prob = SQUASHED.sample_and_log_prob(jax.random.key(1))
    np.testing.assert_allclose(log_prob, SQUASHED.log_prob(action), rtol=1e-4)


@pytest.mark.parametrize("mean", [20.0, -20.0])
def test_densities_are_finite_where_the_action_is_rounded_to_a_bound(mean):
    policy = TanhNormal(jnp.array([mean]), jnp.array([0.0]))
    action, log_prob = policy.sample_and_log_prob(None)
    assert abs(float(action[0])) == 1.0
    exact = -0.5 * np.log(2 * np.pi) - 2 * (np.log(2) - 20)
    assert float(log_prob) == pytest.approx(exact, rel=1e-5)
    assert np.isfinite(float(policy.log_prob(action)))


def test_the_gradient_through_a_saturated_sample_is_finite():
    def loss(mean):
        action, log_prob = TanhNormal(mean, jnp.array([2.0])).sample_and_log_prob(jax.random.key(0))
        return action.sum() + log_prob

    assert np.isfinite(float(jax.grad(loss)(jnp.array([50.0]))[0]))


def test_a_squashed_normal_sums_over_the_dimensions_of_the_action():
    both = TanhNormal(jnp.array([0.4, -1.0]), jnp.array([-0.3, 0.1]))
    parts = [TanhNormal(both.mean[i : i + 1], both.log_std[i : i + 1]) for i in range(2)]
    action = jnp.array([0.3, -0.7])
    expected = sum(part.log_prob(action[i : i + 1]) for i, part in enumerate(parts))
    np.testing.assert_allclose(both.log_prob(action), expected, rtol=1e-5)
    np.testing.assert_allclose(both.entropy(), sum(part.entropy() for part in parts), rtol=1e-5)
