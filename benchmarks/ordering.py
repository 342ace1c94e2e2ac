"""Gap, time and memory of solvers for the path of least summed cosine, each in a process of its own.

    pip install --no-deps elkai==2.0.1 fast-tsp==0.2.2 ortools==9.15.6755 absl-py immutabledict protobuf \\
        python-tsp==0.5.0 tsplib95==0.7.1 deprecated
    hammer embed file:$HAMMER_DATA/gsm8k_train.jsonl --backbone smollm2-135m --out states.safetensors
    python benchmarks/ordering.py --states states.safetensors [--sizes 1000 7000 17000 40000] [--kinds ...]
    python benchmarks/ordering.py --threads 1 2 [--rounds 3] [--sizes ...] [--large]

With `--threads`, rounds in turn on each number of threads: the certified path beside the matrix greedy, its
cost by n (with `--large` up to 300,000), and small instances beside LKH (`pip install --no-deps elkai==2.0.1`
into an environment of your own; without it that part is left out). They write `ordering-threads.md`.

Four kinds of instance: `states` (SmolLM2 hidden states of GSM8K's training problems, as many as there are),
`clusters` (anisotropic, synthetic), `isotropic` (synthetic), `tfidf` (TF-IDF and SVD of all problems in
HAMMER_DATA). Every solver gets the vectors and returns a permutation; what it needs beyond (a matrix of
costs, candidate lists) counts as its time and memory. Compilation is done before the clock starts. The gap is
(cost - bound) / (random - bound) with the best bound that any solver of this run certified.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from hammerlib.ordering.greedy import greedy_path
from hammerlib.ordering.order import normalised_gap
from hammerlib.ordering.solve import min_path
from hammerlib.ordering.warm import compile_solver
from hammerlib.similarity import edge_cosines, mean_cosine, unit_rows

Answer = tuple[np.ndarray, float | None]  # permutation, and a certified bound on the sum of its cosines
SCALE = 1_000_000  # integer solvers: a cosine of 1e-6 is one unit
RIVAL_SECONDS = 20
PATIENCE = 100  # seconds that a rival gets


def matrix_greedy(rows: np.ndarray) -> Answer:
    """T0: the whole matrix of cosines, then the least similar unvisited item, in plain numpy."""
    costs, taken = rows @ rows.T, np.zeros(len(rows), np.float32)
    order = [int((rows @ rows.mean(axis=0)).argmin())]
    taken[order[0]] = 9.0
    for _ in range(len(rows) - 1):
        order.append(int((costs[order[-1]] + taken).argmin()))
        taken[order[-1]] = 9.0
    return np.array(order), None


def ours(gap: float | None) -> Callable[[np.ndarray], Answer]:
    """min-path up to a wished gap; None is one exact pass."""

    def solve(rows: np.ndarray) -> Answer:
        path = min_path(rows, gap=gap)
        return path.permutation, path.lower_bound

    return solve


def integer_costs(rows: np.ndarray) -> np.ndarray:
    """Costs of a tour through a dummy node that is as far from everything, as whole numbers."""
    costs = np.zeros((len(rows) + 1, len(rows) + 1), np.int64)
    costs[:-1, :-1] = np.rint((rows @ rows.T + 1) * SCALE)
    np.fill_diagonal(costs, 0)
    return costs


def from_dummy(tour: list[int], n: int) -> Answer:
    """Turn a tour into the path that begins after the dummy."""
    tour = [node for node in tour[: n + 1]]
    at = tour.index(n)
    return np.array(tour[at + 1 :] + tour[:at]), None


def elkai(rows: np.ndarray) -> Answer:
    """LKH 3, one run."""
    from elkai import DistanceMatrix

    return from_dummy(DistanceMatrix(integer_costs(rows).tolist()).solve_tsp(runs=1), len(rows))


def fast_tsp(rows: np.ndarray) -> Answer:
    """fast-tsp (Or-opt local search), for a fixed time."""
    import fast_tsp

    costs = (integer_costs(rows) // 40).tolist()  # it takes 16-bit costs
    return from_dummy(fast_tsp.find_tour(costs, duration_seconds=RIVAL_SECONDS), len(rows))


def ortools(rows: np.ndarray) -> Answer:
    """OR-tools routing with guided local search, for a fixed time."""
    from ortools.constraint_solver import pywrapcp, routing_enums_pb2

    costs, n = integer_costs(rows), len(rows)
    manager = pywrapcp.RoutingIndexManager(n + 1, 1, n)
    routing = pywrapcp.RoutingModel(manager)
    routing.SetArcCostEvaluatorOfAllVehicles(routing.RegisterTransitMatrix(costs.tolist()))
    wished = pywrapcp.DefaultRoutingSearchParameters()
    wished.first_solution_strategy = routing_enums_pb2.FirstSolutionStrategy.PATH_CHEAPEST_ARC
    wished.local_search_metaheuristic = routing_enums_pb2.LocalSearchMetaheuristic.GUIDED_LOCAL_SEARCH
    wished.time_limit.seconds = RIVAL_SECONDS
    found, at, tour = routing.SolveWithParameters(wished), routing.Start(0), []
    while not routing.IsEnd(at):
        tour.append(manager.IndexToNode(at))
        at = found.Value(routing.NextVar(at))
    return from_dummy(tour, n)


def python_tsp(rows: np.ndarray) -> Answer:
    """python-tsp's local search, for a fixed time."""
    from python_tsp.heuristics import solve_tsp_local_search

    tour, _ = solve_tsp_local_search(integer_costs(rows), max_processing_time=RIVAL_SECONDS)
    return from_dummy(tour, len(rows))


