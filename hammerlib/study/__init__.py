"""The study: what is fresh in a replicate, one record a cell, and what the records say."""
