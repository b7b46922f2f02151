#!/usr/bin/env bash
# wandb 0.31.0: an offline run that is killed (kill -9, out of memory, a job's time limit) in its first seconds leaves no data at all.
# Expected: what was logged some seconds before the kill is in the run's file, which is written for `wandb sync` to find after a crash.
# Seen: after 20 lines in 5 s the file has its 7 bytes of header: no history, no config, not even the run. Records wait up to 15 s in
# memory (the private setting x_transaction_log_flush_interval), so that a longer run loses its last seconds likewise.
# Exits with 1 once this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --target "$folder/packages" wandb==0.31.0
cat > "$folder/run.py" <<'PYTHON'
import os
import signal
import sys
import time

import wandb

settings = wandb.Settings(silent=True, console="off", **dict(setting.split("=") for setting in sys.argv[2:]))
run = wandb.init(project="p", dir=sys.argv[1], config={"lr": 0.1}, settings=settings)
for step in range(20):
    run.log({"loss": 1 / (step + 1)})
    time.sleep(0.25)
os.kill(os.getpid(), signal.SIGKILL)
PYTHON
cd "$folder"
export PYTHONPATH=$folder/packages WANDB_MODE=offline WANDB_ERROR_REPORTING=false
size() { # of the file of a run that is killed, in bytes
    mkdir "$1"
    python3 run.py "$@" >> out.txt 2>&1 || true
    sleep 2
    stat --format %s "$1"/wandb/offline-run-*/run-*.wandb
}
usual=$(size usual)
flushed=$(size flushed x_transaction_log_flush_interval=1)
echo "bytes on disk: $usual; with a flush every second: $flushed"
[ "$usual" -eq 7 ]
[ "$flushed" -gt 1000 ]
echo "as seen before"