# Solver, and the largest n that its memory or patience allows here.
SOLVERS: dict[str, tuple[Callable[[np.ndarray], Answer], int]] = {
    "matrix greedy (T0)": (matrix_greedy, 17_500),
    "greedy without matrix": (lambda rows: (greedy_path(rows), None), 20_000),
    "ours, one exact pass": (ours(None), 10**9),
    "ours, gap 0.1 %": (ours(1e-3), 10**9),
    "ours, gap 0.03 %": (ours(3e-4), 10_000),
    "ours, gap 0.02 %": (ours(2e-4), 2000),
    "elkai (LKH)": (elkai, 1000),
    "fast-tsp": (fast_tsp, 1000),
    "ortools": (ortools, 1000),
    "python-tsp": (python_tsp, 1000),
}


def clusters(n: int, d: int = 1024) -> np.ndarray:
    """Sixty unequal clusters with falling spectra around a common direction."""
    rng = np.random.default_rng(0)
    falling = np.arange(1, d + 1) ** -0.6
    falling /= np.sqrt((falling**2).sum())
    sizes = 1 / np.arange(1, 61)
    label, common = rng.choice(60, n, p=sizes / sizes.sum()), 1.6 * rng.normal(size=d) / d**0.5
    centres, noise = rng.normal(size=(60, d)) * falling * 0.55, rng.normal(size=(n, d)) * falling * 0.75
    return common + centres[label] + noise


