#!/usr/bin/env bash
# omegaconf 2.4.1rc1: a config with a tuple, as Python code gives betas to an optimiser, no longer equals what is loaded from its own file.
# Expected: OmegaConf.load(what OmegaConf.save wrote) == config, as with 2.3.1, so that a run can tell whether its stored config is its own;
# or that save keeps the type, or says that it can't.
# Seen: save writes a list, without a word, load makes a ListConfig of it, and that is never equal to the TupleConfig.
# Exits with 1 once this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --target "$folder/old" omegaconf==2.3.1
python3 -m pip install --quiet --target "$folder/new" omegaconf==2.4.1rc1
cat > "$folder/compare.py" <<'PYTHON'
from omegaconf import OmegaConf

config = OmegaConf.create({"lr": 0.001, "betas": (0.9, 0.999)})
OmegaConf.save(config, "config.yaml")
loaded = OmegaConf.load("config.yaml")
print(type(config.betas).__name__, type(loaded.betas).__name__, loaded == config)
PYTHON
cd "$folder"
before=$(PYTHONPATH=$folder/old python3 compare.py)
now=$(PYTHONPATH=$folder/new python3 compare.py)
echo "2.3.1: $before; 2.4.1rc1: $now"
[ "$before" = "ListConfig ListConfig True" ]
[ "$now" = "TupleConfig ListConfig False" ]
echo "as seen before"
