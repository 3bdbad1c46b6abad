"""`driving`: along a winding road with traffic, in a car whose grip, weight, length and steering are hidden.

The car is the dynamic single-track ("bicycle") model of Rajamani (2012), "Vehicle Dynamics and Control", chapter 2, in
coordinates along and across the road, with Fiala's brush model for the tyres (Pacejka 2012, "Tire and Vehicle
Dynamics", section 3.2): forces grow with slip, up to what friction and weight allow. Below walking pace, where slip
angles lose their meaning, it fades into the kinematic model. The other cars keep their lanes and follow the Intelligent
Driver Model of Treiber, Hennecke & Helbing (2000), "Congested Traffic States in Empirical Observations and Microscopic
Simulations"; how fast and how close they drive is hidden as well. How fast a bend can be taken, and how late one can
brake, has to be found out at the wheel.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.settings import Count
from rl_meta.tasks.base import SPLITS, Transition
from rl_meta.tasks.drawing import Line, Mark, Polygon, box
from rl_meta.tasks.regions import named_box, sample_box
from rl_meta.types import Array, Key

GRAVITY_M_PER_S2 = 9.81
SECONDS_PER_STEP = 0.1
SUBSTEPS = 4

FRONT_STIFFNESS_N = 80e3
REAR_STIFFNESS_N = 100e3
"""Cornering stiffness of an axle, N per unit of slip (rad)."""
FRONT_SHARE, REAR_SHARE = 0.45, 0.55
"""Distance of each axle from the centre of mass, of the wheelbase."""
MAX_STEERING_RAD = 0.2
MAX_DRIVE_N, MAX_BRAKE_N = 5e3, 12e3
MOST_OF_GRIP = 0.9
"""How much of the grip drive and brakes use at most; the rest is left for cornering."""
AIR_DRAG_N_S2_PER_M2 = 0.4
KINEMATIC_BELOW, DYNAMIC_ABOVE = 3.0, 5.0
"""Forward speeds (m/s) between which the two models are blended."""

LANE_M = 3.5
LANE_CENTRES = np.array([-LANE_M / 2, LANE_M / 2], np.float32)
"""Right and left lane; offsets grow to the left."""
CAR_LENGTH_M, CAR_WIDTH_M = 4.5, 1.9
FREE_IN_LANE_M = 0.8
"""A car this far from the centre of a lane is still inside of it."""
HEADING_LIMIT_RAD = 1.2
BEND_CURVATURES = np.array([0.020, 0.018], np.float32)
BEND_LENGTHS_M = np.array([210.0, 80.0], np.float32)
"""The road's curvature (1/m) is a sum of sines with these amplitudes and wave lengths."""
PREVIEW_M = np.array([0.0, 15.0, 30.0, 45.0], np.float32)

RING_M = 240.0
"""A car that falls behind by half of this comes back in front: the traffic around the agent never ends."""
SENSOR_M = 60.0
LEFT_LANE_FASTER = 1.25
STANDSTILL_GAP_M = 2.0
TRAFFIC_ACCELERATION, TRAFFIC_BRAKING = 1.5, 2.0
"""Comfortable, m/s²."""
EMERGENCY_BRAKING = 8.0

START_SPEED = 10.0
GOOD_SPEED = 20.0
"""A reward of 1 per step is progress at this speed, m/s."""
CRASH_COST, STRADDLING_COST = 5.0, 0.5
LOW = (0.35, 1000.0, 2.4, 0.1, 7.0, 0.8)
HIGH = (1.0, 2000.0, 3.2, 0.4, 13.0, 2.0)


class DrivingTask(NamedTuple):
    """Hidden parameters."""

    friction: Array
    """Between tyres and road; 1 is dry asphalt, 0.3 packed snow."""
    mass: Array
    """kg"""
    wheelbase: Array
    """m"""
    steering_delay: Array
    """Time constant with which the front wheels follow the steering, s."""
    traffic_speed: Array
    """That the cars of the right lane want to drive at, m/s; those of the left lane drive faster by a quarter."""
    traffic_headway: Array
    """Time gap that they keep, s."""


class DrivingState(NamedTuple):
    """Metres, seconds and radians."""

    along: Array
    """The road, from where its bends are counted."""
    offset: Array
    """From the line between the lanes, to the left."""
    heading: Array
    """Against the road's direction, counter-clockwise."""
    speed: Array
    """Forward."""
    sideways: Array
    """Speed to the left, of the centre of mass."""
    yaw_rate: Array
    steering: Array
    """Angle of the front wheels."""
    ahead: Array
    """[2, cars] How far ahead of the agent the other cars are, by lane; each follows the next in its row."""
    speeds: Array
    """[2, cars]"""
    bends: Array
    """[2] Phases of the road's bends."""
    time: Array
    """Steps since the episode began."""


