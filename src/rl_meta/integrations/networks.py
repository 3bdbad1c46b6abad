"""Networks made with PyTorch, Keras 3 or Stable-Baselines3, as weights and architecture of ours.

Nothing in a file is executed: of Stable-Baselines3's zip the weights are read with `weights_only=True`, and the plain
JSON beside them; what it holds pickled is not touched.
"""

import io
import json
import re
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from rl_meta.errors import UserError, unknown
from rl_meta.training.initial import InitialNetwork, Layers

SB3_ALGORITHMS = ("A2C", "PPO", "TRPO")
"""Those whose policy is an actor-critic with one distribution."""
TORCH = {
    "ELU": "elu",
    "GELU": "gelu",
    "ReLU": "relu",
    "Sigmoid": "sigmoid",
    "SiLU": "silu",
    "Softplus": "softplus",
    "Tanh": "tanh",
}
KERAS = {
    **{name: name for name in ("elu", "gelu", "relu", "sigmoid", "silu", "softplus", "tanh")},
    "swish": "silu",
}
"""Their activations by our names."""
Parts = list[tuple[np.ndarray, np.ndarray] | str]
"""Linear layers, and names of activations, in their order."""


def network_of(model: Any) -> InitialNetwork:
    """What a model is to a run: `rl_meta.train(..., initial=model)` uses it.

    Args:
        model: `sb3:PPO:FILE`; or a `torch.nn.Sequential` of Linear layers, or a Keras 3 `Sequential` of Dense ones,
            with one kind of activation between them, from observations to logits or mean actions.

    Raises:
        UserError: a missing extra, a file that cannot be read, a layer that has no counterpart.
    """
    if isinstance(model, InitialNetwork):
        return model
    if isinstance(model, str):
        return _from_name(model)
    kinds = {f"{cls.__module__.split('.')[0]}.{cls.__name__}" for cls in type(model).__mro__}
    if "torch.Sequential" in kinds:
        return _assembled(_torch_parts(model))
    if "keras.Sequential" in kinds:
        return _assembled(_keras_parts(model))
    raise UserError(
        "a network must be 'sb3:PPO:FILE', a torch.nn.Sequential or a keras.Sequential, "
        f"got {type(model).__module__}.{type(model).__name__}"
    )


def _from_name(name: str) -> InitialNetwork:
    library, _, rest = name.partition(":")
    algorithm, found, file = rest.partition(":")
    if library != "sb3" or not found:
        raise UserError(f"weights to begin with must be like sb3:PPO:model.zip, got {name!r}")
    if algorithm not in SB3_ALGORITHMS:
        raise unknown("algorithm to take weights from", algorithm, SB3_ALGORITHMS)
    weights, data = _read_zip(Path(file))
    return _from_sb3(weights, data, file)