def tfidf(n: int) -> np.ndarray:
    """TF-IDF and SVD (512) of the distinct texts of all problem files in HAMMER_DATA, in random sequence."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    from hammerlib import load_problems

    folder = Path(os.environ["HAMMER_DATA"])
    files = sorted(path for path in folder.iterdir() if path.suffix in (".jsonl", ".json", ".parquet"))
    texts = list(dict.fromkeys(text for path in files for text in load_problems(f"file:{path}")["prompt"]))
    sparse = TfidfVectorizer(sublinear_tf=True, min_df=2, max_features=40_000).fit_transform(texts)
    rows = TruncatedSVD(512, random_state=0).fit_transform(sparse)
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    return rows[np.linalg.norm(rows, axis=1) > 1e-6][:n]


def states(n: int, file: Path) -> np.ndarray:
    """The first n rows of what `hammer embed` wrote."""
    from hammerlib.models.embeddings import Embeddings

    return (np.load(file) if file.suffix == ".npy" else Embeddings.load(file).vectors)[:n]


def measure(name: str, file: str, out: str) -> None:
    """Run one solver in this process, and write what it cost."""
    rows = np.load(file)
    solver = SOLVERS[name][0]
    if name.startswith("ours"):
        compile_solver()
        solver(unit_rows(np.random.default_rng(0).normal(size=(2100, 130)).astype(np.float32)))
    before = resource.getrusage(resource.RUSAGE_SELF)
    since, peak = time.monotonic(), _peak_reset()
    order, bound = solver(rows)
    after = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "seconds": time.monotonic() - since,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "extra_mb": _peak() - peak,
        "total": float(edge_cosines(rows, order).sum()),
        "bound": bound,
        "valid": sorted(order.tolist()) == list(range(len(rows))),
    }
    Path(out).write_text(json.dumps(told))


def _peak_reset() -> float:
    """Let the kernel forget the peak so far; return what is resident now, in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def runs(kinds: list[str], sizes: list[int], file: Path | None) -> Iterator[dict[str, object]]:
    """Yield one result for each instance and solver."""
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds:
            for n in sizes:
                make = {"clusters": clusters, "tfidf": tfidf, "states": lambda n: states(n, file)}
                rows = make.get(kind, lambda n: np.random.default_rng(0).normal(size=(n, 384)))(n)
                if len(rows) < 0.8 * n:
                    print(f"{kind}: {len(rows)} rows, no {n}", flush=True)
                    continue
                rows = unit_rows(rows.astype(np.float32))
                np.save(Path(folder) / "rows.npy", rows)
                yield from _instance(kind, rows, Path(folder))


