"""`dashboard.html`: what a sweep, or several, found, as one page that needs no server and no network."""

from mnist_resnet.comparing.dashboard.page import write_dashboard

__all__ = ["write_dashboard"]
