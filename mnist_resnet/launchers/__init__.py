"""Starting workers: local processes, Slurm, Ray."""
