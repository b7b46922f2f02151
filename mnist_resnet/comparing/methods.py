"""A paragraph on methods for a paper, written from what a report really contains."""

from collections.abc import Sequence
from dataclasses import dataclass

from mnist_resnet.comparing.further_sections import scale_text
from mnist_resnet.comparing.report import ABSENT, Section
from mnist_resnet.comparing.sections import EQUAL_CELLS, ONE_BY_ONE
from mnist_resnet.comparing.statistics import FEW_RUNS
from mnist_resnet.config.metric import Metric

REFERENCES = {
    "Holm": "S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statistics 6 (1979) 65.",
    "Schuirmann": "D. J. Schuirmann, A comparison of the two one-sided tests procedure and the power approach, "
    "J. Pharmacokinetics and Biopharmaceutics 15 (1987) 657.",
    "Greenhouse": "S. W. Greenhouse, S. Geisser, On methods in the analysis of profile data, "
    "Psychometrika 24 (1959) 95.",
    "Olejnik": "S. Olejnik, J. Algina, Generalized eta and omega squared statistics, Psych. Methods 8 (2003) 434.",
    "Agarwal": "R. Agarwal et al., Deep reinforcement learning at the edge of the statistical precipice, NeurIPS 2021.",
    "Bouthillier": "X. Bouthillier et al., Accounting for variance in machine learning benchmarks, MLSys 2021.",
    "Dodge": "J. Dodge et al., Show your work: improved reporting of experimental results, EMNLP 2019.",
    "Lan": "K. K. G. Lan, D. L. DeMets, Discrete sequential boundaries for clinical trials, Biometrika 70 (1983) 659.",
    "McNemar": "Q. McNemar, Note on the sampling error of the difference between correlated proportions or "
    "percentages, Psychometrika 12 (1947) 153.",
}
"""Works to cite, by first author."""

EFFECTS = "Effects are mean differences between runs paired by seed and by the levels of all other factors."
TESTED_EFFECTS = (
    "They are tested by paired t tests with Holm's correction within each table; the absence of a relevant difference "
    "by two one-sided tests."
)
TESTED_CELLS = (
    "Agreement between the levels of other factors is tested by a repeated-measures analysis of variance with the "
    "correction of Greenhouse and Geisser."
)
VARIANCE = (
    "Shares of variance are partial omega squared from an analysis of variance with seeds as blocks and type II sums "
    "of squares, with intervals from the noncentral F distribution."
)
SOURCES = (
    "Sources of randomness were varied one at a time; standard deviations have intervals from the chi-square "
    "distribution."
)
SHARES = "Their shares of the variance of runs in which all sources differ have intervals from the F distribution."
SEQUENTIAL = (
    "The number of seeds was not fixed beforehand: seeds were added until the interval of the mean was narrow enough, "
    "each look spending an equal part of the error of 5 %, which are added up."
)
CLAIMS = (
    "Published figures were compared with the 95 % prediction interval for one further run (figures published as a "
    "maximum: with the best epoch of as many further runs as ours, one-sided), with Holm's correction for the number "
    "of figures."
)
COMPARISONS = (
    "Claims without a figure were decided by paired t tests of the measure given, with Holm's correction for the "
    "number of such claims."
)
AGGREGATES = "Results on several data sets are aggregated by the interquartile mean and the probability of improvement."
BOOTSTRAP = "Their intervals are stratified bootstrap intervals."
SEARCH = "The outcome of the search is reported as the expected best value of its objective by the number of trials."
SWEEPS = "Sweeps were compared by the mean difference of each seed between jobs that are otherwise alike (paired t)."
TWO_NETWORKS = "Two networks were compared image by image by McNemar's test with mid-p values."
TWO_GROUPS = (
    "Two groups of runs were compared by the share of runs that classify each image correctly (Welch's t test, with "
    "each run as one observation)."
)


