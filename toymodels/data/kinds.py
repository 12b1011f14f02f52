"""Names of the distributions that `toymodels.data.distributions` draws: ``kind`` or ``kind:number``.

Nothing heavy is imported here: configs are checked with it.
"""

from toymodels.errors import UserError

PLAIN = ("uniform", "gaussian", "signs", "real", "phases", "shuffled")
NUMBERED: dict[str, tuple[float, float]] = {
    "spectrum": (0.0, 10.0),
    "blur": (0.0, 100.0),
    "blurred-signs": (0.0, 100.0),
    "perlin": (1, 1000),
    "subspace": (1, 10**6),
    "blend": (0.0, 1.0),
    "samples": (1, 10**9),
}
"""Least and greatest number of a kind; where these are integers, so is the number."""


def parse_kind(name: str) -> tuple[str, float]:
    """Kind and number (0 where there is none).

    Raises:
        UserError: no such name.

    >>> parse_kind("blur:1.5"), parse_kind("real")
    (('blur', 1.5), ('real', 0))

    """
    kind, _, number = name.partition(":")
    if name in PLAIN:
        return kind, 0
    if kind in NUMBERED:
        low, high = NUMBERED[kind]
        try:
            if low <= (value := type(low)(number)) <= high:
                return kind, value
        except ValueError:
            pass
        whole = "an integer" if isinstance(low, int) else "a number"
        raise UserError(f"inputs must have {whole} from {low} to {high} in {kind}:; got {name!r}")
    known = (*PLAIN, *(f"{kind}:number" for kind in NUMBERED))
    raise UserError(f"inputs must be of {', '.join(known)}; got {name!r}")
