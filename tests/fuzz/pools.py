"""Values that a user may write by mistake, and some that are right but only just."""

import datetime
import decimal
import fractions

import jax
import jax.numpy as jnp
import numpy as np

NAMES = (
    "failed",
    "file",
    "seed",
    "x",
    "y",
    "i",
    "k",
    "s",
    "self",
    "data",
    "dim_0",
    "a b",
    "a/b",
    "/",
    ".",
    "a\nb",
    "\x1b[31mred",
    "a\0b",
    "\ud800",
    "é",
    "x" * 300,
    "",
    " ",
    5,
    None,
    ("a", "b"),
    1.5,
    b"x",
)

NUMBERS = (
    *(0, 1, 2, -1, 7, 16777217, 2**31 - 1, -(2**31), 2**31, 2**32, 2**32 + 1, 2**63, 2**64, 2**70),
    *(0.0, -0.0, 0.1, 0.5, 1.0, 3.4e38, 1e39, 1e300, 1e-38, 1.2e-38, 1e-45, 5e-324, 1 / 3),
    *(0.1 + 1e-12, 16777216.5, float("nan"), float("inf"), -float("inf")),
    *(True, False, np.True_, np.int8(3), np.uint8(200), np.int64(2**40), np.uint64(2**63)),
    *(np.float16(0.1), np.float32(0.1), np.float64(0.1), np.longdouble("0.1"), np.float32("nan")),
    *(np.datetime64("2026-01-01"), np.timedelta64(3, "s"), np.complex64(1 + 1j), 1j),
    *(fractions.Fraction(1, 3), decimal.Decimal("0.1"), datetime.date(2026, 1, 1)),
    *(None, "", "a", "1", "\0", "\ud800", b"a", np.str_("b"), (1, 2), [1.0], {}, set(), object),
    *(np.ones(2), np.float32(3)[()], np.array(4.0), jnp.float32(2.0), jnp.bfloat16(0.5)),
    *(np.ma.masked, NotImplemented, ..., slice(None), lambda: 1),
)

ORDINARY = (0, 1, 3, 8, 0.25, -1.5, 2.0, 1e3, 1e-3, 1e6, 12345.678)

ANYTHING = (
    *(None, 0, 1.5, "x", "float31", b"", (), [], {}, [1, 2], {"a": None}, {"a": 3}, {"a": "bc"}),
    *({1: [1]}, {"a": {"b": {}}}, np.ones(2), object(), {"x": [1.0], "y": [2.0]}),
)

VARIABLES = (
    ((), "1", "a sentence"),
    (("i",), "1", "a sentence"),
    (["i"], "1", "a sentence"),
    (("i", "i"), "1", "a sentence"),
    (("i", "j"), "1", "a sentence"),
    (("seed",), "1", "a sentence"),
    (("x",), "1", "a sentence"),
    (("y",), "1", "a sentence"),
    (("a/b",), "1", "a sentence"),
    (("",), "1", "a sentence"),
    ("i", "1", "a sentence"),
    ((), "", ""),
    ((), "\ud800", "a sentence"),
    ((), "a\0b", "\x1b[31mred"),
    ((), "1", "é" * 10**5),
    ((), "1", None),
    ((), 1, "a sentence"),
    ((None,), "1", "a sentence"),
    ((), "1"),
    [(), "1", "a sentence"],
    None,
    "i",
)

DATA = (
    np.ones(3, np.float32),
    np.ones(3),
    np.array([1, 2, 3]),
    np.array([2**32 + 1, 0, 0]),
    np.array([1e300, 0, 0]),
    np.array([1e-300, 0, 0]),
    np.array([2**24 + 1.0, 0, 0]),
    np.array([True, False]),
    np.array([1, 2], np.uint8),
    np.array([0.5, 0.25], np.float16),
    jnp.ones(2, jnp.bfloat16),
    np.ones(2, ">f4"),
    np.zeros(0, np.float32),
    np.array(["a", "b"]),
    np.array([None, 1], object),
    np.array(["2026-01-01"], "M8[D]"),
    [1.0, 2.0],
    2.5,
    2**40,
    1e300,
    "text",
    np.float64(1.5),
    np.ma.masked_array([1.0, 2.0], [True, False]),
    jnp.arange(3),
)

