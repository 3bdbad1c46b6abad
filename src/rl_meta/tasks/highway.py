"""`highway`, `merge`, `roundabout`, `intersection`, `parking`, `racetrack`: highway-env's roads, with hidden traffic.

How many others there are, how close together and how aggressively they drive is hidden; on the road `highway` also the
number of lanes; where the agent steers itself, how far its wheels turn for the same action.
Needs `pip install 'rl-meta[driving]'`. It makes some tens of steps per second; `highway-fast` is the road that EnvPool
steps (`tasks.highway_fast`), and the family `driving` is faster still.
See Leurent (2018), "An Environment for Autonomous Driving Decision-Making", https://github.com/Farama-Foundation/HighwayEnv.
"""

import importlib
import os
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.util import find_spec
from typing import Any, ClassVar, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from rl_meta.errors import UserError, unknown
from rl_meta.settings import Count
from rl_meta.tasks.base import SPLITS
from rl_meta.tasks.distributions import Choice, Distribution, Uniform
from rl_meta.tasks.gymnasium_world import Simulated, World
from rl_meta.tasks.sources import Source, source_of
from rl_meta.types import Key, PyTree

MANNERS = {
    "TIME_WANTED": (2.5, 0.7),
    "DISTANCE_WANTED": (12.0, 6.0),
    "COMFORT_ACC_MAX": (2.0, 5.0),
    "LANE_CHANGE_MIN_ACC_GAIN": (1.0, 0.25),
    "LANE_CHANGE_MAX_BRAKING_IMPOSED": (2.0, 6.0),
    "POLITENESS": (0.5, 0.1),
}
"""What the drivers' models (IDM and MOBIL) have in calm traffic, and in aggressive traffic: seconds, metres, metres per
square second. Extrapolation goes a quarter beyond."""

ROOM = 15.0
"""Metres between a car that is added to a road and all others."""
TRIES = 20
"""Places that are looked at for one; it is left out if there is no room."""


class Road(NamedTuple):
    """What tells highway-env's roads apart."""

    env: str
    """Its id."""
    settings: Mapping[str, Any]
    """Of highway-env."""
    shape: tuple[int, ...]
    """Of an observation."""
    actions: spaces.Space
    hidden: Mapping[str, Distribution]
    """What differs between tasks. Where `aggressiveness` is, others drive."""
    configure: Callable[[Mapping[str, Any]], dict[str, Any]]
    """(task) -> settings of highway-env. What it does not say of `cars` is added to the road after a reset."""
    adds_cars: bool = False
    """Does highway-env have no setting for the number of cars?"""
    decisions_per_second: int = 1
    measures: tuple[str, ...] = ("crashed=max", "speed=mean")


class Simulator(NamedTuple):
    """A package that steps roads."""

    name: str
    module: str
    extra: str
    """Of this package, by which it is installed."""
    make: Callable[[Road, int], gymnasium.Env]
    """(road, decisions of an episode) -> an environment that `set_traffic` puts into a task."""


@dataclass(frozen=True)
class RoadFamily(Simulated):
    """A road of highway-env with hidden traffic."""

    horizon: Count
    """Decisions of an episode; a crash ends it."""
    episodes: Count = 3
    """Full-length episodes of an ordinary lifetime."""

    splits = SPLITS

    @property
    @abstractmethod
    def road(self) -> Road:
        """Which one."""

    @property
    def stepped_by(self) -> Simulator:
        """What steps it."""
        return HIGHWAY_ENV

    @property
    def measures(self) -> tuple[str, ...]:
        """Crashes, speed in metres per second; when parking, also success."""
        return self.road.measures

    @property
    def action_space(self) -> spaces.Space:
        """Highway-env's: manoeuvres by number, or acceleration and steering in [-1, 1]."""
        return self.road.actions

    @property
    def observation_space(self) -> spaces.Box:
        """Highway-env's: cars, or the surroundings.

        Raises:
            UserError: the simulator is missing.
        """
        simulator = self.stepped_by
        if find_spec(simulator.module) is None:
            raise UserError(f"{simulator.name} is missing: pip install 'rl-meta[{simulator.extra}]'")
        return spaces.Box(-np.inf, np.inf, self.road.shape)

    @cached_property
    def _source(self) -> Source:
        return source_of(dict(self.road.hidden))

    @property
    def task_space(self) -> spaces.Dict:
        """What is hidden; of numbers that are chosen among a few, which."""
        return self._source.task_space

    def sample(self, key: Key, split: str = "train") -> PyTree:
        """What is drawn from a range is from the split's region."""
        if split not in self.splits:
            raise unknown("split", split, self.splits)
        return self._source.sample(key, split)

    @property
    def world(self) -> World:
        """A road."""
        names = tuple(measure.partition("=")[0] for measure in self.measures)
        return World(
            partial(self.stepped_by.make, self.road, self.horizon), {}, set_traffic, self._source.values, names
        )


