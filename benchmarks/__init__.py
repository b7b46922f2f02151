"""What is said about speed, as commands that say it again: `throughput`, `startup` and `many_jobs`."""
