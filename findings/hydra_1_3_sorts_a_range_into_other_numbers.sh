#!/usr/bin/env bash
# hydra-core 1.3.8: a sweep over sort(range(…), reverse=true) runs numbers that are not in the range.
# Expected: sort(range(32,100,32),reverse=true) sweeps 96, 64, 32 (so it does in 1.4.0rc3): the range's numbers, in descending order.
# Seen: 68, 36, 4. The range is turned round by its ends, as range(100, 32, -32) shifted by one step, and not sorted.
# Exits with 1 once this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --target "$folder/packages" hydra-core==1.3.8 omegaconf==2.3.1
cat > "$folder/app.py" <<'PYTHON'
import hydra


@hydra.main(version_base="1.3", config_path=None, config_name=None)
def app(config):
    print("width", config.width)


app()
PYTHON
cd "$folder"
sweep() {
    PYTHONPATH=$folder/packages python3 app.py -m "+width=$1" "hydra.sweep.dir=$folder/out" | grep '^width' | paste -sd, -
}
[ "$(sweep 'range(32,100,32)')" = "width 32,width 64,width 96" ]
[ "$(sweep 'sort(32,64,96,reverse=true)')" = "width 96,width 64,width 32" ]
seen=$(sweep 'sort(range(32,100,32),reverse=true)')
echo "$seen"
[ "$seen" = "width 68,width 36,width 4" ]
echo "as seen before"
