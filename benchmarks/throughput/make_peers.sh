#!/usr/bin/env bash
# Build the environments of the measured peers beside the repository's own: .venv-peers-jax and .venv-peers-torch.
#
#   benchmarks/throughput/make_peers.sh            both
#   benchmarks/throughput/make_peers.sh jax        one of them: jax or torch
#   PYTHON=/path/to/python3.11 benchmarks/throughput/make_peers.sh
#
# pip, not uv: only pip reads a local folder of wheels (PIP_FIND_LINKS) unasked, and there torch may be a CPU build.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
python="${PYTHON:-python3.11}"

version="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
if [ "$version" != "3.11" ]; then
    echo "make_peers.sh: the peers' versions are pinned for Python 3.11, $python is $version; set PYTHON to a python3.11" >&2
    exit 1
fi

names=("$@")
if [ "$#" -eq 0 ]; then names=(jax torch); fi
for name in "${names[@]}"; do
    requirements="$here/requirements-$name.txt"
    if [ ! -f "$requirements" ]; then
        echo "make_peers.sh: expected jax or torch, got $name" >&2
        exit 2
    fi
    environment="$root/.venv-peers-$name"
    [ -x "$environment/bin/python" ] || "$python" -m venv "$environment"
    "$environment/bin/python" -m pip install --quiet --upgrade pip
    "$environment/bin/python" -m pip install --quiet --requirement "$requirements"
    "$environment/bin/python" -m pip check
    echo "$environment is ready"
done
