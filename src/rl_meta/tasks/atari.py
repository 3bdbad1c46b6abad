"""`atari`: a game of the Atari 2600 whose mode and difficulty, switches of the console, are hidden.

The makers of a game put variants of it on the cartridge: other ghosts, other speeds, no gravity, a smaller bat. The
switches choose among them. Needs `pip install 'rl-meta[atari]'`, which brings the games. See Bellemare et al. (2013),
"The Arcade Learning Environment", and Machado et al. (2018) on modes and difficulties, and on sticky actions.
"""

from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from typing import Annotated, Any, Literal, get_args

import gymnasium
import numpy as np
from gymnasium import spaces

from rl_meta.errors import UserError, unknown
from rl_meta.settings import Count, Range, Rate
from rl_meta.tasks.gymnasium_world import Simulated, Way, World
from rl_meta.tasks.sources import Columns, Table, split_rows
from rl_meta.types import Key, PyTree

Shown = Literal["ram", "picture"]


@dataclass(frozen=True)
class Atari(Simulated):
    """A game in one of its variants. Rewards are points, of which only the sign is told where `clip` is set."""

    game: str = "space_invaders"
    """As the Arcade Learning Environment names it."""
    shows: Shown = "ram"
    """The console's memory of 128 bytes, as numbers from 0 to 1, or a grey picture."""
    side: Annotated[int, Range(8)] = 42
    """Of the picture, in pixels."""
    skip: Count = 4
    """Frames for which an action is held."""
    sticky: Rate = 0.25
    """Probability in every frame that the last action goes on in the place of the new one."""
    clip: bool = True
    """Tell an agent the sign of a reward, for points differ by orders of magnitude between games."""
    horizon: Count = 400
    """Steps after which an episode is truncated; the end of the game ends it before."""
    episodes: Count = 2
    """Full-length episodes of an ordinary lifetime."""

    measures = ("points=sum",)

    def __post_init__(self) -> None:
        """Check what is shown."""
        if self.shows not in get_args(Shown):
            raise unknown("way of showing", self.shows, get_args(Shown))

    @property
    def observation_space(self) -> spaces.Box:
        """[128] Memory, or [side, side] pixels.

        Raises:
            UserError: ale-py is missing, or there is no such game.
        """
        variants(self.game)
        if self.shows == "ram":
            return spaces.Box(0.0, 1.0, (128,))
        return spaces.Box(0, 255, (self.side, self.side), np.uint8)

    @property
    def action_space(self) -> spaces.Discrete:
        """Joystick and button, as far as the game heeds them."""
        return spaces.Discrete(variants(self.game).actions)

    @property
    def _rows(self) -> Table:
        known = variants(self.game)
        pairs = [(mode, level) for mode in range(len(known.modes)) for level in range(len(known.difficulties))]
        modes, levels = np.array(pairs, np.int32).T
        columns: Columns = {
            "mode": (spaces.Discrete(len(known.modes)), modes),
            "difficulty": (spaces.Discrete(len(known.difficulties)), levels),
        }
        setting = lambda task: {
            "mode": known.modes[int(task.mode)],
            "difficulty": known.difficulties[int(task.difficulty)],
        }
        return Table(columns, split_rows(len(pairs), [None] * len(pairs)), setting)

    @property
    def task_space(self) -> spaces.Dict:
        """Which of the game's modes, and of its difficulties."""
        return self._rows.task_space

    @property
    def splits(self) -> tuple[str, ...]:
        """Variants that are tested are not among those trained on."""
        return self._rows.splits

    def sample(self, key: Key, split: str = "train") -> PyTree:
        """A variant."""
        return self._rows.sample(key, split)

    @property
    def world(self) -> World:
        """A console."""
        switches = {name: Way("argument", name) for name in ("mode", "difficulty")}
        return World(partial(_made, self), switches, None, self._rows.values, ("points",))


@dataclass(frozen=True)
class Variants:
    """What a game has."""

    modes: tuple[int, ...]
    difficulties: tuple[int, ...]
    actions: int


def _ale() -> Any:
    """It is imported here, for it is an extra."""
    try:
        return import_module("ale_py")
    except ImportError as error:
        raise UserError(f"ale-py is missing ({error}): pip install 'rl-meta[atari]'") from error


@cache
def variants(game: str) -> Variants:
    """Of a game.

    Raises:
        UserError: ale-py is missing, there is no such game, or it has only one variant.
    """
    ale, roms = _ale(), import_module("ale_py.roms")
    if game not in roms.get_all_rom_ids():
        raise unknown("game", game, roms.get_all_rom_ids())
    ale.ALEInterface.setLoggerMode(ale.LoggerMode.Error)
    console = ale.ALEInterface()
    console.loadROM(roms.get_rom_path(game))
    found = Variants(
        tuple(console.getAvailableModes()),
        tuple(console.getAvailableDifficulties()),
        len(console.getMinimalActionSet()),
    )
    if len(found.modes) * len(found.difficulties) == 1:
        raise UserError(f"{game} has one mode and one difficulty, so that no two tasks differ: choose another game")
    return found


def _made(family: Atari, mode: int, difficulty: int) -> gymnasium.Env:
    gymnasium.register_envs(_ale())
    env: gymnasium.Env = gymnasium.make(
        f"ALE/{''.join(map(str.capitalize, family.game.split('_')))}-v5",
        disable_env_checker=True,
        obs_type="ram" if family.shows == "ram" else "grayscale",
        frameskip=family.skip,
        repeat_action_probability=family.sticky,
        max_episode_steps=family.horizon,
        mode=mode,
        difficulty=difficulty,
    )
    return Console(env, family)


class Console(gymnasium.Wrapper):
    """A game that shows what the family says, and tells signs of points."""

    def __init__(self, env: gymnasium.Env, family: Atari) -> None:
        super().__init__(env)
        self._family = family

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """A new game."""
        obs, info = self.env.reset(seed=seed, options=options)
        return self._shown(obs), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the console's; `points` are told beside the reward."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        told = float(np.sign(float(reward))) if self._family.clip else reward
        return self._shown(obs), told, terminated, truncated, {**info, "points": reward}

    def _shown(self, obs: Any) -> np.ndarray:
        if self._family.shows == "ram":
            return np.asarray(obs, np.float32) / np.float32(255)
        return _shrunk(obs, self._family.side)


def _shrunk(picture: np.ndarray, side: int) -> np.ndarray:
    """[H, W] -> [side, side]: every pixel is the mean of those that it stands for."""
    rows = np.linspace(0, picture.shape[0], side + 1).astype(int)[:-1]
    columns = np.linspace(0, picture.shape[1], side + 1).astype(int)[:-1]
    sums = np.add.reduceat(np.add.reduceat(picture.astype(np.int64), rows, 0), columns, 1)
    heights = np.diff([*rows, picture.shape[0]])
    widths = np.diff([*columns, picture.shape[1]])
    return (sums // np.outer(heights, widths)).astype(np.uint8)
