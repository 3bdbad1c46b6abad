"""The command `rl-meta`: finds the subcommand; wrong input ends in one line."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from rl_meta.errors import UserError, unknown

COMMANDS = {
    "demo": "rl_meta.commands.demo",
    "list": "rl_meta.commands.listing",
    "train": "rl_meta.commands.train",
    "tune": "rl_meta.commands.tune",
    "evaluate": "rl_meta.commands.evaluate",
    "report": "rl_meta.commands.report",
    "aggregate": "rl_meta.commands.aggregate",
    "export": "rl_meta.commands.export",
    "serve": "rl_meta.commands.serve",
}
"""Each module has a function `run(words)`; it is imported only when the command is given."""

USAGE = """\
usage: rl-meta COMMAND [OPTIONS]

  demo                    meta-train RL² on cartpole, adapt to 200 unseen tasks, compare with learning from scratch
  list                    families, methods, and what they are
  train FAMILY METHOD     meta-train; --family.FIELD and --method.FIELD set their fields
  train gym:ID METHOD     on an environment of Gymnasium; --vary NAME=LOW:HIGH for every parameter that varies
  train FAMILY reptile --learner sb3:PPO   meta-train a learner of another library
  train FAMILY METHOD --init-from sb3:PPO:model.zip   begin with the weights of another library's policy
  train --resume DIR      continue a run that was stopped
  tune FAMILY METHOD      look for good settings: many short runs, of which the better ones go on
  evaluate DIR            adapt to held-out tasks, write DIR/evaluation.json
  report DIR              write DIR/report.html
  aggregate DIR DIR ...   merge the models of several runs into one; with --sweep, look along the line between two
  export DIR --to onnx    write the agent for a program without RL-Meta: onnx, tensorflow or torch
  serve DIR               serve the agent over HTTP to many clients, each with an adaptation of its own

`rl-meta --import MODULE COMMAND ...` imports a module first, such as one that registers environments of your own.
`rl-meta COMMAND --help` shows a command's options. Exit status: 0 done, 2 wrong input, 130 stopped by Ctrl-C.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; wrong input ends in one line on standard error and exit status 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(USAGE, end="")
        sys.exit(0 if words else 2)
    if words[0] == "--version":
        print(f"rl-meta {version('rl-meta')}")
        return
    try:
        words = _after_imports(words)
        if words[0] not in COMMANDS:
            raise unknown("command", words[0], COMMANDS)
        _set_up_jax()
        import_module(COMMANDS[words[0]]).run(words[1:])
    except UserError as error:
        print(f"rl-meta: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("rl-meta: stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:  # a full disk, a directory that must not be written to
        print(f"rl-meta: {error}", file=sys.stderr)
        sys.exit(2)


def _after_imports(words: list[str]) -> list[str]:
    """The command, after modules of the user's own were imported that he names before it.

    Raises:
        UserError: no such module, or no command.
    """
    while words[0] == "--import":
        if len(words) < 3:
            raise UserError("--import must be followed by a module and a command: rl-meta --import mine train ...")
        sys.path.insert(0, str(Path.cwd()))
        try:
            import_module(words[1])
        except ImportError as error:
            raise UserError(f"cannot import {words[1]}: {error}") from None
        words = words[2:]
    return words


def _set_up_jax() -> None:
    """Keep compiled programs in the user's cache directory, for a fast second start."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "rl-meta" / "jax"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
