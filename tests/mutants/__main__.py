"""`python -m tests.mutants`: a random sample of mutations, and those that no fast test notices.

Ends with 1 if one of them survives that `equivalent.toml` does not explain.
"""

import argparse
import random
import sys
import time
from collections import Counter

from tests.mutants.coverage_map import PACKAGES, coverage_map
from tests.mutants.equivalent import equivalents
from tests.mutants.mutation import ROOT, Mutation, modules_of, mutations_of
from tests.mutants.trials import try_all


def main() -> int:
    options = _options()
    mutations = [m for name in modules_of(*PACKAGES) for m in mutations_of(name).values()]
    mutations = [m for m in mutations if any(text in m.address for text in options.only or [""])]
    if options.sample:
        size = min(options.sample, len(mutations))
        mutations = random.Random(options.seed).sample(mutations, size)
    tests = coverage_map(ROOT / ".mutants", options.processes)
    known = equivalents()
    start = time.monotonic()
    found = Counter[str]()

    def tell(mutation: Mutation, noticed: bool) -> None:
        result = "noticed" if noticed else "known" if mutation.address in known else "survived"
        found[result] += 1
        if result == "survived":
            print(_described(mutation, len(tests.tests_of(mutation))), flush=True)

    try_all(mutations, tests, options.processes, tell)
    seconds = time.monotonic() - start
    print(
        f"{len(mutations)} mutations (seed {options.seed}): {found['noticed']} noticed, "
        f"{found['known']} known as equivalent, {found['survived']} survived; {seconds:.0f} s"
    )
    return 1 if found["survived"] else 0


def _described(mutation: Mutation, tests: int) -> str:
    return (
        f"survived {tests} tests: {mutation.address}\n"
        f"    line {mutation.lines.start}: {mutation.before}\n    becomes {mutation.after}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--sample", type=int, default=300, help="how many of them; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "only", nargs="*", help="only those whose address contains one of these texts"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
