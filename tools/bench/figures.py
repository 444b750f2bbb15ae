# SPDX-License-Identifier: MIT
"""What a benchmark has measured, as JSON: made, written, read and judged here.

    {
     "benchmark": "span", "date": "2026-01-31T12:00Z", "revision": "1a2b3c4",
     "environment": {"cpu", "cores", "kernel", "system", "compiler", "libc"}, "quick": false,
     "results": [{"workload", "subject", "metric", "unit", "median", "p10", "p90", "runs"}],
     "goals": [{"goal", "limit", "value", "met"}]
    }

A result is the median of its runs; p10 and p90 are of the runs too, or, where lowest_median and
highest_median tell how the runs differ, of the single operations within them. Results may carry
more, such as p999. A workload, subject, metric and build name one result of a file.
"""
import datetime
import json
import os
import platform
import re
import subprocess
import sys

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
BUILD = os.path.join(TOP, os.environ.get("BUILD", "build"))

# What a file and a result must have.
FILE_MEMBERS = {"benchmark": str, "date": str, "revision": str, "environment": dict, "results": list}
RESULT_MEMBERS = {"workload": str, "subject": str, "metric": str, "unit": str,
                  "median": (int, float, type(None)), "p10": (int, float, type(None)),
                  "p90": (int, float, type(None)), "runs": int}

# Subjects that are this project's; what only shows how far one could get is nobody's peer.
OURS = ("pagespan", "span map")
YARDSTICKS = ("ideal bump",)

# Metrics of which more is better, and those that are neither good nor bad.
MORE_IS_BETTER = ("occupancy sustained", "free pages in whole megablocks")
NEUTRAL = ("refusals audited",)

# Bench-span's workload of so many spans of so many pages.
BURST = re.compile(r"burst, ([0-9]+) x ([0-9]+) pages")


def fail(message):
    """Ends the program: 2, as what was asked for cannot be done."""
    print(f"{os.path.basename(sys.argv[0])}: {message}", file=sys.stderr)
    sys.exit(2)


def quick():
    return os.environ.get("BENCH_QUICK", "0") not in ("", "0")


# ---- making ----

def first_line(*command):
    try:
        output = subprocess.run(command, capture_output=True, text=True, cwd=TOP, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return output.split("\n")[0]


def cpu():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"^model name\s*: (.*)", file.read(), re.MULTILINE)
    return found.group(1) if found else platform.machine()


def system():
    with open("/etc/os-release", encoding="utf-8") as file:
        found = re.search(r'^PRETTY_NAME="?([^"\n]*)', file.read(), re.MULTILINE)
    return found.group(1) if found else "unknown"


def header(**environment):
    """All of a file but its name and what was measured; the arguments say where it differs from here."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%MZ"),
        "revision": first_line("git", "describe", "--always", "--dirty"),
        "environment": {
            "cpu": cpu(),
            "cores": len(os.sched_getaffinity(0)),
            "kernel": platform.release(),
            "system": system(),
            "compiler": first_line("gcc", "--version"),
            "libc": first_line("ldd", "--version"),
            **environment,
        },
        "quick": quick(),
    }


def rank(values, share):
    return sorted(values)[round((len(values) - 1) * share)]


def result(workload, subject, metric, unit, values):
    return {"workload": workload, "subject": subject, "metric": metric, "unit": unit,
            "median": rank(values, 0.5), "p10": rank(values, 0.1), "p90": rank(values, 0.9),
            "runs": len(values)}


def write(path, benchmark, results, goals=(), **environment):
    file = {"benchmark": benchmark, **header(**environment), "results": results, "goals": list(goals)}
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8") as stream:
        json.dump(file, stream, indent=1)
        stream.write("\n")
    os.replace(path + ".new", path)


# ---- reading ----

def check_members(what, members, path):
    for name, kind in members.items():
        if name not in what:
            fail(f"{path}: no '{name}' in {json.dumps(what)[:120]}")
        if not isinstance(what[name], kind) or isinstance(what[name], bool):
            fail(f"{path}: '{name}' cannot be {json.dumps(what[name])[:40]}")


def load(path):
    try:
        with open(path, encoding="utf-8") as stream:
            file = json.load(stream)
    except (OSError, ValueError) as error:
        fail(f"{path}: {error}")
    if not isinstance(file, dict):
        fail(f"{path}: not the report of a benchmark")
    check_members(file, FILE_MEMBERS, path)
    seen = set()
    for entry in file["results"]:
        if not isinstance(entry, dict):
            fail(f"{path}: a result that is no object")
        check_members(entry, RESULT_MEMBERS, path)
        if key(entry) in seen:
            fail(f"{path}: twice: {name(entry)}")
        seen.add(key(entry))
    return file


def key(entry):
    return entry["workload"], entry["subject"], entry["metric"], entry.get("build")


def name(entry):
    return ", ".join(part for part in key(entry) if part)


def is_ours(subject):
    return subject.startswith(OURS)


def is_deterministic(entry):
    """Whether it is counted, so that two runs of the same code give the same."""
    return entry["unit"].startswith("instructions")


def interval(entry):
    """Where the runs were; None if one run does not tell."""
    if "lowest_median" in entry:
        return entry["lowest_median"], entry["highest_median"]
    if entry["runs"] > 1 or is_deterministic(entry):
        return entry["p10"], entry["p90"]
    return None


def best_peer(entries):
    """Of results of the same thing, the best that is not ours; None if there is none."""
    peers = [entry for entry in entries if entry["median"] is not None and not is_ours(entry["subject"]) and
             entry["subject"] not in YARDSTICKS]
    choose = max if entries[0]["metric"] in MORE_IS_BETTER else min
    return choose(peers, key=lambda entry: entry["median"], default=None)


def ratio(ours, peer):
    """As text, empty where there is nothing to compare."""
    if peer is None or ours["median"] is None or ours["metric"] in NEUTRAL:
        return ""
    if not peer["median"]:
        return "1" if not ours["median"] else "-"
    return f"{ours['median'] / peer['median']:.3g}"


def figure(value):
    """A number as people read it: three digits, and thousands apart."""
    if value is None:
        return "-"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"
