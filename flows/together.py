"""Stages that do not read from each other, side by side: `make run` calls it.

python -m flows.together [STAGE ...]

DVC runs one stage at a time and leaves a core idle, since the stages of small images use one each.
Here each stage is begun, by a dvc of its own, as soon as what it reads from is there; where more
could begin than may run, the one that the longest chain of others waits for. What ends
this, Ctrl-C or a closed terminal, ends every stage in order: a training saves first.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path

from flows import graph, stages, tied

HALVES = 2  # restoration and minting; each stage of one reads from those before it
SIGTERM_STATUS, SIGINT_STATUS = 143, 130
Tell = Callable[[str, str], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Bring stages up to date with all that they read from; none named: every stage."""
    parser = argparse.ArgumentParser(prog="flows.together", description=__doc__)
    parser.add_argument("goals", nargs="*", metavar="STAGE", help="up to these alone")
    parser.add_argument("--at-once", type=int, default=min(HALVES, _cores()), help="stages")
    given = parser.parse_args(argv)
    stages.end_in_order(SIGTERM_STATUS)
    root = Path.cwd()
    try:
        return _bring_up_to_date(given.goals, max(1, given.at_once), root)
    except KeyboardInterrupt:
        return SIGINT_STATUS
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _bring_up_to_date(goals: Sequence[str], at_once: int, root: Path) -> int:
    order = graph.read(root)
    order = graph.with_ancestors(order, goals) if goals else order
    if stages.unchanged(goals, root):
        print("Nothing had changed, nothing was run.")
        return 0
    failures = run_all(order, at_once, root, _teller(order))
    for failure in failures:
        print(f"error: {str(failure).partition(':')[0]}; its last lines stand above", flush=True)
    return 1 if failures else 0


def run_all(
    order: Sequence[graph.Stage], at_once: int, root: Path, tell: Tell
) -> list[stages.StageError]:
    """Run stages, `at_once` at most, each after those it reads from; return what failed.

    order: with all that each reads from; tell: takes a stage's name and a line of it. What reads
    from a failed stage is left out, the rest still runs; the longest chain of stages goes first.
    However this ends, no process is left.
    """
    chains = graph.followers(order)
    ready: list[str] = []
    waiting = TopologicalSorter({stage.name: stage.parents for stage in order})
    waiting.prepare()
    running: dict[Future[stages.Outcome], str] = {}
    failures: list[stages.StageError] = []
    with ThreadPoolExecutor(at_once) as pool:
        try:
            while True:
                ready = sorted([*ready, *waiting.get_ready()], key=lambda name: -chains[name])
                while ready and len(running) < at_once:
                    name = ready.pop(0)
                    job = pool.submit(stages.run, name, _share(at_once), partial(tell, name), root)
                    running[job] = name
                if not running:
                    return failures
                for job in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(job)
                    try:
                        job.result()
                        waiting.done(name)
                    except stages.StageError as error:
                        failures.append(error)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            while wait(running, 0.1).not_done:  # one may be about to start when others are ended
                tied.end_all()


def _share(at_once: int) -> dict[str, str]:
    """Return the environment in which so many stages divide the cores between them."""
    own = os.environ.get("OMP_NUM_THREADS")
    return {} if own or at_once == 1 else {"OMP_NUM_THREADS": str(max(1, _cores() // at_once))}


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _teller(order: Sequence[graph.Stage]) -> Tell:
    """Return what prints a line behind its stage's name."""
    width = max(len(stage.name) for stage in order)

    def tell(name: str, line: str) -> None:
        print(f"{name:{width}} | {line}", flush=True)

    return tell


if __name__ == "__main__":
    sys.exit(main())
