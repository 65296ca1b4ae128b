"""The built-in demo data set: a SYNTHETIC shop that this code generates.

Customers of an invented shop buy one item after another. Chance picks what decides the next purchase:
- taste: a category of the customer's mix, a brand the customer is loyal to, a price level, and popularity;
- a habit between kinds of product (`demo_habits.HABITS`), again with brand, price level and popularity;
- a habit between single items (`demo_habits.Circles`), which no text reveals.
Semantic IDs can learn the first two; the third needs ID embeddings. Everything follows from the seed by integer
arithmetic, so every machine makes the same data set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.datasets.base import Dataset, DatasetReport
from training.datasets.demo_catalogue import Catalogue, build_catalogue, demo_cold_items
from training.datasets.demo_draws import Draws, Ints
from training.datasets.demo_habits import Circles, FollowUps, follow_ups, item_circles
from training.datasets.measure import measure

__all__ = ["DEMO_NAME", "DEMO_README", "demo_cold_items", "generate_demo"]

DEMO_NAME = "demo (synthetic)"
DEMO_README = """\
# Demo data set (synthetic)

Nothing here is real. The items, brands, prices and descriptions are composed by a generator from a list of
words made up for this project; the customers and what they bought are simulated. A likeness to a real
product, brand or person is chance. The data is good for trying the programs and for seeing that they learn;
figures measured on it say nothing about real shops.

- `interactions.csv`: user_id, item_id, timestamp (seconds since 1970).
- `items.jsonl`: one item a line, with title, brand, categories, price, description and attributes.

The generator is seeded: the same seed gives the same files on every machine.
"""

MIN_ITEMS = 200
MIN_LENGTH = 5
MAX_LENGTH = 60
# One in five customers comes back often, which makes the long tail of the lengths.
GO_ON_PERCENT = (72, 90)
# Of 100 purchases after the first, the number that follow a habit between kinds, and between items.
KIND_HABIT_PERCENT = 33
ITEM_HABIT_PERCENT = 30
NEXT_IN_CIRCLE_PERCENT = 60
TASTE_SLOTS = 8
CANDIDATES = 12
LOYALTY = 16
PRICE_MATCH = np.array([4, 2, 1], dtype=np.int64)
POPULARITY_SCALE = 1 << 20
OPENED = 1_640_995_200  # 2022-01-01, UTC
DAY = 86_400


def generate_demo(seed: int = 0, n_items: int = 3000, n_users: int = 6000) -> Dataset:
    """The demo data set: `n_items` items and `n_users` users with sequences of `MIN_LENGTH` to `MAX_LENGTH`.

    Somebody buys every item at least once if there are as many users as items. Raises ValueError for a negative
    seed, fewer than `MIN_ITEMS` items, more items than the words can make, or no users.
    """
    if n_items < MIN_ITEMS:
        raise ValueError(f"n_items: must be at least {MIN_ITEMS}, not {n_items}")
    if n_users < 1:
        raise ValueError(f"n_users: must be at least 1, not {n_users}")
    catalogue = build_catalogue(seed, n_items)
    shop = _Shop(catalogue, Draws(seed, stream=4))
    customers = _draw_customers(shop, n_users)
    bought, times, lengths = _simulate(shop, customers, follow_ups(), item_circles(seed, catalogue))
    width = len(str(n_users))
    report = DatasetReport("demo", f"the embedded {DEMO_NAME} data set, seed {seed}", files=[])
    dataset = Dataset(
        name=DEMO_NAME,
        user_ids=[f"user-{number:0{width}d}" for number in range(1, n_users + 1)],
        items=catalogue.items,
        sequences=[row[:length].astype(np.int32) for row, length in zip(bought, lengths, strict=True)],
        timestamps=[row[:length].copy() for row, length in zip(times, lengths, strict=True)],
        report=report,
    )
    measure(dataset)
    return dataset


class _ByPopularity:
    """Draws items of a group in proportion to their weight."""

    def __init__(self, group: Ints, weight: Ints) -> None:
        n_groups = int(group.max()) + 1
        self._order = np.argsort(group, kind="stable")
        self._until = np.cumsum(weight[self._order])
        total = np.zeros(n_groups, dtype=np.int64)
        np.add.at(total, group, weight)
        self._total = total
        self._low = np.cumsum(total) - total

    def draw(self, draws: Draws, groups: Ints) -> Ints:
        """An item of each of `groups`, any shape."""
        at = self._low[groups] + draws.below(self._total[groups])
        return self._order[np.searchsorted(self._until, at, side="right")].astype(np.int64)


class _Shop:
    """The catalogue with its popularity (of all items, by category, by kind) and the source of random draws."""

    def __init__(self, catalogue: Catalogue, draws: Draws) -> None:
        n_items = len(catalogue.items)
        self.catalogue = catalogue
        self.draws = draws
        rank = draws.permutation(n_items)
        weight = POPULARITY_SCALE // (rank + 10 + n_items // 100)  # Zipf's law with a flattened head
        self.everything = _ByPopularity(np.zeros(n_items, dtype=np.int64), weight)
        self.of_category = _ByPopularity(catalogue.category, weight)
        self.of_kind = _ByPopularity(catalogue.kind, weight)


@dataclass(frozen=True, slots=True)
class _Customers:
    """The preferences of each customer: first purchase, `taste` [n_users, 8] categories, two brands, price level."""

    first: Ints
    taste: Ints
    brands: Ints
    level: Ints


def _draw_customers(shop: _Shop, n_users: int) -> _Customers:
    """Customers with a first purchase each; if there are enough users, every item is somebody's first."""
    draws, catalogue = shop.draws, shop.catalogue
    n_items = len(catalogue.items)
    first = shop.everything.draw(draws, np.zeros(n_users, dtype=np.int64))
    covered = min(n_users, n_items)
    first[draws.permutation(n_users)[:covered]] = draws.permutation(n_items)[:covered]
    second = shop.everything.draw(draws, np.zeros(n_users, dtype=np.int64))
    categories_of = _ByPopularity(catalogue.department, np.ones(n_items, dtype=np.int64))
    near = catalogue.category[categories_of.draw(draws, np.repeat(catalogue.department[first][:, None], 3, 1))]
    taste = np.empty((n_users, TASTE_SLOTS), dtype=np.int64)
    taste[:, :4] = catalogue.category[first][:, None]
    taste[:, 4:6] = near[:, :1]
    taste[:, 6] = near[:, 1]
    taste[:, 7] = catalogue.category[second]
    level = np.where(draws.many(4, n_users) > 0, catalogue.tier[first], draws.many(3, n_users))
    brands = np.stack([catalogue.brand[first], catalogue.brand[second]], axis=1)
    brands[draws.many(10, n_users) >= 7] = -1  # three in ten have no favourite brand
    return _Customers(first, taste, brands, level)