def curvature(bends: Array, along: Array) -> Array:
    """Of the road at a place, 1/m; positive to the left."""
    return (BEND_CURVATURES * jnp.sin(2 * np.pi * along / BEND_LENGTHS_M + bends)).sum()


def tyre_force(slip: Array, stiffness: float | Array, grip: Array) -> Array:
    """Fiala's brush model, with y = C tan α cut at ±3 G: F = y - y |y| / (3 G) + y³ / (27 G²).

    Args:
        slip: tan α.
        stiffness: C, N.
        grip: G, the largest force, N.
    """
    pull = jnp.clip(stiffness * slip, -3 * grip, 3 * grip)
    return pull - pull * jnp.abs(pull) / (3 * grip) + pull**3 / (27 * grip**2)


def drive_force(pedal: Array, speed: Array, task: DrivingTask) -> Array:
    """Along the car, N: the pedal (from -1, full brake, to 1) within the tyres' grip, less the drag of the air."""
    wanted = jnp.where(pedal > 0, MAX_DRIVE_N, MAX_BRAKE_N) * pedal
    most = MOST_OF_GRIP * task.friction * task.mass * GRAVITY_M_PER_S2
    return jnp.clip(wanted, -most, most) - AIR_DRAG_N_S2_PER_M2 * speed**2


def car_motion(
    speed: Array, sideways: Array, yaw_rate: Array, steering: Array, force: Array, task: DrivingTask, seconds: float
) -> tuple[Array, Array, Array]:
    """Forward speed, sideways speed and yaw rate a moment later (Rajamani, equations 2.21 to 2.27).

    m (v̇ - u r) = F_x - F_f tan δ,   m (u̇ + v r) = F_f + F_r,   I ṙ = a F_f - b F_r,   I = m a b
    """
    front, rear = FRONT_SHARE * task.wheelbase, REAR_SHARE * task.wheelbase
    tan, grip = jnp.tan(steering), task.friction * task.mass * GRAVITY_M_PER_S2
    left_over = jnp.sqrt(1 - jnp.clip(force / grip, -MOST_OF_GRIP, MOST_OF_GRIP) ** 2) * grip
    rolling = jnp.maximum(speed, KINEMATIC_BELOW)
    front_slip = tan - (sideways + front * yaw_rate) / rolling
    rear_slip = -(sideways - rear * yaw_rate) / rolling
    front_force = tyre_force(front_slip, FRONT_STIFFNESS_N, REAR_SHARE * left_over)
    rear_force = tyre_force(rear_slip, REAR_STIFFNESS_N, FRONT_SHARE * left_over)

    dynamic = jnp.clip((speed - KINEMATIC_BELOW) / (DYNAMIC_ABOVE - KINEMATIC_BELOW), 0, 1)
    faster = speed + seconds * (force / task.mass + dynamic * (sideways * yaw_rate - front_force * tan / task.mass))
    slide = sideways + seconds * ((front_force + rear_force) / task.mass - speed * yaw_rate)
    turn = yaw_rate + seconds * (front_force / rear - rear_force / front) / task.mass

    faster = jnp.maximum(faster, 0.0)
    turn_rolling = faster * tan / task.wheelbase
    slide = rear * turn_rolling + dynamic * (slide - rear * turn_rolling)
    return faster, slide, turn_rolling + dynamic * (turn - turn_rolling)


def driver_acceleration(speed: Array, gap: Array, approach: Array, desired: Array, headway: Array) -> Array:
    """The Intelligent Driver Model, m/s²: a [1 - (v/v₀)⁴ - (s*/s)²], s* = s₀ + max(0, v T + v Δv / (2 √(a b))).

    Args:
        speed: v, m/s.
        gap: s, to the bumper of the car in front, m.
        approach: Δv, how fast the gap shrinks, m/s.
        desired: v₀, m/s.
        headway: T, s.
    """
    braking = speed * approach / (2 * np.sqrt(TRAFFIC_ACCELERATION * TRAFFIC_BRAKING))
    wanted = STANDSTILL_GAP_M + jnp.maximum(0, speed * headway + braking)
    free = 1 - (speed / desired) ** 4
    return TRAFFIC_ACCELERATION * (free - (wanted / jnp.maximum(gap, 0.1)) ** 2)


