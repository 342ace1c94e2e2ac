"""Words of the operators: themes for variables, signs, banks of sentences. Ours; no model writes them.

The banks outlast two generations: a chain of two holds up to two stories, two remarks and six facts, a second
generation adds one, one and three.
"""

from __future__ import annotations

_NAMES = ("x", "y", "z", "m", "n", "a", "b", "c")


def _theme(*things: str) -> dict[str, str]:
    return dict(zip(_NAMES, things, strict=True))


# One thing for each variable, the last three for variables that no equation uses.
THEMES = {
    "market": _theme("apples", "pears", "plums", "figs", "melons", "crates", "scales", "stalls"),
    "library": _theme("novels", "atlases", "comics", "journals", "maps", "shelves", "lamps", "chairs"),
    "harbour": _theme("boats", "ropes", "anchors", "sails", "nets", "gulls", "lamps", "crates"),
    "school": _theme("pencils", "rulers", "erasers", "notebooks", "brushes", "desks", "windows", "bells"),
    "farm": _theme("hens", "geese", "goats", "sheep", "cows", "gates", "carts", "barrels"),
    "workshop": _theme("screws", "bolts", "nuts", "hinges", "springs", "benches", "aprons", "hooks"),
}
# The signs that stand for = in an approximate relation, as in the released code.
FUZZY_SIGNS = ("≈", ">?", "<?", "~", "?", "=>", "<-", "??", "∝", "<=>?", "|?|")
CONFUSED = (
    "{one} and {other} seem to move together, though nobody knows how.",
    "Some say that {one} may exceed {other}, others doubt it.",
    "There might be a pattern between {one} and {other}.",
    "In a similar case {one} was of the order of {other}.",
)
MISLEADING = (
    "A simple ratio should make the first statement unnecessary.",
    "It is often enough to read the last statement alone.",
    "A colleague believes that two of the statements say the same.",
    "Most people settle such a question by a rough estimate.",
    "At first sight the smallest number decides the result.",
)
BACKGROUND = (
    "It had rained all night, and the roads were still wet when the counting began. Someone had brought tea, "
    "and the list of yesterday was pinned to the door, half of it washed away.",
    "The inventory takes place twice a year. This time a new assistant keeps the records, in a hand that is "
    "neat but very small, and everybody waits for the bell at noon.",
    "A visitor had asked for the figures in advance. Nobody remembered who had promised them, so the old "
    "ledgers were opened again, and the window was closed against the wind.",
    "The bus had been late again, so the work began without the usual greetings. On the table lay a map that "
    "nobody had folded properly, and a cup that nobody claimed.",
    "For the anniversary everything was to be put in order once more. Old photographs hung along the "
    "corridor, and from the yard one could hear somebody tuning a violin.",
    "The office had moved twice within a month, and some boxes were still sealed. The new lamps hummed "
    "quietly while a cat that belonged to the neighbours slept on the warmest shelf.",
)
IRRELEVANT = (
    "On the moon station the clocks run backwards on Tuesdays.",
    "A robot gardener waters the crystal trees once a week.",
    "The third sun of the system sets in green.",
    "Messages from the comet arrive folded in half.",
    "The captain of the star ferry collects paper hats.",
    "Gravity is rented out by the hour in the upper dome.",
    "A silent choir of drones rehearses at dawn.",
    "The ocean of the second planet tastes faintly of cinnamon.",
    "Every robot of the old fleet writes its own diary.",
    "The elevator to the ring stops only for musicians.",
    "Clouds over the glass desert are painted by hand.",
    "The archive ship carries the shadows of extinct birds.",
    "In the lower tunnels the echo answers before the call.",
    "A lighthouse at the edge of the galaxy sells postcards.",
)
USELESS = "{left} equals {right}."
ESTIMATE = "A quick estimate puts the result at about {value}."
