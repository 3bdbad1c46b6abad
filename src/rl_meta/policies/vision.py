"""Eyes: a small convolutional network for the pictures in what a network reads.

The first layer cuts a picture into tiles, each later one halves it by 3 × 3 filters at every second place, until it is
about 4 pixels high or wide. The pixels below a filter are brought side by side and all filters are one product: so a
batch of tasks with weights of their own (gradient adaptation, several seeds at once) is a batched product, where a
convolution would be a grouped one, slow on every device; and an export needs no words but slices and products.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from rl_meta.numerics.orthogonal import orthogonal
from rl_meta.policies.layout import Layout
from rl_meta.types import Array, Key

CHANNELS = (16, 32)
"""Of the first layer, and of all later ones."""
SMALL = 4
"""A picture no higher or no wider than this is not halved again."""
LARGE = 32
"""One as high and as wide as this is cut into tiles of 4 × 4 pixels, a smaller one into tiles of 2 × 2."""


class Filters(eqx.Module):
    """Filters, and relu."""

    weight: Array
    """[pixels below a filter × channels in, channels out]"""
    bias: Array
    tile: int | None = eqx.field(static=True)
    """Side of the tiles that they look at; None: 3 × 3 pixels around every second one."""

    def __init__(self, channels_in: int, channels_out: int, *, tile: int | None, key: Key) -> None:
        self.tile = tile
        self.weight = orthogonal(key, ((tile or 3) ** 2 * channels_in, channels_out), gain=2**0.5)
        self.bias = jnp.zeros(channels_out)

    def __call__(self, image: Array) -> Array:
        """[..., H, W, in] -> [..., ⌈H / stride⌉, ⌈W / stride⌉, out]; the stride is the tile's side, or 2."""
        pixels = neighbourhoods(image) if self.tile is None else tiles(image, self.tile)
        return jax.nn.relu(pixels @ self.weight + self.bias)


def tiles(image: Array, side: int) -> Array:
    """[..., H, W, channels] -> [..., ⌈H / side⌉, ⌈W / side⌉, side² channels]; zeros beyond the edge."""
    *batch, height, width, channels = image.shape
    rows, columns = _over(height, side), _over(width, side)
    image = _framed(_framed(image, -3, 0, side * rows - height), -2, 0, side * columns - width)
    cut = image.reshape(*batch, rows, side, columns, side, channels)
    return jnp.swapaxes(cut, -4, -3).reshape(*batch, rows, columns, -1)


def neighbourhoods(image: Array) -> Array:
    """[..., H, W, channels] -> [..., ⌈H / 2⌉, ⌈W / 2⌉, 9 channels]: 3 × 3 pixels; zeros beyond the edge."""
    height, width = image.shape[-3:-1]
    rows, columns = _over(height, 2), _over(width, 2)
    image = _framed(_framed(image, -3, 1, 2 * rows - height), -2, 1, 2 * columns - width)
    from_row, from_column = range(3), range(3)
    shifted = [
        image[..., i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2, :] for i in from_row for j in from_column
    ]
    return jnp.concatenate(shifted, -1)


def _over(count: int, by: int) -> int:
    """Divided, rounded up."""
    return -(-count // by)


def _framed(image: Array, axis: int, before: int, after: int) -> Array:
    """With so many lines of zeros before and after."""
    shape = list(image.shape)
    shape[axis] = 1
    line = jnp.zeros(shape, image.dtype)
    return jnp.concatenate([*[line] * before, image, *[line] * after], axis) if before + after else image


class Eyes(eqx.Module):
    """From a vector with pictures in it to one with what was seen in them: first the other entries, then features.

    Pictures of the same shape, such as those before and after an action, are seen by the same filters.
    """

    filters: tuple[tuple[Filters, ...], ...]
    """Of each shape, layer by layer."""
    layout: Layout = eqx.field(static=True)

    def __init__(self, layout: Layout, *, key: Key) -> None:
        shapes = _shapes(layout)
        keys = jax.random.split(key, len(shapes))
        self.layout = layout
        self.filters = tuple(_filters(shape, k) for shape, k in zip(shapes, keys, strict=True))

    @property
    def size_out(self) -> int:
        """Length of what it makes."""
        sizes = [_features(picture.image_shape) for picture in self.layout.pictures]
        return len(self.layout.others) + sum(sizes)

    def __call__(self, x: Array) -> Array:
        """[..., in] -> [..., size_out]."""
        shapes, parts = _shapes(self.layout), [self.layout.without_pictures(x)]
        for picture in self.layout.pictures:
            image = picture.image(x)
            for layer in self.filters[shapes.index(picture.image_shape)]:
                image = layer(image)
            parts.append(image.reshape(*x.shape[:-1], -1))
        return jnp.concatenate(parts, -1)

    def change(self, scale: Array, shift: Array) -> tuple[Array, Array]:
        """What a change of the inputs, scale ⊙ x + shift [in], is to what they become; that of pixels is none."""
        features = self.size_out - len(self.layout.others)
        scale, shift = scale[self.layout.others], shift[self.layout.others]
        return jnp.append(scale, jnp.ones(features)), jnp.append(shift, jnp.zeros(features))


def _shapes(layout: Layout) -> list[tuple[int, int, int]]:
    """The different ones, in the order in which they come."""
    return list(dict.fromkeys(picture.image_shape for picture in layout.pictures))


def _sides(shape: tuple[int, int, int]) -> list[tuple[int, int]]:
    """Height and width after every layer."""
    height, width, _ = shape
    tile = _tile(shape)
    sides = [(_over(height, tile), _over(width, tile))]
    while min(sides[-1]) > SMALL:
        height, width = sides[-1]
        sides.append((_over(height, 2), _over(width, 2)))
    return sides


def _tile(shape: tuple[int, int, int]) -> int:
    return 4 if min(shape[:2]) >= LARGE else 2


def _filters(shape: tuple[int, int, int], key: Key) -> tuple[Filters, ...]:
    first, later = CHANNELS
    keys = jax.random.split(key, len(_sides(shape)))
    made = [Filters(shape[2], first, tile=_tile(shape), key=keys[0])]
    for k in keys[1:]:
        made.append(Filters(made[-1].bias.size, later, tile=None, key=k))
    return tuple(made)


def _features(shape: tuple[int, int, int]) -> int:
    """How many numbers the last layer makes of a picture."""
    sides = _sides(shape)
    height, width = sides[-1]
    return height * width * CHANNELS[min(len(sides) - 1, 1)]
