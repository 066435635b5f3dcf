"""A stand-in for Slurm's commands, as far as they are used: elements are processes, one at a time.

Started under the name of a command; $STUB_SLURM is its folder. What it is asked it writes to `calls` there.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

FOLDER = Path(os.environ["STUB_SLURM"])
JOB = "77"


def sbatch(words: list[str]) -> int:
    if "--test-only" in words:
        script = sys.stdin.read()
        if "--partition=nowhere" in script:
            print("sbatch: error: invalid partition specified: nowhere", file=sys.stderr)
            return 1
        return 0
    (FOLDER / "running").touch()
    nowhere = subprocess.DEVNULL  # whoever called must not wait for the end of all elements
    command = [sys.executable, __file__, "elements", words[-1]]
    subprocess.Popen(command, start_new_session=True, stdin=nowhere, stdout=nowhere, stderr=nowhere)
    print(JOB)
    return 0


def elements(words: list[str]) -> int:
    """Run the elements of a script, again as long as they ask for it."""
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=(.*)$", Path(words[0]).read_text(), flags=re.M))
    options = {name: shlex.split(value)[0] for name, value in options.items()}
    for task in options["array"].partition("%")[0].split(","):
        restarts, again = 0, FOLDER / f"requeued-{JOB}_{task}"
        while restarts == 0 or again.exists():
            again.unlink(missing_ok=True)
            told = {"SLURM_ARRAY_TASK_ID": task, "SLURM_JOB_ID": f"{JOB}_{task}", "SLURM_CPUS_ON_NODE": "1"}
            if (FOLDER / "broken").exists():  # the node has no Python, say
                log = Path(options["output"].replace("%a", task).replace("%%", "%"))
                log.write_text("slurmstepd: error: no \x1b[31mpython here\n\n")
                break
            with open(options["output"].replace("%a", task).replace("%%", "%"), "ab") as log:
                process = subprocess.Popen(["bash", words[0]], env={**os.environ, **told}, stdout=log, stderr=log)
                (FOLDER / "pid").write_text(str(process.pid))
                (FOLDER / f"code-{task}").write_text(str(process.wait()))
            restarts += 1
    (FOLDER / "running").unlink()
    return 0


def scontrol(words: list[str]) -> int:
    if words[0] == "show":
        state = FOLDER / "state"
        print(f"JobId={words[-1]} JobState={state.read_text() if state.exists() else 'RUNNING'} Reason=None")
    else:
        (FOLDER / f"requeued-{words[-1]}").touch()
    return 0


def squeue(words: list[str]) -> int:
    if not (FOLDER / "running").exists():
        print("slurm_load_jobs error: Invalid job id specified", file=sys.stderr)
        return 1
    print("RUNNING")
    return 0


if __name__ == "__main__":
    name, given = Path(sys.argv[0]).name, sys.argv[1:]
    if given[:1] == ["elements"]:
        name, given = given[0], given[1:]
    with open(FOLDER / "calls", "a", encoding="utf-8") as calls:
        calls.write(shlex.join([name, *given]) + "\n")
    sys.exit({"sbatch": sbatch, "scontrol": scontrol, "squeue": squeue, "elements": elements}[name](given))
