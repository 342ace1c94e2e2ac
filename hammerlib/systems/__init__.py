"""Systems of the field, rebuilt as parts that fit the house: pure functions first, an algorithm second.

Each subpackage is one system: its pure functions stand in the package itself, its algorithm and what else
needs a model in modules beside. What its paper leaves open is a switch that says so, and defects of released
code are not copied. Import from the subpackage (``from hammerlib.systems.puzzles import generate``); nothing
is imported here, so that a system costs only those who use it.

================= ==================================== ================================ ====================
subpackage        system                               source                           plugs in as
================= ==================================== ================================ ====================
``airl_s``        AIRL-S                               arXiv 2508.14313, abstracts only advantage hook
``chord``         CHORD                                arXiv 2508.11408 and its code    loss hook
``cure``          CURE                                 arXiv 2508.11016: its code       rollout hook
``dars``          DARS                                 arXiv 2508.13755 and its code    rollout hook
``etmr``          ETMR, ETTRL's tree rollouts          arXiv 2508.11356, second-hand    rollout hook
``evolmath``      EvolMathEval                         arXiv 2508.13003 and its code    problems ``evolmath:``
``g2rpo_a``       G2RPO-A                              arXiv 2508.13023 and its code    rollout hook
``hard_examples`` Hard Examples Are All You Need       arXiv 2508.14094 and its code    subset of problems
``puzzles``       PuzzleClone                          arXiv 2508.15180 and its code    problems ``puzzles:``
                                                                                        and their scorer
``quantifiers``   Quantifier Instantiations: To Mimic  arXiv 2508.13811, abstract only  runs beside a solver
                  or To Revolt?
``search``        best of N, beam, Monte Carlo trees   usual ones                       any scorer of steps
``svs``           SvS                                  arXiv 2508.14029 and its code    rollout hook
``ttrl``          TTRL; ETTRL's advantages             arXiv 2504.16084 and its code;   rollout, advantage
                                                       arXiv 2508.11356, second-hand    and observe hooks
``uncalibrated``  Uncalibrated GRPO                    arXiv 2508.11800 and its code    rewards ``log_score``,
                                                                                        ``quadratic_score``,
                                                                                        advantage hook
================= ==================================== ================================ ====================

Shared: ``branching`` (branches, whole groups, sums over processes), ``arms`` (experiments).

Notebooks: ``notebooks/systems``. ``make test-systems`` executes them; the tests of the pure parts belong to
``make test``. Puzzles and quantifiers need z3: ``pip install -c constraints.txt -e ".[systems]"``.
"""
