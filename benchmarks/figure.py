"""The README's picture, from the evaluation of a run.

rl-meta demo --out runs/demo && python benchmarks/figure.py runs/demo
"""

import json
import sys
from pathlib import Path

from rl_meta.analysis.plots import adaptation_figure

PICTURE = Path(__file__).parent.parent / "docs" / "adaptation.png"


def main() -> None:
    """Draw what evaluation.json of the given run says."""
    evaluation = json.loads((Path(sys.argv[1]) / "evaluation.json").read_text())
    adaptation_figure(evaluation).savefig(PICTURE, dpi=130)


if __name__ == "__main__":
    main()
