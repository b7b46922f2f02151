#!/usr/bin/env bash
# hydra-core 1.4.0rc3 (omegaconf 2.4.1rc1): a class on the execution whitelist, by the name that a config gives it, is built and then
# refused if its instances are callable and it is defined in another module than the one that it is imported from, as all of torch.nn.
# Expected: what the whitelist names may be built (as it is for a class whose instances aren't callable), or is refused before it runs.
# Seen: the constructor runs, then InstantiationException: "Target 'shop.impl.Model' is not in the Hydra execution whitelist".
# Exits with 1 once this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --target "$folder" hydra-core==1.4.0rc3 omegaconf==2.4.1rc1
mkdir "$folder/shop"
cat > "$folder/shop/__init__.py" <<'PYTHON'
from shop.impl import Model, Plain
PYTHON
cat > "$folder/shop/impl.py" <<'PYTHON'
class Plain:
    pass


class Model:
    def __init__(self):
        print("the constructor has run")

    def __call__(self):
        return 0
PYTHON
PYTHONPATH=$folder python3 - <<'PYTHON'
import sys

from hydra.errors import InstantiationException
from hydra.utils import instantiate

instantiate({"_target_": "shop.Plain"}, _execution_whitelist_=["shop.Plain"])
try:
    instantiate({"_target_": "shop.Model"}, _execution_whitelist_=["shop.Model"])
except InstantiationException as error:
    print("as seen before:", str(error).splitlines()[0])
    sys.exit(0 if "'shop.impl.Model'" in str(error) else 1)
print("changed: it is built")
sys.exit(1)
PYTHON