@dataclass(frozen=True)
class Sentence:
    """A sentence on a method, and where a report shows that it was used: a column with a value, or words of a line.

    Attributes:
        title: part of the titles of the sections concerned.
        text: the sentence.
        cited: names of its references.
        column: the column.
        words: the words.
    """

    title: str
    text: str
    cited: tuple[str, ...] = ()
    column: str = ""
    words: str = ""

    def holds(self, sections: Sequence[Section]) -> bool:
        """Return whether the report has such a value or line."""
        found = [section for section in sections if self.title in section.title]
        if self.column:
            return any((part.table[self.column] != ABSENT).any() for part in found if self.column in part.table)
        return any(self.words in line for part in found for line in part.lines)


EFFECT_TABLES = ("Effects", ONE_BY_ONE)
"""Titles of the sections on effects."""

SENTENCES = (
    *(Sentence(title, EFFECTS, column="effect") for title in EFFECT_TABLES),
    *(Sentence(title, TESTED_EFFECTS, ("Holm", "Schuirmann"), column="p") for title in EFFECT_TABLES),
    Sentence("Effects", TESTED_CELLS, ("Greenhouse",), column="cells differ, p"),
    Sentence("Effects", TESTED_CELLS, ("Greenhouse",), words=f"{EQUAL_CELLS}p"),
    Sentence("Analysis of variance", VARIANCE, ("Olejnik",), column="F"),
    Sentence("Variance by source", SOURCES, ("Bouthillier",), column="sd"),
    Sentence("Variance by source", SHARES, column="its 95 % interval"),
    Sentence("Seeds until", SEQUENTIAL, ("Lan",), column="corrected 95 % interval"),
    Sentence("Claims", CLAIMS, ("Holm",), column="corrected p"),
    Sentence("Claims without a figure", COMPARISONS, ("Holm",), words="corrected p ="),
    Sentence("Claims without a figure", COMPARISONS, ("Holm",), words="no difference larger than"),
    Sentence("Aggregates", AGGREGATES, ("Agarwal",), column="interquartile mean"),
    Sentence("Aggregates", BOOTSTRAP, column="95 % interval"),
    Sentence("Expected best", SEARCH, ("Dodge",), column="expected best"),
    Sentence("side by side", SWEEPS, words="95 % interval"),
    Sentence("Image by image", TWO_NETWORKS, ("McNemar",), words="McNemar"),
    Sentence("Image by image", TWO_GROUPS, words="Welch"),
)
"""In the order of the paragraph."""


def methods_paragraphs(sections: Sequence[Section], metric: Metric, runs: Sequence[int]) -> list[str]:
    """Return the paragraph and its references; empty if the report tests nothing and has no intervals.

    Args:
        sections: the report's sections.
        metric: the metric that is compared.
        runs: number of completed runs of each config.
    """
    said = dict.fromkeys(_on_intervals(metric, runs))
    used = [sentence for sentence in SENTENCES if sentence.holds(sections)]
    said |= dict.fromkeys(sentence.text for sentence in used)
    references = dict.fromkeys(name for sentence in used for name in sentence.cited)
    return [" ".join(said), *(REFERENCES[name] for name in references)] if said else []


def _on_intervals(metric: Metric, runs: Sequence[int]) -> list[str]:
    """Return what is said of the intervals of means; nothing if no config has two runs."""
    repeated = [count for count in runs if count > 1]
    if not repeated:
        return []
    counts = f"{max(runs)}" if min(runs) == max(runs) else f"{min(runs)} to {max(runs)}"
    scale = scale_text(metric) or " on the metric itself"
    lines = [
        f"Each configuration was completed with {counts} seeds. Intervals of means are 95 % Student t intervals over "
        f"seeds, taken{scale} and transformed back; they hold for the given test set."
    ]
    few = "With so few runs they rest on the assumption of normally distributed runs."
    return [*lines, few] if min(repeated) <= FEW_RUNS else lines