AROUND = {
    "type": "Kinematics",
    "vehicles_count": 5,
    "features": ["presence", "x", "y", "vx", "vy"],
    "features_range": {"x": [-150, 150], "y": [-16, 16], "vx": [-40, 40], "vy": [-40, 40]},
}
"""The own car and the four nearest ones, scaled by what does not depend on the task."""
MANOEUVRES: spaces.Discrete = spaces.Discrete(5)  # lane left, idle, lane right, faster, slower
AGGRESSIVENESS = Uniform(0.0, 1.0)
STEERING = Uniform(25.0, 65.0)
"""Degrees that the wheels turn at most."""


def _steers(action: Mapping[str, Any], degrees: float) -> dict[str, Any]:
    most = float(np.deg2rad(degrees))
    return {"action": {"type": "ContinuousAction", "steering_range": [-most, most], **action}}


HIGHWAY = Road(
    "highway-fast-v0",
    {"observation": AROUND},
    (5, 5),
    MANOEUVRES,
    {
        "density": Uniform(0.7, 1.7),
        "aggressiveness": AGGRESSIVENESS,
        "lanes": Choice((2, 3, 4)),
        "vehicles": Choice((12, 16, 20)),
    },
    lambda task: {
        "lanes_count": int(task["lanes"]),
        "vehicles_count": int(task["vehicles"]),
        "vehicles_density": float(task["density"]),
    },
)
MERGE = Road(
    "merge-v1",
    {"observation": AROUND},
    (5, 5),
    MANOEUVRES,
    {"aggressiveness": AGGRESSIVENESS, "cars": Choice((0, 3, 6))},
    lambda task: {},
    adds_cars=True,
)
ROUNDABOUT = Road(
    "roundabout-v1",
    {},
    (5, 5),
    MANOEUVRES,
    {"aggressiveness": AGGRESSIVENESS, "cars": Choice((0, 2, 4))},
    lambda task: {},
    adds_cars=True,
)
INTERSECTION = Road(
    "intersection-v2",
    {},
    (15, 7),
    spaces.Discrete(3),  # slower, idle, faster
    {"density": Uniform(0.2, 0.8), "aggressiveness": AGGRESSIVENESS, "cars": Choice((5, 10, 15))},
    lambda task: {"initial_vehicle_count": int(task["cars"]), "spawn_probability": float(task["density"])},
)
PARKING = Road(
    "parking-v0",
    {},
    (12,),
    spaces.Box(-1.0, 1.0, (2,)),  # acceleration, steering
    {"steering": STEERING, "cars": Choice((0, 4, 8))},
    lambda task: {"vehicles_count": int(task["cars"]), **_steers({}, task["steering"])},
    decisions_per_second=5,
    measures=("crashed=max", "speed=mean", "is_success=max"),
)
RACETRACK = Road(
    "racetrack-v1",
    {},
    (2, 12, 12),
    spaces.Box(-1.0, 1.0, (1,)),  # steering
    {"steering": STEERING, "aggressiveness": AGGRESSIVENESS, "cars": Choice((1, 3, 5))},
    lambda task: {
        "other_vehicles": int(task["cars"]),
        **_steers({"longitudinal": False, "lateral": True, "target_speeds": [0, 5, 10]}, task["steering"]),
    },
    decisions_per_second=5,
)


@dataclass(frozen=True)
class Highway(RoadFamily):
    """Drive fast, keep right, and do not crash, among hidden traffic on two to four lanes."""

    horizon: Count = 40
    """Seconds, and decisions, of an episode; a crash ends it."""
    road: ClassVar[Road] = HIGHWAY


