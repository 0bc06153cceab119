"""Stands in for a cell's process: what the row's label asks for, at once and without torch."""

import json
import os
import signal
import sys
import time
from pathlib import Path

request = json.loads(sys.stdin.readline())
keys = request["keys"]
Path(f"pid-{keys['seed']}").write_text(str(os.getpid()))
Path(f"started-{keys['seed']}-{keys['BEHAVIOUR']}").write_text(
    os.environ.get("OMP_NUM_THREADS", "")
)
match keys["BEHAVIOUR"]:
    case "crash":
        raise MemoryError("no room")
    case "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    case "refuse":
        answer = {"status": "failed", "kind": "user", "reason": "cannot take the data"}
    case "sleep":
        time.sleep(60)
        sys.exit(1)
    case _:
        answer = {"status": "done", "run_dir": keys["RUN_DIR"]}
sys.stdout.write(json.dumps(answer))
