"""``setup/bench``: the table of figures, for this checkout or another queue_job."""

import json
import os
import platform
import subprocess
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

from . import odoo_source, progress
from .bench_postgres import Lab
from .bench_rows import ROWS, Bench
from .bootstrap import REPO
from .errors import SetupError

BENCH_FOLDER = REPO / "setup" / "bench_addon"
SAVED = (REPO / "setup" / "BENCHMARK.md", REPO / "README.md")
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def main(options, cache):
    """Measure and print; return 0 when every aim that was measured is reached."""
    if "list" in options.only:
        print("\n".join("%-8s %s" % (row, getattr(Bench, row).__doc__) for row in ROWS))
        return 0
    unknown = sorted(set(options.only) - set(ROWS))
    if unknown:
        raise SetupError("No such row: %s." % ", ".join(unknown), "Try --only list.")
    with make_lab(cache, options) as lab:
        bench = Bench(lab, options)
        about = describe(lab)
        try:
            for row in ROWS:
                if not options.only or row in options.only:
                    progress.say("==> %s" % row)
                    getattr(bench, row)()
                    _show(figure for figure in bench.figures if figure.row == row)
        finally:
            bench.close()
    return _report(options, about, bench)


def make_lab(cache, options, **settings):
    """Return a lab with the queue_job that the options name."""
    source = odoo_source.locate(cache, options.odoo)
    extra = [Path(path).expanduser().absolute() for path in options.addons_path]
    own = [] if any((path / "queue_job").is_dir() for path in extra) else [REPO]
    return Lab(cache, source, [*extra, *own, BENCH_FOLDER], options.pg_bin, **settings)


def describe(lab):
    """Return what the figures belong to."""
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(lab.addons_paths[0]),
        "postgresql": lab.binaries.version,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


def _commit(folder):
    """Return the commit of a folder, marked when files differ from it."""

    def git(*args):
        done = subprocess.run(
            ["git", "-C", folder, *args], capture_output=True, text=True
        )
        return done.stdout.strip() if not done.returncode else ""

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "queue_job")
    return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")


def _report(options, about, bench):
    figures = bench.figures
    text = table(figures)
    document = {
        **about,
        "load_after": round(os.getloadavg()[0], 1),
        "figures": [asdict(figure) for figure in figures],
        "details": bench.details,
    }
    as_json = json.dumps(document, indent=2)
    if options.json == "-":
        print(as_json)
    else:
        print("\n" + ", ".join("%s %s" % pair for pair in about.items()))
        print(text)
        if options.json:
            Path(options.json).write_text(as_json + "\n")
    if options.save:
        save(about, text)
    return 1 if any(figure.reached is False for figure in figures) else 0


def _show(figures):
    for figure in figures:
        progress.say("    %-55s %s" % (figure.what, figure.shown))


def table(figures):
    """Return the figures as a table that Markdown shows too."""
    rows = [("what", "OCA", "aim", "this", "reached")]
    words = {None: "", True: "yes", False: "NO"}
    rows += [(f.what, f.oca, f.aim, f.shown, words[f.reached]) for f in figures]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| %s |"
        % " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    lines.insert(1, "|%s|" % "|".join("-" * (width + 2) for width in widths))
    return "\n".join(lines)


def save(about, text):
    """Put the table into the files that show it, between its marks."""
    facts = "; ".join("%s: %s" % pair for pair in about.items())
    for path in SAVED:
        head, rest = path.read_text().split(BEGIN)
        tail = rest.split(END)[1]
        path.write_text("%s%s\n%s\n\n%s\n%s%s" % (head, BEGIN, facts, text, END, tail))