@dataclass(frozen=True)
class Merge(RoadFamily):
    """Drive past a ramp from which others merge."""

    horizon: Count = 20
    """Seconds, and decisions, of an episode; a crash ends it, and so does the end of the road."""
    road: ClassVar[Road] = MERGE


@dataclass(frozen=True)
class Roundabout(RoadFamily):
    """Enter a roundabout, and leave it on the other side."""

    horizon: Count = 11
    """Seconds, and decisions, of an episode; a crash ends it."""
    road: ClassVar[Road] = ROUNDABOUT


@dataclass(frozen=True)
class Intersection(RoadFamily):
    """Turn left at a crossing without lights."""

    horizon: Count = 13
    """Seconds, and decisions, of an episode; a crash ends it, and so does having turned."""
    road: ClassVar[Road] = INTERSECTION


@dataclass(frozen=True)
class Parking(RoadFamily):
    """Park at a place that is shown, with a car whose steering is hidden, among parked ones."""

    horizon: Count = 100
    """Decisions of an episode, five a second; a crash ends it, and so does being parked."""
    road: ClassVar[Road] = PARKING


@dataclass(frozen=True)
class Racetrack(RoadFamily):
    """Keep to a winding track among others, with a car whose steering is hidden."""

    horizon: Count = 150
    """Decisions of an episode, five a second; a crash ends it, and so does leaving the track."""
    road: ClassVar[Road] = RACETRACK


def _made(road: Road, horizon: int) -> gymnasium.Env:
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # PyGame would greet
    gymnasium.register_envs(importlib.import_module("highway_env"))
    settings = {**road.settings, "duration": horizon / road.decisions_per_second}
    env = gymnasium.make(road.env, disable_env_checker=True, config=settings, max_episode_steps=horizon)
    return InTraffic(env, road)


HIGHWAY_ENV = Simulator("highway-env", "highway_env", "driving", _made)


def set_traffic(env: gymnasium.Env, values: Mapping[str, Any]) -> None:
    """Put a road into a task."""
    env.values = values  # type: ignore[attr-defined]


class InTraffic(gymnasium.Wrapper):
    """Highway-env with the traffic of a task."""

    values: Mapping[str, Any]

    def __init__(self, env: gymnasium.Env, road: Road) -> None:
        super().__init__(env)
        self._road = road

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """A new road, with the task's cars, and drivers of its manners."""
        env: Any = self.env.unwrapped
        env.configure(self._road.configure(self.values))
        obs, info = self.env.reset(seed=seed, options=options)
        if self._road.adds_cars:
            _add_cars(env, int(self.values["cars"]))
            obs = env.observation_type.observe()
        self._teach_manners()
        return _vector(obs), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As highway-env's; drivers that come into view have the task's manners, too."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._teach_manners()
        return _vector(obs), reward, terminated, truncated, info

    def _teach_manners(self) -> None:
        env: Any = self.env.unwrapped
        if "aggressiveness" not in self.values:
            return
        power = float(self.values["aggressiveness"])
        for driver in env.road.vehicles:
            if driver not in env.controlled_vehicles:
                for name, (calm, aggressive) in MANNERS.items():
                    setattr(driver, name, calm + power * (aggressive - calm))


def _vector(obs: Any) -> Any:
    """Of an observation for parking: the car, and the place."""
    return np.concatenate([obs["observation"], obs["desired_goal"]]) if isinstance(obs, dict) else obs


def _add_cars(env: Any, count: int) -> None:
    """So many more cars, as fast as the others are, where there is room."""
    road, rng = env.road, env.np_random
    speeds = [vehicle.speed for vehicle in road.vehicles if vehicle not in env.controlled_vehicles]
    make = type(next(vehicle for vehicle in road.vehicles if vehicle not in env.controlled_vehicles)).make_on_lane
    for _ in range(count):
        for _ in range(TRIES):
            index = road.network.random_lane_index(rng)
            along = rng.uniform(0, road.network.get_lane(index).length)
            car = make(road, index, longitudinal=along, speed=float(np.mean(speeds)))
            if min(np.linalg.norm(car.position - other.position) for other in road.vehicles) > ROOM:
                road.vehicles.append(car)
                break
