"""Unsatisfiable problems beyond plain e-matching: their triggers never meet the terms that are needed."""

from __future__ import annotations

_UNARY = """
(declare-sort U 0)
(declare-fun f (U) U) (declare-fun h (U) U) (declare-const c U) (declare-const d U)
(declare-fun P (U) Bool) (declare-fun A (U) Bool) (declare-fun R (U) Bool)
(assert (forall ((x U)) (! (=> (and (P x) (A x)) (P (f x))) :pattern ((P x) (A x)))))
(assert (P c)) (assert (A c)) (assert (A (f c)))
"""
_BINARY = """
(declare-sort U 0)
(declare-fun g (U U) U) (declare-fun h (U U) U) (declare-const a U) (declare-const b U)
(declare-fun P (U) Bool) (declare-fun R (U) Bool)
(assert (forall ((x U)) (! (=> (P x) (P (g x b))) :pattern ((P x) (R x)))))
(assert (P a)) (assert (R a)) (assert (P b)) (assert (R b)) (assert (P (g a b))) (assert (R (g a b)))
"""
_TWO_SORTS = """
(declare-sort Key 0) (declare-sort Box 0)
(declare-const k Key) (declare-const l Key) (declare-fun box (Key) Box) (declare-fun key (Box) Key)
(declare-fun Fits (Key Box) Bool) (declare-fun Seen (Key) Bool) (declare-fun Open (Box) Bool)
(declare-fun h (Key Box) Bool)
(assert (forall ((x Key)) (! (=> (Seen x) (Fits x (box x))) :pattern ((Seen x)))))
(assert (forall ((y Box)) (! (=> (Open y) (Seen (key y))) :pattern ((Open y)))))
(assert (Seen k)) (assert (Open (box k))) (assert (Seen l))
"""
# Pairs of a, b and e are instantiated nine times; s and z once.
_PAIRS = """
(declare-sort U 0)
(declare-fun s (U) U) (declare-fun h (U U) U)
(declare-const a U) (declare-const b U) (declare-const e U) (declare-const z U)
(declare-fun P (U) Bool) (declare-fun K (U) Bool) (declare-fun L (U) Bool) (declare-fun Q (U U) Bool)
(declare-fun R (U U) Bool)
(assert (forall ((x U) (y U)) (! (=> (and (P x) (P y)) (Q x y)) :pattern ((P x) (P y)))))
(assert (forall ((x U)) (! (=> (K x) (L x)) :pattern ((K x)))))
(assert (P a)) (assert (P b)) (assert (P e)) (assert (K (s z)))
"""
_NEVER = "(assert (forall ((x U)) (! (not (R (f x))) :pattern ((h x)))))"
_NEVER_PAIR = "(assert (forall ((x U) (y U)) (! (not (R x y)) :pattern ((h x y)))))"

# Name -> SMT-LIB 2. Ours, small enough to check by hand; h occurs only in triggers, where it never matches.
# The last two favour one strategy each: the missing binding is common, or rare, among those seen.
EXAMPLES = {
    "stuck trigger": f"{_UNARY}(assert (R (f (f c)))) {_NEVER}",
    "deeper term": f"{_UNARY}(assert (R (f (f (f c))))) {_NEVER}",
    "two variables": _BINARY
    + "(assert (R (g (g a b) a))) (assert (forall ((x U) (y U)) (! (not (R (g x y))) :pattern ((h x y)))))",
    "two sorts": f"{_TWO_SORTS}(assert (forall ((x Key) (y Box)) (! (not (Fits x y)) :pattern ((h x y)))))",
    "nested": _UNARY
    + "(declare-const B Bool) (assert (or B (forall ((x U)) (! (not (P x)) :pattern ((h x))))))"
    + "(assert (not B))",
    "common terms": f"{_PAIRS}(assert (R a e)) {_NEVER_PAIR}",
    "rare terms": f"{_PAIRS}(assert (R z (s z))) {_NEVER_PAIR}",
}
