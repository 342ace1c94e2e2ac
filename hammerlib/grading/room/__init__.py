"""The room in which foreign programs run: confinement, the language spoken across its wall, and its two sides.

These modules use the standard library alone and import each other relatively: the confined interpreter loads
them by themselves, without hammerlib around them.
"""
