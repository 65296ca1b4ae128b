"""The buying habits of the synthetic demo shop.

There are two sorts of habit for a recommender to learn. Texts reveal follow-ups between kinds of product (a tent, then
a sleeping mat). Texts say nothing about circles of items that chance puts together within a department.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from training.datasets.demo_catalogue import Catalogue, kinds
from training.datasets.demo_draws import Draws, Ints

CIRCLE_SIZE = 6

# The kinds of product that people buy one after another.
HABITS = (
    "tent > sleeping mat > camping stove > mess kit > water filter > vacuum flask",
    "hammock > tarp > bivvy bag > sleeping bag > camping pillow > headlamp > tent",
    "hiking backpack > trekking poles > map case > headlamp > water filter",
    "frying pan > saucepan > casserole > serving spoon > dinner plate > water glass > frying pan",
    "chef's knife > knife sharpener > paring knife > chopping board > wok > saucepan",
    "mixing bowl > kitchen scale > loaf tin > proving basket > mixing bowl",
    "turntable > phono cartridge > record brush > record sleeves > record crate > turntable",
    "integrated amplifier > bookshelf speakers > turntable",
    "over-ear headphones > headphone amplifier > headphone stand > earbuds > wireless speaker",
    "studio microphone > microphone arm > audio interface > over-ear headphones",
    "mirrorless camera > memory card > camera bag > tripod > lens filter > portrait lens > wide-angle lens",
    "action camera > memory card > spare battery > zoom lens > camera strap > mirrorless camera",
    "instant camera > instant film pack > photo album > film camera > camera strap",
    "fountain pen > bottled ink > blotter > letter paper > pen case > notebook > fountain pen",
    "watercolour set > brush set > sketchbook > coloured pencils > watercolour set",
    "planner > rollerball pen > mechanical pencil > notebook > desk lamp > letter tray > planner",
    "seed collection > seed tray > potting compost > hand trowel > watering can > plant feed > raised bed",
    "terracotta pot > potting compost > hanging basket > plant feed > pruning shears > garden fork",
    "leaf rake > garden hose > watering can > bird feeder > nesting box > seed collection",
    "bicycle helmet > front light > rear light > bicycle lock > bicycle bell > child seat > bicycle helmet",
    "bicycle tyre > inner tube > floor pump > puncture kit > chain oil > bicycle tyre",
    "pannier > handlebar bag > rain cape > cycling gloves > cycling shorts > pannier",
    "farming strategy game > expansion box > card sleeves > railway strategy game > expansion box",
    "trading strategy game > dice set > game mat > farming strategy game",
    "tile-laying game > cooperative game > jigsaw puzzle > memory game > dexterity game > tile-laying game",
    "trick-taking card game > card sleeves > party word game > drawing party game > trick-taking card game",
    "cleansing foam > facial toner > face serum > day cream > sun lotion > after-sun gel > body lotion",
    "cleansing oil > facial scrub > night cream > eye cream > lip balm > hand cream > bar soap > bath salts",
    "coffee grinder > coffee beans > coffee dripper > paper filters > gooseneck kettle > coffee mug",
    "espresso maker > milk jug > coffee beans > storage tin > travel cup > espresso maker",
    "teapot > black tea > tea strainer > green tea > storage tin > herbal tea > teapot",
)


@dataclass(frozen=True, slots=True)
class FollowUps:
    """The kinds that follow each kind: `kinds` [n_kinds, most] padded with -1, `counts` [n_kinds]."""

    kinds: Ints
    counts: Ints

    def next_kind(self, draws: Draws, kind: Ints) -> Ints:
        """A kind that follows each of `kind` [b], -1 if none does."""
        at = draws.below(np.maximum(self.counts[kind], 1))
        return self.kinds[kind, at]


@dataclass(frozen=True, slots=True)
class Circles:
    """Rings of a few items of one department: `members` lists them ring after ring.

    `place`, `start` and `size` [n_items] are an item's index in `members`, the index where its ring begins, and the
    size of the ring.
    """

    members: Ints
    place: Ints
    start: Ints
    size: Ints

    def after(self, item: Ints, hops: Ints) -> Ints:
        """The item that is `hops` places further in the ring of each of `item` [b]."""
        start = self.start[item]
        return self.members[start + (self.place[item] - start + hops) % self.size[item]]


def follow_ups() -> FollowUps:
    """The table of `HABITS`; raises ValueError if one names a kind that is not in the vocabulary."""
    position = {kind.noun: index for index, kind in enumerate(kinds())}
    after: list[list[int]] = [[] for _ in position]
    for habit in HABITS:
        steps = habit.split(" > ")
        if unknown := [noun for noun in steps if noun not in position]:
            raise ValueError(f"no such kind of product: {unknown[0]!r} in {habit!r}")
        for noun, following in pairwise(steps):
            after[position[noun]].append(position[following])
    table = np.full((len(after), max(map(len, after))), -1, dtype=np.int64)
    for row, following_kinds in enumerate(after):
        table[row, : len(following_kinds)] = following_kinds
    return FollowUps(table, np.array([len(row) for row in after], dtype=np.int64))


def item_circles(seed: int, catalogue: Catalogue) -> Circles:
    """Circles of `CIRCLE_SIZE` random items within each department (its last one may be smaller)."""
    draws = Draws(seed, stream=3)
    n_items = len(catalogue.items)
    lot = draws.permutation(n_items)
    members = lot[np.argsort(catalogue.department[lot], kind="stable")]
    place, start, size = (np.zeros(n_items, dtype=np.int64) for _ in range(3))
    place[members] = np.arange(n_items)
    ends = np.cumsum(np.bincount(catalogue.department))
    first = 0
    for end in ends.tolist():
        for begin in range(first, end, CIRCLE_SIZE):
            ring = members[begin : min(begin + CIRCLE_SIZE, end)]
            start[ring], size[ring] = begin, len(ring)
        first = end
    return Circles(members, place, start, size)
