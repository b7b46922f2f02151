"""A paragraph on methods for a paper, written from what a report really contains."""

from collections.abc import Sequence

from mnist_resnet.comparing.further_sections import scale_text
from mnist_resnet.comparing.report import Section
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

EFFECTS = (
    "Effects are mean differences between runs paired by seed and by the levels of all other factors. They are tested "
    "by paired t tests with Holm's correction within each table; the absence of a relevant difference by two one-sided "
    "tests; agreement between the levels of other factors by a repeated-measures analysis of variance with the "
    "correction of Greenhouse and Geisser."
)
VARIANCE = (
    "Shares of variance are partial omega squared from an analysis of variance with seeds as blocks and type II sums "
    "of squares, with intervals from the noncentral F distribution."
)
SOURCES = (
    "Sources of randomness were varied one at a time; standard deviations have intervals from the chi-square "
    "distribution, their shares of the variance of runs in which all sources differ from the F distribution."
)
SEQUENTIAL = (
    "The number of seeds was not fixed beforehand: seeds were added until the interval of the mean was narrow enough, "
    "each look spending an equal part of the error of 5 %, which are added up."
)
CLAIMS = "A published figure was compared with the 95 % prediction interval for one further run."
AGGREGATES = (
    "Results on several data sets are aggregated by the interquartile mean and the probability of improvement, with "
    "stratified bootstrap intervals."
)
SEARCH = "The outcome of the search is reported as the expected best value of its objective by the number of trials."
IMAGES = (
    "Two networks are compared image by image by McNemar's test with mid-p values, two groups of runs by Welch's t "
    "test with each run as one observation."
)


def methods_paragraphs(sections: Sequence[Section], metric: Metric, runs: Sequence[int]) -> list[str]:
    """Return the paragraph and its references; empty if the report tests nothing and has no intervals.

    Args:
        sections: the report's sections.
        metric: the metric that is compared.
        runs: number of completed runs of each config.
    """
    # a section of lines alone says why there is no result, but for a test of two sides
    titles = " ".join(part.title for part in sections if len(part.table) or part.title.startswith("Image"))
    repeated = max(runs, default=0) > 1
    said: dict[str, tuple[str, ...]] = {}
    if repeated:
        counts = f"{max(runs)}" if min(runs) == max(runs) else f"{min(runs)} to {max(runs)}"
        scale = scale_text(metric) or " on the metric itself"
        said[
            f"Each configuration was run with {counts} seeds. Intervals of means are 95 % Student t intervals over "
            f"seeds, taken{scale} and transformed back; they hold for the given test set."
        ] = ()
    if repeated and min(runs) <= FEW_RUNS:
        said["With so few runs they rest on the assumption of normally distributed runs."] = ()
    if repeated and ("Effects" in titles or "change" in titles):
        said[EFFECTS] = ("Holm", "Schuirmann", "Greenhouse")
    found: tuple[tuple[str, str, tuple[str, ...]], ...] = (
        ("Analysis of variance", VARIANCE, ("Olejnik",)),
        ("Variance by source", SOURCES, ("Bouthillier",)),
        ("Seeds until", SEQUENTIAL, ("Lan",)),
        ("Claims", CLAIMS, ()),
        ("Aggregates", AGGREGATES, ("Agarwal",)),
        ("Expected best", SEARCH, ("Dodge",)),
        ("Image by image", IMAGES, ("McNemar",)),
    )
    said |= {sentence: cited for word, sentence, cited in found if word in titles}
    references = dict.fromkeys(name for cited in said.values() for name in cited)
    return [" ".join(said), *(REFERENCES[name] for name in references)] if said else []
