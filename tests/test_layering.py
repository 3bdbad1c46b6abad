"""Imports point one way, and never at a package's own `__init__`."""

import ast
from pathlib import Path

import rl_meta

PACKAGE = Path(rl_meta.__file__).parent
ROOMS = (
    *(
        "errors",
        "settings",
        "types",
        "axes",
        "numerics",
        "tasks",
        "policies",
        "algorithms",
        "ray_session",
        "collection",
    ),
    *(
        "evaluation",
        "training",
        "analysis",
        "comparison",
        "aggregation",
        "tuning",
        "exporting",
        "integrations",
        "serving",
        "api",
        "commands",
        "cli",
    ),
)


def violations(package: Path, name: str) -> list[str]:  # noqa: C901 (one rule per branch)
    found = []
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).with_suffix("").parts
        if parts[-1] == "__init__":
            continue
        here = ROOMS.index(parts[0])
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith(name):
                continue
            target = node.module.split(".")[1:]
            if not target:
                leaves = [alias.name for alias in node.names if alias.name in ROOMS]
                found += (
                    []
                    if leaves and parts[0] in ("commands", "cli")
                    else [f"{file}:{node.lineno} imports {node.module}"]
                )
            elif package.joinpath(*target, "__init__.py").exists():
                leaves = [package.joinpath(*target, f"{alias.name}.py").exists() for alias in node.names]
                found += [] if all(leaves) else [f"{file}:{node.lineno} imports the package {node.module}"]
            elif ROOMS.index(target[0]) > here:
                found.append(f"{file}:{node.lineno} {parts[0]} is below {target[0]}")
            elif {parts[0], target[0]} == {"tasks", "policies"}:
                found.append(f"{file}:{node.lineno} tasks and policies do not know each other")
    return found


def test_imports_point_one_way():
    assert violations(PACKAGE, "rl_meta") == []


def test_a_violation_is_found(tmp_path):
    (tmp_path / "numerics").mkdir()
    (tmp_path / "numerics" / "bad.py").write_text("from rl_meta.training.loop import trainer\n")
    assert len(violations(tmp_path, "rl_meta")) == 1