def traffic_speeds(ahead: Array, speeds: Array, offset: Array, speed: Array, task: DrivingTask) -> Array:
    """[2, cars] Of the other cars after one step; each follows the next in its lane, or the agent where that is nearer.

    ahead, speeds: [2, cars] where they are and how fast. offset, speed: the agent's.
    """
    around = lambda distance: jnp.where(distance < 0, distance + RING_M, distance)
    gap, leader = around(jnp.roll(ahead, -1, 1) - ahead) - CAR_LENGTH_M, jnp.roll(speeds, -1, 1)
    gap = gap if ahead.shape[1] > 1 else gap + RING_M
    agent_gap = around(-ahead) - CAR_LENGTH_M
    agent_leads = in_the_way(offset)[:, None] & (agent_gap < gap)
    gap, leader = jnp.where(agent_leads, agent_gap, gap), jnp.where(agent_leads, speed, leader)
    desired = task.traffic_speed * jnp.array([1.0, LEFT_LANE_FASTER])[:, None]
    change = driver_acceleration(speeds, gap, speeds - leader, desired, task.traffic_headway)
    return jnp.maximum(speeds + SECONDS_PER_STEP * jnp.maximum(change, -EMERGENCY_BRAKING), 0.0)


def in_the_way(offset: Array) -> Array:
    """[2] bool: would a car in the middle of each lane hit one at this offset?"""
    return jnp.abs(offset - LANE_CENTRES) < CAR_WIDTH_M


def _nearest(distance: Array, difference: Array) -> Array:
    """[2, 2] Distance (up to `SENSOR_M`) and difference in speed of the nearest car of each lane; distances [2, cars].

    Negative distances are of cars on the other side; where no car is near, the difference is 0.
    """
    seen = jnp.where(distance >= 0, distance, SENSOR_M)
    nearest = jnp.minimum(seen.min(1), SENSOR_M)
    is_it = (seen == nearest[:, None]) & (seen < SENSOR_M)
    return jnp.stack([nearest, jnp.where(is_it, difference, 0.0).sum(1)])


def _observe(state: DrivingState) -> Array:
    own = (state.speed, state.sideways, state.yaw_rate, state.steering, state.offset, state.heading)
    bends = jax.vmap(curvature, (None, 0))(state.bends, state.along + PREVIEW_M)
    difference = state.speeds - state.speed
    front, back = _nearest(state.ahead, difference), _nearest(-state.ahead, difference)
    return jnp.concatenate([jnp.stack(own), bends, front.ravel(), back.ravel()])


