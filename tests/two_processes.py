"""Scripts and training runs on two processes of one machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hammerlib.runs import RunRecord

# The file that users launch with. Without MPI, accelerate starts several processes on a CPU only by the way
# it takes for GPUs (torchrun).
DDP = Path(__file__).resolve().parents[1] / "launch" / "ddp.yaml"
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(DDP)]
LAUNCH += ["--num_processes", "2", "--mixed_precision", "no", "--main_process_port", "0"]  # 0: any free port


def _ended(command: list[str], **environment: str) -> str:
    """What a command printed; a failed one shows how it ended."""
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def run_on_two(script: str, *words: str, **environment: str) -> str:
    """Run a script on two processes; return what they print."""
    return _ended([*LAUNCH, script, *words], **environment)


def trained_on_two(config: Path, **environment: str) -> RunRecord:
    """Train what a file names on two processes."""
    module = ["-m", "hammerlib.training.launch", "--config", str(config)]
    return RunRecord.load(_ended([*LAUNCH, *module], **environment).split()[-1])
