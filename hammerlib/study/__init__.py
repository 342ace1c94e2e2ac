"""The study of orders and DRA: arms, replicates in which everything is fresh, one record a cell, contrasts."""
