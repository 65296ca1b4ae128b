"""The catalogue of the synthetic demo shop: items composed from the words of `demo_vocabulary.py`.

An item is one combination of kind, brand, product line, variant and option (a colour, a scent, a language).
We draw combinations without repetition and put all of it in the title, so no two titles are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from model.items import AttributeValue, Item
from training.datasets.demo_draws import Draws, Ints
from training.datasets.demo_vocabulary import DEPARTMENTS

# Product lines. A brand has five of these words; the last is for items that are new to the catalogue.
_LINES = (
    "Alder Bramble Cinder Dapple Ember Fathom Gable Hollow Inlet Juniper Kestrel Larch "
    "Marl Nettle Orchard Pebble Quarry Rowan Sedge Thicket Umber Vesper Willow Yarrow"
)
SERIES = tuple(_LINES.split(" "))
LINES_IN_CATALOGUE = 4
OPENINGS = (
    ("plain, affordable", "simple, good-value", "entry-level"),
    ("dependable", "well-made everyday", "carefully finished"),
    ("premium, hand-checked", "top-of-the-range", "specialist-grade"),
)
PACKS = ("in a recyclable pack", "sold without plastic", "made in small batches", "checked by hand")
COLD_PER_DEPARTMENT = 2


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of product; `department` is its position in `DEPARTMENTS`, prices are in whole units."""

    noun: str
    department: int
    categories: tuple[str, ...]
    low: int
    high: int
    variants: tuple[str, ...]
    use: str
    has_option: bool

    @property
    def brands(self) -> tuple[int, ...]:
        """Positions of the brands that make it: six of its department's eight, depending on the category."""
        shift = sum(map(ord, self.categories[1])) % 4
        return tuple(brand for brand in range(len(DEPARTMENTS[self.department].brands)) if (brand + shift) % 4)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Items and the facts behind them, each an int64 array `[n_items]`.

    `kind` is a position in `kinds()`, `category` numbers the pairs of department and category, `brand` the
    brands of all departments, and `tier` is the price level (0 cheap, 1 middle, 2 dear).
    """

    items: list[Item]
    department: Ints
    category: Ints
    kind: Ints
    brand: Ints
    tier: Ints


@cache
def kinds() -> tuple[Kind, ...]:
    """Every kind of product of the vocabulary, department by department; raises ValueError for a bad line."""
    found: list[Kind] = []
    for position, department in enumerate(DEPARTMENTS):
        category = ""
        for line in filter(None, map(str.strip, department.products.splitlines())):
            if line.endswith(":"):
                category = line[:-1]
                continue
            fields = [part.strip() for part in line.split(";")]
            if len(fields) != 5 or not category:
                raise ValueError(f"{department.name}: not a kind of product: {line!r}")
            noun, third, prices, variants, use = fields
            low, high = prices.split("-")
            found.append(
                Kind(
                    noun=noun.removesuffix("*"),
                    department=position,
                    categories=(department.name, category, *(() if third == "-" else (third,))),
                    low=int(low),
                    high=int(high),
                    variants=tuple(variants.split("/")),
                    use=use,
                    has_option=not noun.endswith("*"),
                )
            )
    return tuple(found)


def build_catalogue(seed: int, n_items: int) -> Catalogue:
    """`n_items` items spread evenly over the kinds, in department order; ValueError when too many."""
    draws = Draws(seed, stream=1)
    all_kinds = kinds()
    counts = np.full(len(all_kinds), n_items // len(all_kinds), dtype=np.int64)
    counts[draws.permutation(len(all_kinds))[: n_items % len(all_kinds)]] += 1
    categories: dict[tuple[str, ...], int] = {}
    items: list[Item] = []
    rows: list[tuple[int, int, int, int, int]] = []
    numbers = [0] * len(DEPARTMENTS)
    for kind_index, (kind, count) in enumerate(zip(all_kinds, counts.tolist(), strict=True)):
        shape = _choices(kind)
        combinations = int(np.prod(shape))
        if count > combinations:
            raise ValueError(f"n_items: {n_items} is too many, there are {combinations} different {kind.noun} items")
        category = categories.setdefault(kind.categories[:2], len(categories))
        for choice in draws.permutation(combinations)[:count]:
            brand, line, variant, option = (int(part) for part in np.unravel_index(choice, shape))
            numbers[kind.department] += 1
            item_id = f"{_code(kind)}-{numbers[kind.department]:04d}"
            position = kind.brands[brand]
            items.append(_compose(draws, item_id, kind, position, line, variant, option))
            rows.append((kind.department, category, kind_index, _brand_number(kind, position), _tier(position)))
    columns = np.array(rows, dtype=np.int64).reshape(len(rows), 5).T
    return Catalogue(items, *(np.ascontiguousarray(column) for column in columns))


def demo_cold_items(seed: int = 0) -> list[Item]:
    """Twenty items, two of each department, that no demo catalogue holds: to try `POST /items` with.

    They come from product lines that `build_catalogue` leaves out, of brands and kinds that it knows.
    """
    draws = Draws(seed, stream=2)
    items: list[Item] = []
    for department in range(len(DEPARTMENTS)):
        here = [kind for kind in kinds() if kind.department == department]
        for number, choice in enumerate(draws.permutation(len(here))[:COLD_PER_DEPARTMENT], start=1):
            kind = here[int(choice)]
            shape = _choices(kind)
            brand, variant, option = (draws.one(size) for size in (shape[0], shape[2], shape[3]))
            item_id = f"NEW-{_code(kind)}-{number:02d}"
            items.append(_compose(draws, item_id, kind, kind.brands[brand], LINES_IN_CATALOGUE, variant, option))
    return items


def _choices(kind: Kind) -> tuple[int, int, int, int]:
    """How many brands, product lines, variants and options a kind comes in."""
    options = len(DEPARTMENTS[kind.department].options) if kind.has_option else 1
    return len(kind.brands), LINES_IN_CATALOGUE, len(kind.variants), options


def _compose(draws: Draws, item_id: str, kind: Kind, brand: int, line: int, variant: int, option: int) -> Item:
    department = DEPARTMENTS[kind.department]
    # 5 and 24 have no common divisor, so the five lines of a brand differ.
    series = SERIES[(_brand_number(kind, brand) * 7 + line * 5) % len(SERIES)]
    details = [kind.variants[variant]]
    attributes: dict[str, AttributeValue] = {"in_stock": draws.one(10) > 0}
    if kind.has_option:
        details.append(department.options[option])
        attributes[department.option] = department.options[option]
        first, second = draws.permutation(len(department.features))[:2]
        ending = f"known for {department.features[first]} and {department.features[second]}"
    else:
        ending = draws.pick(PACKS)
    opening = f"{draws.pick(OPENINGS[_tier(brand)])} {kind.noun}"
    if not kind.noun.endswith("s") or kind.noun.endswith("ss"):
        opening = f"{'an' if opening[0] in 'aeiou' else 'a'} {opening}"
    # Brands that ask more and larger variants (they come last) cost more; the rest is chance.
    share = _tier(brand) * 28 + variant * 20 // len(kind.variants) + draws.one(25)
    units = kind.low + (kind.high - kind.low) * share // 100
    return Item(
        item_id=item_id,
        title=f"{department.brands[brand]} {series} {_capitalise(kind.noun)}, {', '.join(details)}",
        brand=department.brands[brand],
        categories=kind.categories,
        description=f"{opening[0].upper()}{opening[1:]} {kind.use}, {ending}.",
        price=(units * 100 + draws.pick((0, 50, 95))) / 100,
        attributes=attributes,
    )


def _brand_number(kind: Kind, brand: int) -> int:
    return kind.department * len(DEPARTMENTS[kind.department].brands) + brand


def _tier(brand: int) -> int:
    """The price level of a department's brand: three are cheap, three in the middle, the last two dear."""
    return brand // 3


def _code(kind: Kind) -> str:
    return DEPARTMENTS[kind.department].name[:3].upper()


def _capitalise(noun: str) -> str:
    return " ".join(word[0].upper() + word[1:] for word in noun.split())
