import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

# The child of a process that has run a sweep; and one whose parent has not.
FORKED = """
import os, sys
from toymodels import sweep
from toymodels.errors import UserError

def run():
    times = sweep.Program(lambda data, seed: (seed, {}), lambda data, seed, x: {"y": seed * x})
    sweep.grid(lambda: times, shared={"seed": [1]}, points={"x": [2.0]},
               variables={"y": ((), "1", "")})

if sys.argv[1] == "after":
    run()
child = os.fork()
if child == 0:
    try:
        run()
    except UserError as error:
        print(error, flush=True)
        os._exit(2)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def fork(moment):
    command = [sys.executable, "-W", "ignore::RuntimeWarning", "-c", FORKED, moment]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_sweep_in_a_forked_process_is_refused_where_it_would_wait_for_ever():
    done = fork("after")
    assert done.returncode == 2, done.stderr
    assert done.stdout.startswith("this process was forked from one that uses JAX")


def test_a_sweep_in_a_process_forked_before_any_runs():
    assert fork("before").returncode == 0
