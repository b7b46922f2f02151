"""The running half: a composed config becomes a job folder."""