@dataclass(frozen=True)
class Driving:
    """Reward for progress along the road, less for straddling lanes; ends with a crash or beside the road."""

    horizon: Count = 150
    """Steps of a tenth of a second after which an episode is truncated."""
    cars_per_lane: Count = 2
    """Other cars in each of the two lanes, on a ring of 240 m around the agent."""

    splits = SPLITS
    episodes = 3
    measures = ("crashed=max", "left_road=max", "speed=mean")
    """Into another car; beside the road, or turned around on it; forwards, m/s."""
    window = (-25.0, 65.0, -30.0, 30.0)

    @property
    def observation_space(self) -> spaces.Box:
        """What the agent's instruments and eyes tell, in metres, seconds and radians.

        Forward and sideways speed, yaw rate, angle of the front wheels; offset, heading; the road's curvature here and
        15, 30, 45 m ahead; then distances to the nearest car ahead in the right and in the left lane and their speeds
        relative to the agent's, and the same of the nearest cars behind.
        """
        return spaces.Box(-np.inf, np.inf, (18,))

    @property
    def action_space(self) -> spaces.Box:
        """Steering (1 is full left) and pedals (1 is full drive, -1 full brake)."""
        return spaces.Box(-1.0, 1.0, (2,))

    @property
    def task_space(self) -> spaces.Dict:
        """See `DrivingTask`."""
        return named_box(DrivingTask._fields, LOW, HIGH)

    def sample(self, key: Key, split: str = "train") -> DrivingTask:
        """Car and traffic from the split's region."""
        return DrivingTask(*sample_box(key, LOW, HIGH, split))

    def reset(self, key: Key, task: DrivingTask) -> tuple[DrivingState, Array]:
        """In the right lane of a new road, half way between two cars of that lane."""
        key_bends, key_gaps, key_left = jax.random.split(key, 3)
        spacing = RING_M / self.cars_per_lane
        jitter = jax.random.uniform(key_gaps, (2, self.cars_per_lane), minval=-0.2, maxval=0.2)
        shift = jnp.stack([jnp.array(0.5), jax.random.uniform(key_left)])[:, None]
        ahead = (jnp.arange(self.cars_per_lane) + shift + jitter) * spacing
        ahead = jnp.where(ahead >= RING_M / 2, ahead - RING_M, ahead)
        speeds = 0.9 * task.traffic_speed * jnp.ones_like(ahead)
        bends = jax.random.uniform(key_bends, (2,), maxval=2 * np.pi)
        zero = jnp.zeros(())
        state = DrivingState(
            along=zero,
            offset=jnp.array(LANE_CENTRES[0]),
            heading=zero,
            speed=jnp.asarray(START_SPEED, float),
            sideways=zero,
            yaw_rate=zero,
            steering=zero,
            ahead=ahead,
            speeds=speeds,
            bends=bends,
            time=jnp.array(0),
        )
        return state, _observe(state)

    def step(self, key: Key, state: DrivingState, action: Array, task: DrivingTask) -> Transition:
        """The car in four substeps, with the road's curvature half way; then the traffic."""
        moved = _drive(state, action, task)
        progress = moved.along - state.along
        speeds = traffic_speeds(state.ahead, state.speeds, state.offset, state.speed, task)
        ahead = state.ahead + SECONDS_PER_STEP * speeds - progress
        ahead = jnp.where(ahead >= RING_M / 2, ahead - RING_M, ahead)
        ahead = jnp.where(ahead < -RING_M / 2, ahead + RING_M, ahead)
        time = state.time + 1
        after = moved._replace(ahead=ahead, speeds=speeds, time=time)

        hit = ((jnp.abs(ahead) < CAR_LENGTH_M) & in_the_way(after.offset)[:, None]).any()
        ended = hit | (jnp.abs(after.offset) > LANE_M) | (jnp.abs(after.heading) > HEADING_LIMIT_RAD)
        from_lane = jnp.abs(jnp.abs(after.offset) - LANE_M / 2) - FREE_IN_LANE_M
        straddling = jnp.clip(from_lane / (LANE_M / 2 - FREE_IN_LANE_M), 0, 1)
        reward = progress / (GOOD_SPEED * SECONDS_PER_STEP) - STRADDLING_COST * straddling - CRASH_COST * ended
        measured = {"crashed": hit.astype(float), "left_road": (ended & ~hit).astype(float), "speed": after.speed}
        return Transition(after, _observe(after), reward, ended, (time >= self.horizon) & ~ended, measured)

    def draw(self, state: DrivingState, task: DrivingTask) -> list[Mark]:
        """The road around the agent, which comes from the left, and all cars on it."""
        reach = np.arange(-25.0, 65.5, 0.5)
        bends = jax.vmap(curvature, (None, 0))(jnp.asarray(state.bends), jnp.asarray(state.along + reach))
        turns = np.cumsum(0.5 * np.asarray(bends))
        turns -= np.interp(0.0, reach, turns)
        middle = np.stack([np.cumsum(0.5 * np.cos(turns)), np.cumsum(0.5 * np.sin(turns))], 1)
        middle -= middle[np.searchsorted(reach, 0.0)]
        left = np.stack([-np.sin(turns), np.cos(turns)], 1)

        def car(ahead: float, offset: float, heading: float) -> np.ndarray:
            at = int(np.searchsorted(reach, ahead))
            return box(middle[at] + offset * left[at], CAR_LENGTH_M, CAR_WIDTH_M, float(turns[at]) + heading)

        lines: list[Mark] = [Line(middle + side * LANE_M * left, "scene") for side in (-1.0, 0.0, 1.0)]
        seen = [
            (lane, x) for lane in (0, 1) for x in np.asarray(state.ahead)[lane].tolist() if reach[0] < x < reach[-1]
        ]
        others: list[Mark] = [Polygon(car(x, float(LANE_CENTRES[lane]), 0.0), "other") for lane, x in seen]
        return [*lines, *others, Polygon(car(0.0, float(state.offset), float(state.heading)))]


def _drive(state: DrivingState, action: Array, task: DrivingTask) -> DrivingState:
    """The agent's car one step later."""
    seconds = SECONDS_PER_STEP / SUBSTEPS
    bend = curvature(state.bends, state.along + state.speed * SECONDS_PER_STEP / 2)
    followed = 1 - jnp.exp(-seconds / task.steering_delay)

    def substep(_: Array, car: tuple[Array, ...]) -> tuple[Array, ...]:
        along, offset, heading, speed, sideways, yaw_rate, steering = car
        steering = steering + followed * (MAX_STEERING_RAD * action[0] - steering)
        force = drive_force(action[1], speed, task)
        speed, sideways, yaw_rate = car_motion(speed, sideways, yaw_rate, steering, force, task, seconds)
        sin, cos = jnp.sin(heading), jnp.cos(heading)
        forward = (speed * cos - sideways * sin) / (1 - bend * offset)
        along = along + seconds * forward
        offset = offset + seconds * (speed * sin + sideways * cos)
        heading = heading + seconds * (yaw_rate - bend * forward)
        return along, offset, heading, speed, sideways, yaw_rate, steering

    car = jax.lax.fori_loop(0, SUBSTEPS, substep, state[:7])
    return state._replace(**dict(zip(state._fields, car, strict=False)))
