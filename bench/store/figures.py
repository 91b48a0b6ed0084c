"""What `./dev bench store` and `./dev bench scale` measured: kept in docs/benchmarks/store.json, shown by docs/benchmarks.md as tables and
by docs/benchmarks/store.svg as lines over the number of records. A figure is a number, or [p50, p99] in milliseconds.

    figures.py        writes page and plot anew from what is kept
"""
import datetime
import json
import os
import pathlib
import platform
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/benchmarks.md"
KEPT = ROOT / "docs/benchmarks/store.json"
PLOT = ROOT / "docs/benchmarks/store.svg"
ENGINES = ["portbook", "ClickHouse", "DuckDB"]

# Title of a plot, its figures, and which of (p50, p99) is drawn; None for plain numbers.
PLOTS = [
    ("load of JSON lines, records/s", ["load of JSON lines, records/s"], None),
    ("native batches, records/s", ["load of native batches from one source, records/s"], None),
    ("bytes a record, with indexes", ["bytes a record, with indexes"], None),
    ("who at a moment, covered, p99 ms", ["who at a moment: closed", "in-process, warm: who, a client's port, covered"], 1),
    ("who, external port, p99 ms", ["who at a moment: external", "in-process, warm: who, an external port, covered"], 1),
    ("first 100 records of an endpoint, p99 ms", ["first 100 records of an endpoint, any time"], 1),
    ("count + sum by program, p50 ms", ["count + sum by program"], 0),
    ("one user, per second, p50 ms", ["one user, per second"], 0),
    ("destinations of a port, p50 ms", ["destinations of a port"], 0),
]


def machine():
    model = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return f"{model.group(1) if model else platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"


def quantiles(milliseconds):
    ordered = sorted(milliseconds)
    return [round(ordered[len(ordered) // 2], 3), round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 3)]


def run_of(command, engine, version, records, figures, load_average):
    return {"command": command, "engine": engine, "version": version, "records": records, "date": datetime.date.today().isoformat(), "machine": machine(),
            "load average at the end": round(load_average, 1), "figures": figures}


def kept():
    return json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else []


def keep(runs):
    """Adds the runs; one of the same command, engine and number of records is replaced."""
    def same(run):
        return (run["command"], run["engine"], run["records"])

    replaced = {same(run) for run in runs}
    everything = [run for run in kept() if same(run) not in replaced] + runs
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(sorted(everything, key=same), indent=1) + "\n", encoding="utf-8")
    write_page()


def cell(figure):
    if isinstance(figure, list):
        return f"{figure[0]:,.2f} / {figure[1]:,.2f}"
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:,.2f}"


def table(runs):
    """One column a run, one row a figure."""
    rows = list(dict.fromkeys(name for run in runs for name in run["figures"]))
    heads = [f"{run['engine']} {run['version']}" if len({run['records'] for run in runs}) == 1 else f"{run['records']:,} records" for run in runs]
    lines = ["| | " + " | ".join(heads) + " |", "|---|" + "---|" * len(runs)]
    for row in rows:
        lines.append(f"| {row} | " + " | ".join(cell(run["figures"][row]) if row in run["figures"] else "–" for run in runs) + " |")
    return lines


def said(runs):
    first = runs[0]
    loads = ", ".join(str(run["load average at the end"]) for run in runs)
    return f"{first['date']}, {first['machine']}; load average at the end {loads}. Two figures are p50 / p99 in milliseconds."


def tables(runs):
    lines = []
    stores = [run for run in runs if run["command"] == "store"]
    for records in sorted({run["records"] for run in stores}):
        of_size = sorted((run for run in stores if run["records"] == records), key=lambda run: ENGINES.index(run["engine"]))
        lines += [f"`./dev bench store {records}`: {said(of_size)}", "", *table(of_size), ""]
    scale = sorted((run for run in runs if run["command"] == "scale"), key=lambda run: run["records"])
    if scale:
        lines += ["`./dev bench scale " + " ".join(str(run["records"]) for run in scale) + f"`: portbook {scale[0]['version']} alone, by the number of records; {said(scale)}", "",
                  *table(scale), ""]
    return lines


def write_page():
    """Replaces what stands between the section's marks, and the plot."""
    page = PAGE.read_text(encoding="utf-8")
    begin, end = "<!-- store: begin -->\n", "<!-- store: end -->"
    head, _, rest = page.partition(begin)
    _, mark, tail = rest.partition(end)
    if not mark:
        raise SystemExit(f"{PAGE} has no section between {begin.strip()} and {end}")
    runs = kept()
    PAGE.write_text(head + begin + "\n".join(tables(runs)) + "![The same figures over the number of records](benchmarks/store.svg)\n" + end + tail, encoding="utf-8")
    draw(runs)


def draw(runs):
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "portbook"  # the same figures give the same file
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(3, 3, figsize=(13, 10), layout="constrained")
    for axes, (title, names, quantile) in zip(grid.flat, PLOTS):
        for engine, colour in zip(ENGINES, ("#1b6ac9", "#d98a00", "#6b6b6b")):
            for name, style in zip(names, ("o-", "o:")):
                points = sorted({run["records"]: run["figures"][name] for run in runs if run["engine"] == engine and name in run["figures"]}.items())
                if points:
                    drawn = [figure if quantile is None else figure[quantile] for _, figure in points]
                    axes.plot([records for records, _ in points], drawn, style, color=colour, label=engine + (", in-process" if "in-process" in name else ""))
        axes.set_title(title, fontsize=10)
        axes.set_xscale("log")
        if "bytes" not in title:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.set_xlabel("records", fontsize=8)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=7)
    figure.savefig(PLOT, metadata={"Date": None})


if __name__ == "__main__":
    write_page()