def _simulate(shop: _Shop, customers: _Customers, kind_habits: FollowUps, circles: Circles) -> tuple[Ints, Ints, Ints]:
    """Simulate purchases: items and times [n_users, MAX_LENGTH], padded with -1, and lengths [n_users]."""
    draws = shop.draws
    n_users = len(customers.first)
    bought = np.full((n_users, MAX_LENGTH), -1, dtype=np.int64)
    times = np.full((n_users, MAX_LENGTH), -1, dtype=np.int64)
    lengths = np.ones(n_users, dtype=np.int64)
    bought[:, 0] = customers.first
    times[:, 0] = OPENED + draws.many(540 * DAY, n_users)
    go_on = np.array(GO_ON_PERCENT, dtype=np.int64)[(draws.many(5, n_users) == 0).astype(np.int64)]
    active = np.arange(n_users)
    for step in range(1, MAX_LENGTH):
        if step >= MIN_LENGTH:
            active = active[draws.many(100, len(active)) < go_on[active]]
        history = bought[active, :step]
        last = history[:, -1]
        mode = draws.many(100, len(active))
        category = customers.taste[active, draws.many(TASTE_SLOTS, len(active))]
        choice = _choose(shop, customers, active, history, shop.of_category, category)

        kind = kind_habits.next_kind(draws, shop.catalogue.kind[last])
        by_kind = np.flatnonzero((mode < KIND_HABIT_PERCENT) & (kind >= 0))
        choice[by_kind] = _choose(shop, customers, active[by_kind], history[by_kind], shop.of_kind, kind[by_kind])

        straight = draws.many(100, len(active)) < NEXT_IN_CIRCLE_PERCENT
        hops = np.where(straight, 1, 1 + draws.below(np.maximum(circles.size[last] - 1, 1)))
        follower = circles.after(last, hops)
        by_item = mode >= 100 - ITEM_HABIT_PERCENT
        by_item &= ~(history == follower[:, None]).any(axis=1)
        choice[by_item] = follower[by_item]

        habitual = by_item.copy()
        habitual[by_kind] = True
        # A habit follows within days, other purchases some time later.
        gap = np.where(habitual, 600 + draws.many(3 * DAY, len(active)), DAY + draws.many(30 * DAY, len(active)))
        bought[active, step] = choice
        times[active, step] = times[active, step - 1] + gap
        lengths[active] += 1
    return bought, times, lengths


def _choose(shop: _Shop, customers: _Customers, who: Ints, history: Ints, source: _ByPopularity, group: Ints) -> Ints:
    """The choice of `who` [b] in `group` [b]: one of some popular candidates that suits brand and price level.

    Nobody buys twice: if the `history` [b, n] has every candidate, take another popular item.
    """
    draws, catalogue = shop.draws, shop.catalogue
    candidates = source.draw(draws, np.repeat(group[:, None], CANDIDATES, axis=1))
    loyal = (catalogue.brand[candidates][:, :, None] == customers.brands[who][:, None, :]).any(axis=2)
    affinity = np.where(loyal, LOYALTY, 1)
    affinity *= PRICE_MATCH[np.abs(catalogue.tier[candidates] - customers.level[who][:, None])]
    affinity[(candidates[:, :, None] == history[:, None, :]).any(axis=2)] = 0
    until = np.cumsum(affinity, axis=1)
    at = draws.below(np.maximum(until[:, -1], 1))
    place = np.minimum((until <= at[:, None]).sum(axis=1), CANDIDATES - 1)
    choice: Ints = candidates[np.arange(len(who)), place]
    while len(again := np.flatnonzero((choice[:, None] == history).any(axis=1))):
        choice[again] = shop.everything.draw(draws, np.zeros(len(again), dtype=np.int64))
    return choice
