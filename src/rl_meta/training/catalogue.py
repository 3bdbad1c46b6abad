"""From the names on the command line and in run directories to families and methods: one line each."""

from dataclasses import dataclass, is_dataclass
from importlib import import_module
from typing import Any

from rl_meta.errors import UserError, unknown

FAMILIES = {
    "ant-dir": "rl_meta.tasks.locomotion:AntDir",
    "ant-goal": "rl_meta.tasks.locomotion:AntGoal",
    "atari": "rl_meta.tasks.atari:Atari",
    "bandit": "rl_meta.tasks.bandit:Bandit",
    "cartpole": "rl_meta.tasks.cartpole:CartPole",
    "dark-room": "rl_meta.tasks.dark_room:DarkRoom",
    "driving": "rl_meta.tasks.driving:Driving",
    "grid-navigation": "rl_meta.tasks.grid_navigation:GridNavigation",
    "gymnasium": "rl_meta.tasks.gymnasium_env:GymnasiumFamily",
    "gymnax": "rl_meta.tasks.gymnax_adapter:Gymnax",
    "halfcheetah-dir": "rl_meta.tasks.locomotion:HalfCheetahDir",
    "halfcheetah-vel-maml": "rl_meta.tasks.locomotion:HalfCheetahVelMAML",
    "halfcheetah-vel-pearl": "rl_meta.tasks.locomotion:HalfCheetahVelPEARL",
    "halfcheetah-vel-varibad": "rl_meta.tasks.locomotion:HalfCheetahVelVariBAD",
    "highway": "rl_meta.tasks.highway:Highway",
    "highway-fast": "rl_meta.tasks.highway_fast:HighwayFast",
    "hopper-body": "rl_meta.tasks.locomotion:HopperBody",
    "intersection": "rl_meta.tasks.highway:Intersection",
    "merge": "rl_meta.tasks.highway:Merge",
    "metaworld": "rl_meta.tasks.metaworld:MetaWorld",
    "minigrid": "rl_meta.tasks.minigrid:MiniGridRules",
    "parking": "rl_meta.tasks.highway:Parking",
    "pendulum": "rl_meta.tasks.pendulum:Pendulum",
    "point-goal": "rl_meta.tasks.point_goal:PointGoal",
    "point-goal-sparse": "rl_meta.tasks.point_goal:SparsePointGoal",
    "quadrotor": "rl_meta.tasks.quadrotor:Quadrotor",
    "racetrack": "rl_meta.tasks.highway:Racetrack",
    "roundabout": "rl_meta.tasks.highway:Roundabout",
    "tabular-mdp": "rl_meta.tasks.tabular_mdp:TabularMDP",
    "two-link-arm": "rl_meta.tasks.two_link_arm:TwoLinkArm",
    "walker2d-body": "rl_meta.tasks.locomotion:Walker2dBody",
    "xland": "rl_meta.tasks.xland:XLand",
}

METHODS = {
    "hypernetwork": "rl_meta.algorithms.hypernetwork:Hypernetwork",
    "maml": "rl_meta.algorithms.maml:MAML",
    "multitask": "rl_meta.algorithms.multitask:MultiTask",
    "oracle": "rl_meta.algorithms.oracle:Oracle",
    "pearl": "rl_meta.algorithms.pearl:PEARL",
    "promp": "rl_meta.algorithms.promp:ProMP",
    "reptile": "rl_meta.algorithms.reptile:Reptile",
    "rl2": "rl_meta.algorithms.rl2:RL2",
    "scratch": "rl_meta.algorithms.scratch:Scratch",
    "transformer": "rl_meta.algorithms.transformer:Transformer",
    "varibad": "rl_meta.algorithms.varibad:VariBAD",
}


@dataclass(frozen=True)
class Kind:
    """Families, or methods."""

    name: str
    table: dict[str, str]

    def load(self, name: str) -> type:
        """The settings class with this name; its module is imported only now."""
        if name not in self.table:
            raise unknown(self.name, name, self.table)
        module, _, cls = self.table[name].partition(":")
        return getattr(import_module(module), cls)

    def name_of(self, settings: Any) -> str | None:
        """The name under which these settings' class is listed, if it is."""
        path = f"{type(settings).__module__}:{type(settings).__qualname__}"
        return next((name for name, listed in self.table.items() if listed == path), None)

    def title_of(self, settings: Any) -> str:
        """What people call them: the name under which they are listed, or that of their class."""
        return self.name_of(settings) or type(settings).__name__

    def make(self, settings: Any) -> Any:
        """A name stands for its default settings; anything else must be settings.

        Raises:
            UserError: an unknown name, or a class or something else that is no settings.
        """
        if isinstance(settings, str):
            return self.load(settings)()
        if isinstance(settings, type) or not is_dataclass(settings):
            raise UserError(f"a {self.name} must be a name, or settings such as `Name()`, got {settings!r}")
        return settings


families = Kind("family", FAMILIES)
methods = Kind("method", METHODS)
