"""Did a benchmark get slower? The benchmarks of asv, on the last commits, side by side.

    python docs/experiments/asv_history.py [REVISION ...] [--commits 5] [--bench REGEX]
        [--smallest] [--output docs/experiments/results]

asv builds an environment of its own under ``benchmarks/.asv``, installs one commit after the other
there and times today's benchmarks with it, each at its largest size that takes seconds. Without
revisions these are the last commits that changed the package. The time of a benchmark is that of
its fastest run: other work on the machine only adds to it. What looks slower than it was is timed
once more on all commits, and the fastest run counts again. Written to ``results/asv_history.csv``.
"""

import argparse
import itertools
import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from asv.results import iter_results
from asv.util import load_json

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
TOO_LONG = {"128", "3162", "2000000"}  # sizes that take a minute; docs/speed.md has such
SLOWER = 1.3
INDEX = ["benchmark", "size"]
# Three runs at least, ten at most within a second, after a setup that compiled the kernels.
HOW = ("repeat=(3,10,1)", "rounds=1", "warmup_time=0", "timeout=600")
SOME_FAILED = 2  # exit status of asv; an old commit may lack what is timed


@dataclass(frozen=True)
class Timing:
    """One benchmark at one size, as asv writes them."""

    name: str
    version: str
    names: list[str]
    values: tuple[str, ...]

    @property
    def size(self) -> str:
        return ", ".join(map("=".join, zip(self.names, self.values, strict=True)))

    @property
    def pattern(self) -> str:
        called = f"{self.name}({', '.join(self.values)})" if self.values else self.name
        return f"^{re.escape(called)}$"

    def in_seconds(self, result) -> float:
        """Return the fastest run of a commit; NaN without one of today's benchmark."""
        if result.benchmark_version.get(self.name) != self.version:
            return float("nan")
        (runs,) = result.get_result_samples(self.name, [[value] for value in self.values])
        return min(runs or [float("nan")])


def asv(config: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "asv", *arguments, "--config", str(config)]
    status = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
    if status not in (0, SOME_FAILED):
        raise SystemExit(f"asv {arguments[0]} failed with status {status}")


def last_commits(revisions: list[str], n: int) -> dict[str, str]:
    """Return ``short hash (date)`` by hash, the oldest first."""
    which = ["--no-walk", *revisions] if revisions else [f"-{n}", "HEAD", "--", "xgeoanom"]
    command = ["git", "log", "--format=%H %h (%cs)", *which]
    log = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return dict(line.split(" ", 1) for line in reversed(log.splitlines()))


def run(config: Path, commits: list[str], timings: list[Timing], *, more: bool = False) -> None:
    """Time some benchmarks on some commits; ``more`` adds to the runs that there are."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as hashes:
        hashes.write("\n".join(commits))
        hashes.flush()
        asv(config, "run", f"HASHFILE:{hashes.name}", *options(timings, more))


def run_here(
    config: Path, commits: list[str], timings: list[Timing], *, more: bool = False
) -> None:
    """Time what is installed here as if it were each of the commits: checks the script."""
    for commit in commits:
        here = "--python=same", f"--set-commit-hash={commit}"
        asv(config, "run", *here, *options(timings, more))


def options(timings: list[Timing], more: bool) -> list[str]:
    kept = "--append-samples" if more else "--record-samples"
    return [
        kept,
        *(f"--attribute={each}" for each in HOW),
        *(f"--bench={timing.pattern}" for timing in timings),
    ]


def largest(benchmark: dict) -> list[Timing]:
    """Return a benchmark at the largest of its sizes; of kinds, which are words, at each."""
    chosen = [
        values if values[0].startswith("'") else [v for v in values if v not in TOO_LONG][-1:]
        for values in benchmark["params"]
    ]
    return [
        Timing(benchmark["name"], benchmark["version"], benchmark["param_names"], values)
        for values in itertools.product(*chosen)
    ]


def discover(config: Path, *where: str) -> list[dict]:
    """Return what asv knows of each benchmark of time."""
    asv(config, "run", *where, "--bench=just-discover")
    found = json.loads((config.parent / ".asv/results/benchmarks.json").read_text())
    return [each for each in found.values() if isinstance(each, dict) and each["type"] == "time"]


def table_of(config: Path, commits: dict[str, str], timings: list[Timing]) -> pd.DataFrame:
    """Return the seconds of each benchmark on each commit, and how the newest compares."""
    index = pd.MultiIndex.from_tuples([(each.name, each.size) for each in timings], names=INDEX)
    seconds = pd.DataFrame(index=index, columns=list(commits.values()), dtype=float)
    for result in iter_results(str(config.parent / ".asv/results")):
        if result.commit_hash in commits:
            column = commits[result.commit_hash]
            seconds[column] = [timing.in_seconds(result) for timing in timings]
    ratio = seconds.iloc[:, -1] / seconds.iloc[:, :-1].min(axis=1)
    return seconds.assign(ratio=ratio, slower=(ratio > SLOWER).map({True: "yes", False: ""}))


def small_suite(folder: Path) -> Path:
    """Copy one file of benchmarks to a folder, so that all else of asv's lands there, too."""
    config = load_json(str(BENCHMARKS / "asv.conf.json"), js_comments=True)
    (folder / "benchmarks").mkdir()
    for name in ("__init__.py", "datasets.py"):
        shutil.copy(BENCHMARKS / "benchmarks" / name, folder / "benchmarks")
    path = folder / "asv.conf.json"
    path.write_text(json.dumps({**config, "repo": str(ROOT), "branches": ["HEAD"]}))
    return path


def history(config: Path, commits: dict[str, str], bench: str, *, smallest: bool) -> pd.DataFrame:
    """Time all benchmarks that match ``bench`` on all commits, those that look slower twice."""
    timed = run_here if smallest else run
    asv(config, "machine", "--yes")
    found = discover(config, *(["--python=same"] if smallest else []))
    timings = [t for each in found if re.search(bench, each["name"]) for t in largest(each)]
    timed(config, list(commits), timings)
    slower = table_of(config, commits, timings)["slower"] == "yes"
    if again := list(itertools.compress(timings, slower)):
        timed(config, list(commits), again, more=True)
    return table_of(config, commits, timings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revisions", nargs="*", help="git revisions; else the last commits")
    parser.add_argument("--commits", type=int, default=5, help="how many of the last ones")
    parser.add_argument("--bench", default="", help="regular expression of benchmarks' names")
    parser.add_argument("--smallest", action="store_true", help="one benchmark, as installed here")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    commits = last_commits(args.revisions, 2 if args.smallest else args.commits)
    with tempfile.TemporaryDirectory() as scratch:
        config = small_suite(Path(scratch)) if args.smallest else BENCHMARKS / "asv.conf.json"
        table = history(config, commits, args.bench, smallest=args.smallest)
    args.output.mkdir(parents=True, exist_ok=True)
    table.to_csv(args.output / "asv_history.csv", float_format="%.3g")
    print(table.to_string(float_format="{:.3g}".format, na_rep=""))


if __name__ == "__main__":
    main()