RECORDS = {
    "the line": lambda y: y,
    "bfloat16": lambda y: y.astype(jnp.bfloat16),
    "float8": lambda y: y.astype(jnp.float8_e4m3fn),
    "float16": lambda y: y.astype(jnp.float16),
    "complex": lambda y: y + 1j,
    "key": lambda y: jax.random.key(0),
    "bool": lambda y: y > 0,
    "int8": lambda y: jnp.clip(y, -9, 9).astype(jnp.int8),
    "int4": lambda y: jnp.clip(y, -3, 3).astype(jnp.int4),
    "uint32": lambda y: abs(jnp.clip(y, -9, 9)).astype(jnp.uint32),
    "constant": lambda y: 3,
    "constant of NumPy": lambda y: np.float64(0.5),
    "not a number": lambda y: y * jnp.nan,
    "infinite where positive": lambda y: jnp.where(y > 0, jnp.inf, y),
    "vector": lambda y: jnp.stack([y, y]),
    "empty": lambda y: jnp.zeros(0),
    "none": lambda y: None,
    "text": lambda y: "text",
    "dict": lambda y: {"a": y},
    "list": lambda y: [y, y],
    "no dict": lambda y: ...,
}

HOW = {
    "width": (1, 2, 3, 100, 0, -1, 1.5, True, "2", 10**6, 2**63, None, np.int64(2), (1, 2)),
    "memory": (10**12, 1, 0, -1, 1e9, "1", 2**80, True, float("nan"), None),
    "devices": (1, 0, -1, 2, 10**9, 1.0, 1.5, "1", True, None, np.int32(1), [1]),
    "shard": (
        (1, 1),
        (1, 2),
        (2, 2),
        (5, 2),
        (0, 1),
        (1,),
        (1, 2, 3),
        "12",
        "1/2",
        None,
        (1.0, 2.0),
    ),
    "store": (None, "store", 5, ()),
    "progress": (None, "x", 5),
    "announce": (None, "x", 5),
}


def axis(case):
    """An axis: numbers, most of them ordinary, in any container; or choices."""
    kind = case.draw(("numbers", "numbers", "some", "some", "strings", "whole", "choices"))
    if kind == "choices":
        return choices(case)
    if kind == "whole":
        return case.draw(
            (
                *ANYTHING,
                np.ones((2, 2)),
                np.array(3.0),
                np.array([0.5, 1.5], np.float16),
                np.array([1, 2], np.uint64),
                jnp.arange(3),
                range(3),
                range(0),
                range(2**31, 2**31 + 2),
                range(10**9),
                {1.0, 2.0},
                dict.fromkeys([1, 2], 3),
                (v for v in (1, 2)),
                "abc",
                b"abc",
                np.array(["a", "b"]),
                [1, True],
                [0, False, 2],
                [0.0, -0.0],
                [np.float32(0.1), 0.1],
                ["a", "a"],
                ["a", 1],
                list(range(300)),
            )
        )
    if kind == "strings":
        return case.random.sample(["a", "b", "c d", "é", "\ud800", "", "\0", "a\nb", "x" * 300], 2)
    values = case.random.sample(ORDINARY, case.random.randint(1, 4))
    if kind == "some":
        values[case.random.randrange(len(values))] = case.draw(NUMBERS)
    if case.random.random() < 0.2:
        values.append(case.draw((*values, *NUMBERS)))
    return case.draw((list, list, tuple))(values)


def choices(case):
    """A mapping from labels to arrays."""
    values = case.draw(
        (
            (1.0, 2.0),
            (1, 2.5),
            (2**40, 1),
            (1e300, 1.0),
            (2**70, 1),
            (1e-50, 1.0),
            (16777217, 0.5),
            (np.ones(2), np.zeros(2)),
            (np.ones(2), np.zeros(3)),
            (np.ones(2), 1.0),
            ({"a": 1.0}, {"a": 2.0}),
            ({"a": 1.0}, {"b": 2.0}),
            ({"a": 1.0}, 2.0),
            (None, None),
            ((), ()),
            (np.array([2**33, 1]), np.array([1, 1])),
            (np.array([1e200]), np.array([1.0])),
            (float("nan"), 1.0),
            (np.array([np.inf, 1.0]), np.zeros(2)),
            (True, False),
            (1j, 2j),
            ("a", "b"),
            (b"a", b"b"),
            (np.array([None]), np.array([None])),
            (jnp.bfloat16(1.5), jnp.bfloat16(2)),
            (jax.random.key(0), jax.random.key(1)),
            (np.ones(2, ">f4"), np.zeros(2, ">f4")),
            (0.1, 0.1 + 1e-12),
            (object(), object()),
        )
    )
    others = ("high", "low ", "low\0", 1, None, ("a", 1), 2.0, "\ud800", b"high", True)
    return dict(zip(["low", case.random.choice(others)], values, strict=True))
