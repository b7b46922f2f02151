"""`dashboard.html`: the results of one or several sweeps on one page, without a server or network access."""

from mnist_resnet.comparing.dashboard.page import write_dashboard

__all__ = ["write_dashboard"]
