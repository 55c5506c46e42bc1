"""Rankings and what VLM2Vec's `RankingMetrics` says of them: jobs/tests/fixtures/ranking_metrics.json.

    python jobs/reference/ranking_metrics.py VLM2VEC/src/utils/eval_utils/metrics.py

takes the path of that file in a checkout of github.com/TIGER-AI-Lab/VLM2Vec (seen at 6e1e1d4). Nothing of it is here: the file is
imported from where it is. It names a module that it does not use; an empty one stands in where that is not installed.
"""

import importlib.util
import json
import random
import sys
import types
from pathlib import Path

TO = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "ranking_metrics.json"

METRICS = ["hit", "precision", "recall", "f1", "ndcg", "map", "mrr"]
# The last one is more than any ranking has: it measures all of it.
CUTOFFS = [1, 2, 5, 10, 1000]


def ranking_metrics(path):
    try:
        import pytrec_eval  # noqa: F401
    except ImportError:
        sys.modules["pytrec_eval"] = types.ModuleType("pytrec_eval")
    spec = importlib.util.spec_from_file_location("metrics", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.RankingMetrics


def groups():
    """Test cases by what is special about them."""
    generator = random.Random(7)

    def case(size, relevant, missing=0):
        items = list(range(size))
        ranking = items[:]
        generator.shuffle(ranking)
        labels = generator.sample(items, relevant)
        gone = set(labels[:missing])
        return {"prediction": [item for item in ranking if item not in gone], "label": labels, "rel_scores": None}

    return {
        "one relevant": [case(30, 1) for _ in range(12)],
        "several relevant": [case(25, generator.randint(2, 9)) for _ in range(12)],
        "more relevant than the cutoff": [case(40, 20) for _ in range(4)],
        "short rankings": [case(generator.randint(1, 4), 1) for _ in range(8)],
        "not all of the relevant is ranked": [case(12, 4, missing=generator.randint(1, 4)) for _ in range(8)],
        "nothing ranked": [{"prediction": [], "label": [1], "rel_scores": None}],
        "nothing relevant": [{"prediction": [3, 1, 2], "label": [], "rel_scores": None}],
        "perfect": [{"prediction": [4, 2, 0, 1, 3], "label": [2, 4, 0], "rel_scores": None}],
    }


def main():
    metrics = ranking_metrics(sys.argv[1])(METRICS, CUTOFFS)
    written = []
    for name, cases in groups().items():
        scores = metrics.evaluate(cases)
        expected = {key.replace("ndcg_linear", "ndcg"): value for key, value in scores.items() if "exponential" not in key}
        rankings = [{"ranking": case["prediction"], "relevant": case["label"]} for case in cases]
        written.append({"name": name, "cases": rankings, "expected": expected})
    TO.parent.mkdir(parents=True, exist_ok=True)
    TO.write_text(json.dumps({"cutoffs": CUTOFFS, "groups": written}, separators=(",", ":")) + "\n")
    print(f"{sum(len(group['cases']) for group in written)} rankings, {sum(len(group['expected']) for group in written)} numbers")


if __name__ == "__main__":
    main()
