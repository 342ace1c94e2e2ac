"""The room in which foreign programs run: its confinement, its two sides, and what they say to each other.

These modules use the standard library alone and import each other relatively: the confined interpreter loads
them by themselves, without hammerlib around them.
"""
