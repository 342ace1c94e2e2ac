"""The study of orders and DRA: arms, replicates in which everything is fresh, a record a cell, contrasts."""
