"""The statistical methods that a report uses, and a paragraph on them for a paper."""

from collections.abc import Collection, Sequence
from enum import Enum

from mnist_resnet.comparing.statistics import FEW_RUNS
from mnist_resnet.comparing.transform import scale_text
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


class Method(Enum):
    """A method, in the order of the paragraph: its sentence, and the names of its references."""

    EFFECTS = ("Effects are mean differences between runs paired by seed and by the levels of all other factors.",)
    TESTED_EFFECTS = (
        "They are tested by paired t tests with Holm's correction within each table; the absence of a relevant "
        "difference by two one-sided tests.",
        "Holm",
        "Schuirmann",
    )
    TESTED_CELLS = (
        "Agreement between the levels of other factors is tested by a repeated-measures analysis of variance with the "
        "correction of Greenhouse and Geisser.",
        "Greenhouse",
    )
    VARIANCE = (
        "Shares of variance are partial omega squared from an analysis of variance with seeds as blocks and type II "
        "sums of squares, with intervals from the noncentral F distribution.",
        "Olejnik",
    )
    SOURCES = (
        "Sources of randomness were varied one at a time; standard deviations have intervals from the chi-square "
        "distribution.",
        "Bouthillier",
    )
    SHARES = (
        "Their shares of the variance of runs in which all sources differ have intervals from the F distribution.",
    )
    SEQUENTIAL = (
        "The number of seeds was not fixed beforehand: seeds were added until the interval of the mean was narrow "
        "enough, each look spending an equal part of the error of 5 %, which are added up.",
        "Lan",
    )
    CLAIMS = (
        "Published figures were compared with the 95 % prediction interval for one further run (figures published as a "
        "maximum: with the best epoch of as many further runs as ours, one-sided), with Holm's correction for the "
        "number of figures.",
        "Holm",
    )
    COMPARISONS = (
        "Claims without a figure were decided by paired t tests of the measure given, with Holm's correction for the "
        "number of such claims.",
        "Holm",
    )
    AGGREGATES = (
        "Results on several data sets are aggregated by the interquartile mean and the probability of improvement.",
        "Agarwal",
    )
    BOOTSTRAP = ("Their intervals are stratified bootstrap intervals.",)
    SEARCH = (
        "The outcome of the search is reported as the expected best value of its objective by the number of trials.",
        "Dodge",
    )
    SWEEPS = (
        "Sweeps were compared by the mean difference of each seed between jobs that are otherwise alike (paired t).",
    )
    TWO_NETWORKS = (
        "Two networks were compared image by image by McNemar's test with mid-p values.",
        "McNemar",
    )
    TWO_GROUPS = (
        "Two groups of runs were compared by the share of runs that classify each image correctly (Welch's t test, "
        "with each run as one observation).",
    )

    def __init__(self, sentence: str, *cited: str) -> None:
        self.sentence, self.cited = sentence, cited


def methods_paragraphs(methods: Collection[Method], metric: Metric, runs: Sequence[int]) -> list[str]:
    """Return the paragraph and its references; empty if the report tests nothing and has no intervals.

    Args:
        methods: what the report's sections use.
        metric: the metric that is compared.
        runs: number of completed runs of each config.
    """
    used = [method for method in Method if method in methods]
    said = [*_on_intervals(metric, runs), *(method.sentence for method in used)]
    references = dict.fromkeys(name for method in used for name in method.cited)
    return [" ".join(said), *(REFERENCES[name] for name in references)] if said else []


def _on_intervals(metric: Metric, runs: Sequence[int]) -> list[str]:
    """Return what is said of the intervals of means; nothing if no config has two runs."""
    repeated = [count for count in runs if count > 1]
    if not repeated:
        return []
    counts = f"{max(runs)}" if min(runs) == max(runs) else f"{min(runs)} to {max(runs)}"
    scale = scale_text(metric)
    taken = f", taken{scale} by the delta method" if scale else ""
    lines = [
        f"Each configuration was completed with {counts} seeds. Intervals of means are 95 % Student t intervals over "
        f"seeds around the arithmetic mean{taken}; they hold for the given test set."
    ]
    few = "With so few runs they rest on the assumption of normally distributed runs."
    return [*lines, few] if min(repeated) <= FEW_RUNS else lines