def in_process(
    name: str, folder: Path, patience: float | None, threads: int | None = None
) -> tuple[dict[str, object] | None, str]:
    """Return what one solver cost in a process of its own, or None and why there is nothing to tell."""
    words = [sys.executable, __file__, "--one", name, str(folder / "rows.npy"), str(folder / "out")]
    limits = {"HAMMER_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)} if threads else {}
    options = {"check": False, "capture_output": True, "text": True, "env": os.environ | limits}
    try:
        ended = subprocess.run(words, timeout=patience, **options)
    except subprocess.TimeoutExpired:
        return None, f"not done after {patience} s"
    if ended.returncode:
        return None, f"failed, {ended.stderr.strip().splitlines()[-1:]}"
    told = json.loads((folder / "out").read_text())
    assert told.pop("valid"), name
    return told, ""


def _instance(kind: str, rows: np.ndarray, folder: Path) -> list[dict[str, object]]:
    results, n = [], len(rows)
    for name, (_, largest) in SOLVERS.items():
        if n <= largest:
            told, failure = in_process(name, folder, None if largest > 2000 else PATIENCE)
            if told is None:
                print(f"{kind} {n} {name}: {failure}", flush=True)
                continue
            results.append({"kind": kind, "n": n, "d": rows.shape[1], "solver": name, **told})
            print(f"{kind} {n} {name}: {told['seconds']:.1f} s", flush=True)
    bound = max(row["bound"] for row in results if row["bound"] is not None) / (n - 1)
    for row in results:
        row["gap"] = normalised_gap(row["total"] / (n - 1), bound, mean_cosine(rows))
        own = row.pop("bound")
        row["certified"] = own and normalised_gap(row["total"] / (n - 1), own / (n - 1), mean_cosine(rows))
    return results


def table(results: list[dict[str, object]]) -> str:
    """Return the results as a Markdown table."""
    lines = [
        "# Path solvers: gap, time and memory",
        "",
        "Written by `python benchmarks/ordering.py`, whose head says what is compared and how; one run, one",
        "thread a solver. Gap: (cost - bound) / (random - bound), in per cent, with the best bound that any",
        "of the solvers certified for these vectors; certified: with the solver's own bound.",
        "",
        "| vectors | n | d | solver | gap % | certified % | seconds | CPU seconds | extra MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in results:
        own = "" if row["certified"] is None else f"{100 * row['certified']:.3f}"
        lines.append(
            f"| {row['kind']} | {row['n']} | {row['d']} | {row['solver']} | {100 * row['gap']:.3f} | {own} "
            f"| {row['seconds']:.2f} | {row['cpu_seconds']:.2f} | {row['extra_mb']:.0f} |"
        )
    return "\n".join(lines) + "\n"


BESIDE_GREEDY = (17_398, 1152)  # items of DAPO-Math, width of three joined layers of a small model
WIDTH = 576  # of SmolLM2-135M
BY_SIZE = (2000, 5000, 10_000, 20_000, 40_000)
LARGE = (100_000, 300_000)
LAW_FROM = 5000  # items: below, what does not grow with n squared counts as well
SMALL = (("isotropic", 500, 384), ("isotropic", 1000, 384), ("clusters", 500, 1024), ("clusters", 1000, 1024))
GREEDY, CERTIFIED, TIGHT, LKH = "matrix greedy (T0)", "ours, gap 0.1 %", "ours, gap 0.02 %", "elkai (LKH)"
LKH_PATIENCE = 900
MEASURED = ("seconds", "cpu_seconds", "extra_mb")


def by_threads(threads: list[int], rounds: int, sizes: list[int], *, alone: bool) -> list[dict[str, object]]:
    """Run every solver of the three parts, or of the sizes `alone`, in turn, on each number of threads."""
    parts = [] if alone else [("beside greedy", "clusters", *BESIDE_GREEDY, [GREEDY, CERTIFIED], threads)]
    for n in sizes:
        parts.append(
            ("by size", "clusters", n, WIDTH, [CERTIFIED], threads if n <= 100_000 else threads[-1:])
        )
    if not alone and find_spec("elkai"):
        parts += [("beside LKH", *small, [TIGHT, LKH], [1]) for small in SMALL]
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, kind, n, d, solvers, numbers in parts:
            rows = clusters(n, d) if kind == "clusters" else np.random.default_rng(0).normal(size=(n, d))
            rows = unit_rows(rows.astype(np.float32))
            random = mean_cosine(rows)
            np.save(folder / "rows.npy", rows)
            for number in range(rounds if n <= 40_000 else 1):
                for solver, count in itertools.product(solvers, numbers):
                    if solver == LKH and number:
                        continue  # minutes, and the same tour every time
                    patience = LKH_PATIENCE if solver == LKH else None
                    told, failure = in_process(solver, folder, patience, count)
                    if told is None:
                        print(f"{part} {n} {solver}: {failure}", flush=True)
                        continue
                    told |= {"random": random * (n - 1), "round": number, "threads": count, "solver": solver}
                    results.append({"part": part, "kind": kind, "n": n, "d": d, **told})
                    print(f"{part} {n} {solver}, {count}: {told['seconds']:.2f} s", flush=True)
    return results


def _medians(results: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return one row for each instance, solver and number of threads."""
    groups: dict[tuple, list[dict[str, object]]] = {}
    for row in results:
        group = tuple(row[key] for key in ("part", "kind", "n", "d", "solver", "threads"))
        groups.setdefault(group, []).append(row)
    return [
        {
            **group[0],
            **{key: float(np.median([row[key] for row in group])) for key in MEASURED},
            "rounds": len(group),
        }
        for group in groups.values()
    ]


def threads_table(results: list[dict[str, object]], setting: dict[str, object]) -> str:
    """Return the three parts in Markdown, with the law of cost that the second one follows."""
    rows, load, cores = _medians(results), setting["load"], setting["cores"]
    busy = max(load) > 1.5 * cores
    read = "it was busy with other work, read CPU seconds" if busy else "it was quiet"
    names = ("part", "vectors", "n", "d", "solver", "threads", "rounds")
    columns = (*names, "seconds", "CPU seconds", "to greedy", "certified %", "extra MB")
    lines = [
        "# The path solver on several threads",
        "",
        f"Written by `{setting['command']}`",
        f"at commit {setting['commit'][:10]}; seeds 0; medians of rounds in turn; each run is a process",
        "of its own; extra MB are above the vectors. Load of the machine at the beginning and the end:",
        f"{load[0]:.1f} and {load[1]:.1f} on {cores} cores: {read}.",
        "",
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
    ]
    greedy = {row["threads"]: row for row in rows if row["solver"] == GREEDY}
    for row in rows:
        ratio = gap = ""
        if row["part"] == "beside greedy" and row["threads"] in greedy:
            base = greedy[row["threads"]]
            wall, cpu = (row[key] / base[key] for key in ("seconds", "cpu_seconds"))
            ratio = f"{wall:.2f} (CPU {cpu:.2f})"
        if row["bound"] is not None:
            gap = f"{100 * (row['total'] - row['bound']) / (row['random'] - row['bound']):.4f}"
        lines.append(
            f"| {row['part']} | {row['kind']} | {row['n']} | {row['d']} | {row['solver']} | {row['threads']} "
            f"| {row['rounds']} | {row['seconds']:.2f} | {row['cpu_seconds']:.2f} | {ratio} | {gap} "
            f"| {row['extra_mb']:.0f} |"
        )
    return "\n".join([*lines, "", *_laws(rows, busy), *_beside_lkh(rows), _sameness(results)]) + "\n"


def _laws(rows: list[dict[str, object]], busy: bool) -> list[str]:
    """Cost as a power of n; in wall seconds only where nothing else ran."""
    units = {"cpu_seconds": "CPU seconds"} if busy else {"seconds": "seconds", "cpu_seconds": "CPU seconds"}
    lines = []
    for count in sorted({row["threads"] for row in rows}):
        points = [row for row in rows if row["part"] == "by size" and row["threads"] == count]
        points = [row for row in points if row["n"] >= LAW_FROM]
        if len(points) > 2:
            sizes = [row["n"] for row in points]
            for key, unit in units.items():
                slope, level = np.polyfit(np.log(sizes), np.log([row[key] for row in points]), 1)
                at = np.exp(level + slope * np.log(1e4))
                lines.append(
                    f"- {count} thread(s): {unit} = {at:.2f} (n / 10,000)^{slope:.2f}, fitted from n = "
                    f"{min(sizes):,} to {max(sizes):,}."
                )
    return lines


def _beside_lkh(rows: list[dict[str, object]]) -> list[str]:
    lines = []
    for row in (row for row in rows if row["solver"] == TIGHT):
        for other in rows:
            if other["solver"] == LKH and (other["kind"], other["n"]) == (row["kind"], row["n"]):
                over = 100 * (row["total"] - other["total"]) / (row["random"] - row["bound"])
                share = row["cpu_seconds"] / other["cpu_seconds"]
                lines.append(
                    f"- {row['kind']}, n = {row['n']}: {over:+.4f} % of what can be gained over LKH's path, "
                    f"in {share:.3f} of its CPU time."
                )
    return lines


def _sameness(results: list[dict[str, object]]) -> str:
    instances: dict[tuple, set[tuple]] = {}
    for row in results:
        if row["bound"] is not None:
            instance = tuple(row[key] for key in ("kind", "n", "d", "solver"))
            instances.setdefault(instance, set()).add((row["total"], row["bound"]))
    same = "the same" if all(len(found) == 1 for found in instances.values()) else "NOT the same"
    return f"- Cost and bound were {same} in all rounds and on all numbers of threads."


def figure(results: list[dict[str, object]], path: Path) -> None:
    """Draw gap against time, one panel an n."""
    import matplotlib.pyplot as plt

    named = {1000: "1,000", 7000: "7,000", 17_000: "17,000", 40_000: "34,000 to 40,000"}
    sizes = sorted({min(named, key=lambda size: abs(size - row["n"])) for row in results})
    _, panels = plt.subplots(
        1, len(sizes), figsize=(3.2 * len(sizes), 4), sharex=True, sharey=True, squeeze=False
    )
    marks = dict(zip(("states", "clusters", "isotropic", "tfidf"), "osD^", strict=True))
    colours = {name: f"C{place}" for place, name in enumerate(SOLVERS)}
    for panel, n in zip(panels[0], sizes, strict=True):
        for row in results:
            if min(named, key=lambda size: abs(size - row["n"])) == n:
                panel.plot(row["seconds"], 100 * row["gap"], marks[row["kind"]], color=colours[row["solver"]])
        panel.set(xscale="log", yscale="log", title=f"n = {named[n]}", xlabel="wall seconds, one thread")
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("gap to the best certified bound, % of random's")
    for name, colour in colours.items():
        panels[0][-1].plot([], [], "o", color=colour, label=name)
    for kind, mark in marks.items():
        panels[0][-1].plot([], [], mark, color="grey", label=kind)
    panels[0][-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    plt.savefig(path, bbox_inches="tight")


def compare_threads(chosen: argparse.Namespace) -> None:
    """Measure on several numbers of threads, and write table and numbers."""
    began = os.getloadavg()[0]
    sizes = chosen.sizes or [*BY_SIZE, *(LARGE if chosen.large else ())]
    earlier = {"results": []}
    if chosen.add:
        earlier = json.loads((chosen.out / "ordering-threads.json").read_text())
    results = earlier["results"] + by_threads(chosen.threads, chosen.rounds, sizes, alone=chosen.add)
    asked = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    words = ["--threads", *map(str, chosen.threads), "--rounds", str(chosen.rounds)]
    if chosen.sizes:
        words += ["--sizes", *map(str, chosen.sizes)]
    elif chosen.large:
        words.append("--large")
    words += ["--add"] if chosen.add else []
    command = " ".join(["python benchmarks/ordering.py", *words])
    setting = {
        "command": f"{earlier['command']}` and `{command}" if chosen.add else command,
        "commit": commit,
        "load": [max([began, *earlier.get("load", [])]), os.getloadavg()[0]],
        "cores": os.cpu_count(),
    }
    chosen.out.mkdir(parents=True, exist_ok=True)
    found = json.dumps(setting | {"results": results}, indent=1)
    (chosen.out / "ordering-threads.json").write_text(found + "\n")
    (chosen.out / "ordering-threads.md").write_text(threads_table(results, setting))


def main() -> None:
    """Run everything that was asked for, and write table, figure and numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=["states", "clusters", "isotropic", "tfidf"])
    parser.add_argument("--sizes", nargs="+", type=int, help="numbers of items")
    parser.add_argument("--states", type=Path, help="what `hammer embed` wrote; without it no such instance")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    parser.add_argument("--threads", nargs="+", type=int, help="numbers of threads to compare")
    parser.add_argument("--rounds", type=int, default=3, help="with --threads")
    parser.add_argument("--large", action="store_true", help="with --threads: up to 300,000 items")
    parser.add_argument("--add", action="store_true", help="with --threads: sizes, added to the record")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        return measure(*chosen.one)
    if chosen.threads:
        return compare_threads(chosen)
    kinds = [kind for kind in chosen.kinds if kind != "states" or chosen.states]
    results = list(runs(kinds, chosen.sizes or [1000, 7000, 17_000, 40_000], chosen.states))
    chosen.out.mkdir(parents=True, exist_ok=True)
    told = {"threads": os.environ.get("OMP_NUM_THREADS", "all"), "cores": os.cpu_count(), "results": results}
    (chosen.out / "ordering.json").write_text(json.dumps(told, indent=1) + "\n")
    (chosen.out / "ordering.md").write_text(table(results))
    figure(results, chosen.out / "ordering.svg")
    return None


if __name__ == "__main__":
    main()
