"""The robustness map: in which settings that the study leaves open does a claim hold?

A grid of settings around the stated protocol is run with a few seeds each; ``baselines`` keeps
every metric's values, so that a claim whose bounds change needs no new run. A relation holds in a
setting when the median over the seeds satisfies it (for the quantifier ``every``: when all seeds
do). That is the typical seed, without an interval: a map needs many settings rather than many
seeds, and the verdict itself rests on many seeds at the stated protocol.
"""
