"""Studies: a grid of arms and replicates, one record a trial, and everything that is said of the records.

`plan` reads a study's file, `orders` and `algorithms` are what its arms differ in, `trial` runs one arm in
one replicate and writes its record. `records` reads a folder of them, `endpoints` makes numbers of a trial's
curve, `contrasts` compares arms with their control arms, `power` says what that can show, `pages` writes it
down.
"""

from pathlib import Path

from hammerlib.runs.reading import read_yaml

# What was asked before any run and how it is judged: contrasts, margin, levels, causes, words.
PROTOCOL = read_yaml(Path(__file__).with_name("protocol.yaml"))