def _read_zip(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Weights and plain settings of a model of Stable-Baselines3."""
    try:
        import torch  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise UserError(
            f"reading weights of Stable-Baselines3 needs an extra ({error}): pip install 'rl-meta[torch]'"
        ) from error
    try:
        with zipfile.ZipFile(path) as archive:
            data, policy = json.loads(archive.read("data")), archive.read("policy.pth")
        weights = torch.load(io.BytesIO(policy), map_location="cpu", weights_only=True)
        return {name: x.numpy() for name, x in weights.items()}, data
    except Exception as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"cannot read {path} as a model of Stable-Baselines3: {line[:200]}") from None


def _from_sb3(weights: dict[str, np.ndarray], data: dict[str, Any], file: str) -> InitialNetwork:
    """The two networks of an `ActorCriticPolicy`, by the names of its parameters."""
    settings = data.get("policy_kwargs")
    settings = settings if isinstance(settings, dict) else {}
    told = re.search(r"(\w+)'>$", str(settings.get("activation_fn", "torch.nn.modules.activation.Tanh'>")))
    kind = told[1] if told else str(settings["activation_fn"])
    if kind not in TORCH:
        raise UserError(f"{file}: the activation {kind} has no counterpart here; known: {', '.join(TORCH)}")
    if data.get("use_sde"):
        raise UserError(f"{file}: state-dependent exploration has no counterpart here")
    layers: dict[str, Layers] = {}
    used = {"log_std"}
    for ours, body, head in (("policy", "policy_net", "action_net"), ("value", "value_net", "value_net")):
        found = [re.fullmatch(rf"mlp_extractor\.{body}\.(\d+)\.weight", name) for name in weights]
        indices = sorted(int(match[1]) for match in found if match)
        names = [*(f"mlp_extractor.{body}.{index}" for index in indices), head]
        used |= {f"{name}.{part}" for name in names for part in ("weight", "bias")}
        if not used - {"log_std"} <= weights.keys():
            raise UserError(f"{file} holds no actor-critic of linear layers: it lacks {head}")
        layers[ours] = tuple((weights[f"{name}.weight"].T, weights[f"{name}.bias"]) for name in names)
    if left := weights.keys() - used:
        raise UserError(f"{file}: {min(left)} has no counterpart in an actor-critic of linear layers")
    if [len(bias) for _, bias in layers["policy"][:-1]] != [len(bias) for _, bias in layers["value"][:-1]]:
        raise UserError(f"{file}: policy and value function must have hidden layers of the same widths")
    return InitialNetwork(layers["policy"], TORCH[kind], layers["value"], weights.get("log_std"))


def _torch_parts(model: Any) -> Parts:
    parts: Parts = []
    for layer in model:
        kind = type(layer).__name__
        if kind == "Linear" and layer.bias is not None:
            parts.append((layer.weight.detach().cpu().numpy().T, layer.bias.detach().cpu().numpy()))
        elif kind in TORCH and _is_plain(layer):
            tanh = kind == "GELU" and layer.approximate == "tanh"
            parts.append("gelu-tanh" if tanh else TORCH[kind])
        elif kind not in ("Flatten", "Identity"):
            raise _no_counterpart(str(layer), (*TORCH, "Linear", "Flatten", "Identity"))
    return parts


def _is_plain(layer: Any) -> bool:
    """Has it the parameters that its function has here?"""
    return all(getattr(layer, name, 1.0) == 1.0 for name in ("alpha", "beta"))


def _keras_parts(model: Any) -> Parts:
    parts: Parts = []
    for layer in model.layers:
        kind = type(layer).__name__
        if kind == "Dense" and layer.use_bias and layer.built:
            parts.append((np.asarray(layer.kernel), np.asarray(layer.bias)))
        elif kind not in ("Activation", "Flatten", "InputLayer"):
            raise _no_counterpart(f"{kind} ({layer.name})", ("Dense", "Activation", "Flatten"))
        name = getattr(getattr(layer, "activation", None), "__name__", "linear")
        if name != "linear":
            if name not in KERAS:
                raise _no_counterpart(f"{kind} ({layer.name}) with {name}", KERAS)
            parts.append(KERAS[name])
    return parts


def _assembled(parts: Parts) -> InitialNetwork:
    """Linear layers with the same activation between any two of them, and none after the last one."""
    layers = tuple(part for part in parts if not isinstance(part, str))
    between = parts[1::2]
    alternating = all(isinstance(part, str) == (index % 2 == 1) for index, part in enumerate(parts))
    if not layers or not alternating or len(parts) % 2 == 0 or len(set(map(str, between))) > 1:
        told = ", ".join(part if isinstance(part, str) else f"linear to {len(part[1])}" for part in parts)
        raise UserError(
            "a network must be linear layers with one and the same activation between them, and end with a linear one, "
            f"got: {told}"
        )
    for (_, bias), (weight, _) in pairwise(layers):
        assert len(bias) == len(weight)
    return InitialNetwork(layers, str(between[0]) if between else "tanh")


def _no_counterpart(layer: str, known: Any) -> UserError:
    return UserError(f"the layer {layer} has no counterpart here; known: {', '.join(known)}")
