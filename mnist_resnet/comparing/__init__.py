"""The comparing half: job folders become a table, statistics, verdicts and a dashboard."""
