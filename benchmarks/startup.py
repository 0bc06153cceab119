"""How long the commands take to start, beside ``import torch``.

    python benchmarks/startup.py [--repetitions=7]

Each line is the median over processes that are started in turn, so that other work on the machine
slows all of them alike: CPU seconds (of all threads, user and system) and wall seconds. A run's
imports are all modules that ``recbole-edt run --model=LLMEDT`` has imported when training begins.
"""

import os
import statistics
import subprocess
import sys
import time

from recbole_edt.cli.arguments import ArgumentParser

TORCH = "import torch"
DOCTOR = "from recbole_edt.cli import main; main(['doctor'])"
HELP = "from recbole_edt.cli import main; main(['--help'])"
RUN = (
    "import recbole_edt.cli, recbole_edt.quick_start, recbole_edt.config.edt_config as c;"
    "c.EDTConfig('LLMEDT', 'ml-100k-genres')"
)
# What torch itself imports when an optimizer takes its first step, in any program that trains.
STEP = (
    "import torch; p = torch.nn.Parameter(torch.ones(1)); o = torch.optim.Adam([p]);"
    "p.sum().backward(); o.step()"
)
ROWS = (
    ("import torch", TORCH, None),
    ("recbole-edt --help", HELP, None),
    ("recbole-edt doctor", DOCTOR, 1.3),
    ("a run's imports", RUN, 2.0),
    ("import torch and one step", STEP, None),
)


def seconds_of(code: str) -> tuple[float, float]:
    """Return the CPU and wall seconds of a fresh Python process that runs `code`."""
    before, begun = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - begun, os.times()
    cpu = (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )
    return cpu, wall


def main() -> None:
    """Run from the command line."""
    parser = ArgumentParser(prog="startup.py", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=7)
    repetitions = parser.parse_args().repetitions
    for _, code, _ in ROWS:  # fills the caches of the file system and of compiled modules
        seconds_of(code)
    times = {name: [] for name, _, _ in ROWS}
    for _ in range(repetitions):
        for name, code, _ in ROWS:
            times[name].append(seconds_of(code))
    medians = {name: [statistics.median(t) for t in zip(*each, strict=True)]
               for name, each in times.items()}  # fmt: skip
    base = medians[ROWS[0][0]]
    print(f"{'median of ' + str(repetitions):28}   CPU s  ratio  wall s  ratio  expected")
    for name, _, most in ROWS:
        cpu, wall = medians[name]
        expected = "" if most is None else f"at most {most}"
        print(
            f"{name:28}  {cpu:6.2f}  {cpu / base[0]:5.2f}  {wall:6.2f}  {wall / base[1]:5.2f}"
            f"  {expected}"
        )


if __name__ == "__main__":
    main()
