#!/usr/bin/env bash
# optuna 5.0.0: a study in a journal file whose last record was cut off, as by a kill or a full disk in mid-write, is lost for good
# once two further trials were tried.
# Expected: the part of a record is passed over or cut off, and the study goes on; or it is refused before anything is added.
# Seen: it loads, without a word. The next trial's record is appended to the part of a line, and the trial ends with
# "AttributeError: 'JournalStorageReplayResult' object has no attribute '_last_created_trial_id_by_this_process'". The one after that
# puts a record behind that line; from then on nobody can load the study, nor read the three trials that were complete: JSONDecodeError.
# Exits with 1 once this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --target "$folder/packages" optuna==5.0.0
cat > "$folder/study.py" <<'PYTHON'
import json
import sys

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

optuna.logging.set_verbosity(optuna.logging.ERROR)
try:
    storage = JournalStorage(JournalFileBackend("journal.log"))
    is_new = not storage.get_all_studies()
    study = (optuna.create_study if is_new else optuna.load_study)(study_name="s", storage=storage)
    print("loaded", len(study.trials), "trials")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=int(sys.argv[1]))
    print("done")
except (AttributeError, json.JSONDecodeError) as error:
    print(type(error).__name__)
PYTHON
cd "$folder"
run() { PYTHONPATH=$folder/packages python3 study.py "$1"; }
{
    run 3
    python3 -c "
content = open('journal.log', 'rb').read()
open('journal.log', 'ab').write(content.splitlines()[-1][:20])"
    run 1
    run 1
    run 0
} > out.txt
cat > expected.txt <<'TEXT'
loaded 0 trials
done
loaded 3 trials
AttributeError
loaded 3 trials
JSONDecodeError
JSONDecodeError
TEXT
diff expected.txt out.txt
echo "as seen before"
