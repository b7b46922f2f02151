"""Report section on claims without a figure."""

from collections.abc import Sequence

import pandas as pd

from mnist_resnet.comparing.comparisons import DECIDED_BY_P, Answer
from mnist_resnet.comparing.measures import MEASURES
from mnist_resnet.comparing.methods import Method
from mnist_resnet.comparing.report import ABSENT, Section
from mnist_resnet.config.levels import level_text


def comparisons_section(answers: Sequence[Answer]) -> Section | None:
    """Return claims without a figure, each with the measure that decides it; None if there are none."""
    if not answers:
        return None
    images = ", for these test images" if any(answer.comparison.measure in MEASURES for answer in answers) else ""
    lines = [
        "Paired by seed and by the other factors' levels; 95 % interval of the difference over seeds (paired "
        f"t){images}. p values are corrected for the number of these claims (Holm)."
    ]
    lines += [
        f"{answer.comparison.question} “{answer.comparison.words}”: {answer.finding} ({answer.reason})."
        for answer in answers
    ]
    methods = [Method.COMPARISONS] if any(answer.finding in DECIDED_BY_P for answer in answers) else []
    return Section("Claims without a figure", lines, pd.DataFrame(map(_answer_row, answers), dtype=object), methods)


def _answer_row(answer: Answer) -> dict[str, str]:
    claim = answer.comparison
    sides = ((claim.better, answer.better), (claim.worse, answer.worse))
    means = [f"{level_text(level)}: {_number_text(side.mean)} (n = {side.n})" for level, side in sides]
    effect = answer.effect
    has_interval = effect is not None and effect.low == effect.low
    return {
        "question": claim.question,
        "measure": answer.measure.description,
        "claimed better": means[0],
        "claimed worse": means[1],
        "difference": f"{effect.mean:+.4g}" if effect and effect.seeds else ABSENT,
        "95 % interval": f"{effect.low:+.4g} to {effect.high:+.4g}" if effect and has_interval else ABSENT,
        "finding": str(answer.finding),
    }


def _number_text(value: float) -> str:
    return ABSENT if value != value else f"{value:.4g}"
