#!/usr/bin/env bash
# hydra-core 1.4.0rc3: a file that ends in .yml, such as another tool's, in a folder of configs ends --help, completions and glob() sweeps.
# Expected: it is no config and is left out, as with Hydra 1.3; the new error ("must use the '.yaml' extension") is for one that is chosen.
# Seen: ConfigLoadError with a traceback, which names neither the file nor the folder, although nobody chose the file.
# Exits with 1 once this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --target "$folder/packages" hydra-core==1.4.0rc3 omegaconf==2.4.1rc1
mkdir -p "$folder/conf/db"
echo 'defaults: [{db: mysql}]' > "$folder/conf/config.yaml"
echo 'port: 3306' > "$folder/conf/db/mysql.yaml"
echo 'services: {}' > "$folder/conf/db/docker-compose.yml"
cat > "$folder/app.py" <<'PYTHON'
import hydra


@hydra.main(config_path="conf", config_name="config", execution_whitelist=())
def app(config):
    print("ran with port", config.db.port)


app()
PYTHON
cd "$folder"
PYTHONPATH=$folder/packages python3 app.py "hydra.run.dir=$folder/out" | grep "ran with port 3306"
if PYTHONPATH=$folder/packages python3 app.py --help > out.txt 2>&1; then
    echo "changed: --help works"
    exit 1
fi
grep "Unsupported config file extension '.yml'" out.txt
if grep "docker-compose" out.txt; then
    echo "changed: the message names the file"
    exit 1
fi
echo "as seen before"
