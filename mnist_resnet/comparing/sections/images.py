"""Report section that compares two networks, or two groups of runs, image by image."""

from mnist_resnet.comparing.mcnemar import GroupsResult, McNemarResult
from mnist_resnet.comparing.methods import Method
from mnist_resnet.comparing.report import Section


def image_section(first: str, second: str, result: McNemarResult | GroupsResult) -> Section:
    """Return the test of two networks, or of two groups of runs, on the same test images."""
    if isinstance(result, GroupsResult):
        methods = [Method.TWO_GROUPS] if result.p == result.p else []
        return Section("Image by image", _groups_lines(first, second, result), methods=methods)
    return Section("Image by image", _networks_lines(first, second, result), methods=[Method.TWO_NETWORKS])


def _networks_lines(first: str, second: str, result: McNemarResult) -> list[str]:
    return [
        f"Of {result.images} test images, {result.only_first} are classified correctly by {first} alone and "
        f"{result.only_second} by {second} alone; both are right on {result.both_right} and wrong on "
        f"{result.both_wrong}.",
        f"McNemar's test of equal error rates (mid-p): p = {_small_p_text(result.p)}. It compares these two trained "
        "networks on images of this kind and does not predict the result with other seeds.",
    ]


def _groups_lines(first: str, second: str, result: GroupsResult) -> list[str]:
    runs = " and ".join(f"{count} run{'s' * (count != 1)}" for count in result.runs)
    test = (
        "all runs of a side make equally many mistakes, which leaves nothing to judge by"
        if result.p != result.p
        else f"p = {_small_p_text(result.p)} for equal shares, with each run as one observation (Welch's t test)"
    )
    return [
        f"Of {result.images} test images, {result.first_more} are classified correctly by a larger share of the runs "
        f"of {first}, and {result.second_more} by a larger share of those of {second} ({runs}).",
        f"Mean share of right runs: {100 * result.first_share:.2f} % and {100 * result.second_share:.2f} %; {test}. It "
        "says what further seeds would give on these test images.",
    ]


def _small_p_text(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"
