"""Cross-validates a classifier of tables: one fold is one step, so a stopped job goes on with the next fold."""

from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold

from mnist_resnet.jobs.function_task import Run
from mnist_resnet.jobs.read_config import ReadConfig


def cross_validate(config: ReadConfig, run: Run, folds: int) -> None:
    """Report the mean accuracy and log loss over the folds so far, on the part that each fold holds out."""
    table, labels = load_breast_cancer(return_X_y=True)
    splits = list(StratifiedKFold(folds, shuffle=True, random_state=run.seed).split(table, labels))
    model = config.model.build(random_state=run.seed)
    scores = run.resume() or []
    for fold in range(len(scores), folds):
        train, held_out = splits[fold]
        fitted = clone(model).fit(table[train], labels[train])
        loss = log_loss(labels[held_out], fitted.predict_proba(table[held_out]))
        scores.append((float(fitted.score(table[held_out], labels[held_out])), float(loss)))
        accuracies, losses = zip(*scores, strict=True)
        run.report(fold, {"accuracy": sum(accuracies) / len(scores), "log_loss": sum(losses) / len(scores)})
        run.save(scores)
