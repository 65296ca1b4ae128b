"""The demo data set: its shape, that it is the same everywhere, and that there is a lot to learn in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from model.items import Item
from training.datasets.base import Dataset
from training.datasets.demo import DEMO_NAME, DEMO_README, MAX_LENGTH, demo_cold_items, generate_demo
from training.datasets.demo_catalogue import build_catalogue, kinds
from training.datasets.demo_draws import Draws
from training.datasets.demo_habits import HABITS, follow_ups, item_circles

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@cache
def _demo() -> Dataset:
    return generate_demo()


# --- shape ----------------------------------------------------------------------------------------


def test_counts_lengths_and_popularity() -> None:
    demo = _demo()
    lengths = np.array([len(sequence) for sequence in demo.sequences])
    popularity = np.sort(demo.popularity())[::-1]
    assert (demo.n_items, demo.n_users) == (3000, 6000)
    assert demo.report.n_interactions == demo.n_interactions == lengths.sum()
    assert lengths.min() == 5
    assert 8.5 < lengths.mean() < 9.5
    assert 25 < np.quantile(lengths, 0.99) < lengths.max() <= MAX_LENGTH
    # Zipf-like: the top fifth of the items has nearly half of the purchases, and every item has been bought.
    assert 0.4 < popularity[:600].sum() / popularity.sum() < 0.6
    assert popularity.min() >= 1
    assert 0.9 < (popularity >= 5).mean() < 0.99


def test_nothing_is_bought_twice_and_time_runs_forward() -> None:
    demo = _demo()
    assert demo.report.repeated_interactions == 0
    assert demo.timestamps is not None
    for sequence, times in zip(demo.sequences, demo.timestamps, strict=True):
        assert sequence.dtype == np.int32
        assert times.dtype == np.int64
        assert len(sequence) == len(times)
        assert (np.diff(times) > 0).all()


def test_items_are_valid_varied_and_unique() -> None:
    demo = _demo()
    assert all(Item.from_dict(item.to_dict()) == item for item in demo.items)
    assert len({item.item_id for item in demo.items}) == demo.n_items
    assert len(set(demo.user_ids)) == demo.n_users
    assert len({item.title for item in demo.items}) == demo.n_items
    assert len({item.to_text() for item in demo.items}) == demo.n_items
    assert len({item.categories[0] for item in demo.items}) == 10
    assert {len(item.categories) for item in demo.items} == {2, 3}
    assert len({item.brand for item in demo.items}) == 80
    for item in demo.items:
        assert item.price is not None
        assert 3 <= item.price <= 2500
        assert item.description is not None
        assert item.description.endswith(".")
        assert 1 <= len(item.attributes) <= 2
        assert isinstance(item.attributes["in_stock"], bool)


def test_dearer_brands_ask_more() -> None:
    catalogue = build_catalogue(0, 3000)
    prices = np.array([item.price for item in catalogue.items])
    for kind in range(len(kinds())):
        by_tier = [prices[(catalogue.kind == kind) & (catalogue.tier == tier)] for tier in range(3)]
        assert max(by_tier[0], default=0) <= min(by_tier[2], default=np.inf)


def test_it_says_that_it_is_synthetic() -> None:
    demo = _demo()
    assert "synthetic" in DEMO_NAME
    assert demo.name == DEMO_NAME
    assert "synthetic" in demo.report.recognised
    assert "(synthetic)" in DEMO_README.splitlines()[0]


# --- the same everywhere --------------------------------------------------------------------------


def test_a_seed_makes_the_same_data_set_on_every_machine() -> None:
    """The fingerprint is written down: it fails where a machine, a numpy or a change of the code differs."""
    small = generate_demo(seed=3, n_items=300, n_users=200)
    assert small.fingerprint() == "98af981179f0b26f448ffa244b8dc07b3622e881963bef8dc705e98894bff77a"
    assert small.fingerprint() != generate_demo(seed=4, n_items=300, n_users=200).fingerprint()
    assert generate_demo().fingerprint() == _demo().fingerprint()


def test_draws_are_fixed_and_even() -> None:
    draws = Draws(7, stream=1)
    assert draws.many(1000, 5).tolist() == [770, 111, 189, 159, 431]
    counts = np.bincount(draws.many(10, 20_000), minlength=10)
    assert counts.min() > 1800
    assert counts.max() < 2200
    assert sorted(draws.permutation(50).tolist()) == list(range(50))
    assert Draws(7, stream=2).many(1000, 5).tolist() != [770, 111, 189, 159, 431]
    for bound in (0, 2**32):
        with pytest.raises(ValueError, match="bounds"):
            draws.one(bound)


def test_it_is_made_quickly() -> None:
    began = time.process_time()
    generate_demo(seed=1)
    assert time.process_time() - began < 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed"),
        ({"n_items": 199}, "n_items: must be at least 200, not 199"),
        ({"n_items": 10_000}, "n_items: 10000 is too many"),
        ({"n_users": 0}, "n_users"),
    ],
)
def test_sizes_that_cannot_be_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate_demo(**arguments)


@pytest.mark.parametrize(("n_items", "n_users"), [(200, 1), (200, 50), (5000, 100)])
def test_other_sizes(n_items: int, n_users: int) -> None:
    dataset = generate_demo(n_items=n_items, n_users=n_users)
    assert (dataset.n_items, dataset.n_users) == (n_items, n_users)
    assert all(len(set(sequence.tolist())) == len(sequence) >= 5 for sequence in dataset.sequences)


# --- new items ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_cold_items_are_new_but_of_the_same_shop(seed: int) -> None:
    dataset = generate_demo(seed=seed, n_items=5000, n_users=10)
    cold = demo_cold_items(seed)
    assert len(cold) == 20
    assert cold == demo_cold_items(seed)
    assert all(Item.from_dict(item.to_dict()) == item for item in cold)
    assert not {item.item_id for item in cold} & {item.item_id for item in dataset.items}
    assert not {item.title for item in cold} & {item.title for item in dataset.items}
    assert len({item.title for item in cold}) == len({item.item_id for item in cold}) == 20
    assert {item.brand for item in cold} <= {item.brand for item in dataset.items}
    assert {item.categories for item in cold} <= {item.categories for item in dataset.items}
    assert len({item.categories[0] for item in cold}) == 10


# --- habits ---------------------------------------------------------------------------------------


def test_every_kind_of_product_takes_part_in_a_habit() -> None:
    named = {noun for habit in HABITS for noun in habit.split(" > ")}
    assert named == {kind.noun for kind in kinds()}
    assert len(kinds()) == len(named)
    table = follow_ups()
    nouns = [kind.noun for kind in kinds()]
    assert nouns[table.kinds[nouns.index("sleeping mat"), 0]] == "camping stove"


def test_circles_stay_in_a_department_and_close() -> None:
    catalogue = build_catalogue(0, 1000)
    circles = item_circles(0, catalogue)
    start = np.arange(1000)
    after = circles.after(start, np.ones(1000, dtype=np.int64))
    assert sorted(after.tolist()) == start.tolist()
    assert (catalogue.department[after] == catalogue.department).all()
    assert circles.size.max() == 6
    assert (circles.after(start, circles.size) == start).all()


# --- signals --------------------------------------------------------------------------------------


class _Predictors:
    """Simple predictors of a user's last item, each from some of what is known; the counts leave it out."""

    def __init__(self, dataset: Dataset, seed: int = 0) -> None:
        catalogue = build_catalogue(seed, dataset.n_items)
        self.kind, self.category, self.department = catalogue.kind, catalogue.category, catalogue.department
        self.brand, self.tier = catalogue.brand, catalogue.tier
        self.histories = [sequence[:-1].astype(np.int64) for sequence in dataset.sequences]
        self.targets = np.array([sequence[-1] for sequence in dataset.sequences], dtype=np.int64)
        source = np.concatenate([history[:-1] for history in self.histories])
        follower = np.concatenate([history[1:] for history in self.histories])
        bought = np.concatenate(self.histories)
        self.popularity: Floats = np.bincount(bought, minlength=dataset.n_items) / len(bought)
        self.item_pairs: Floats = _pairs(source, follower)
        self.kind_pairs: Floats = _pairs(self.kind[source], self.kind[follower])

    def by_popularity(self, history: Ints) -> Floats:
        return self.popularity

    def by_taste(self, history: Ints) -> Floats:
        """Popular items of the categories and brands of the history, whatever its order."""
        return self._share(self.category, history) * self._in_brands(history)

    def by_kind_habit(self, history: Ints) -> Floats:
        """Popular items of the kinds that follow the last item's kind: what texts can tell."""
        following: Floats = self.kind_pairs[self.kind[history[-1]], self.kind]
        return following * self._in_brands(history)

    def by_item_habit(self, history: Ints) -> Floats:
        """Items that followed the very item bought last: what no text can tell."""
        following: Floats = self.item_pairs[history[-1]]
        return following

    def by_both_habits(self, history: Ints) -> Floats:
        of_kind, of_item = self.by_kind_habit(history), self.by_item_habit(history)
        mixed: Floats = 0.7 * of_kind / max(of_kind.sum(), 1e-9) + 0.3 * of_item / max(of_item.sum(), 1e-9)
        return mixed

    def _in_brands(self, history: Ints) -> Floats:
        return (0.1 + self._share(self.brand, history)) * self.popularity

    @staticmethod
    def _share(group: Ints, history: Ints) -> Floats:
        """For every item, the share of its group in the history."""
        share: Floats = np.bincount(group[history], minlength=int(group.max()) + 1) / len(history)
        return share[group]


def _pairs(source: Ints, follower: Ints) -> Floats:
    """How often each follows each, `[size, size]`."""
    size = int(max(source.max(), follower.max())) + 1
    counts = np.bincount(source * size + follower, minlength=size * size)
    return counts.reshape(size, size).astype(np.float64)


def _signals(dataset: Dataset, seed: int = 0) -> dict[str, float]:
    """HIT@10 of every predictor (full ranking, history masked, every third user), and of groups."""
    known = _Predictors(dataset, seed)
    out: dict[str, float] = {}
    users = range(0, dataset.n_users, 3)
    for name in ("popularity", "taste", "kind_habit", "item_habit", "both_habits"):
        predict: Callable[[Ints], Floats] = getattr(known, f"by_{name}")
        hits = 0
        for user in users:
            history, target = known.histories[user], known.targets[user]
            scores = predict(history) + 1e-6 * known.popularity  # popularity breaks ties
            scores[history] = -1.0
            hits += int((scores > scores[target]).sum() < 10)
        out[name] = hits / len(users)
    goal = known.category[known.targets]
    favourite = np.array([np.bincount(known.category[history]).argmax() for history in known.histories])
    out["category of history"] = float((goal == favourite).mean())
    out["commonest category"] = float(np.bincount(goal).max() / len(goal))
    first = np.concatenate([np.full(len(history) - 1, history[0]) for history in known.histories])
    later = np.concatenate([history[1:] for history in known.histories])
    near = known.department[first] == known.department[later]
    out["brand of first"] = float((known.brand[first] == known.brand[later])[near].mean())
    out["price level of first"] = float((known.tier[first] == known.tier[later])[~near].mean())
    return out


def _shuffled(dataset: Dataset) -> Dataset:
    """The same items, lengths and popularity, but who bought what, and when, drawn by lot."""
    everything = np.concatenate(dataset.sequences)
    lot = everything[Draws(0, stream=99).permutation(len(everything))]
    ends = np.cumsum([len(sequence) for sequence in dataset.sequences])
    return replace(dataset, sequences=np.split(lot, ends[:-1]))


@pytest.mark.parametrize("seed", [0, 1])
def test_tastes_and_habits_can_be_learned(seed: int) -> None:
    found = _signals(_demo() if seed == 0 else generate_demo(seed), seed)
    assert 0.01 < found["popularity"] < 0.05
    # The semantic signal: categories and brands of the history, then the order of kinds.
    assert found["category of history"] > 5 * found["commonest category"]
    assert found["brand of first"] > 0.25  # in the same department, where there are eight brands
    assert found["price level of first"] > 0.38  # in other departments, so no brand explains it; three levels
    assert found["taste"] > 5 * found["popularity"]
    assert found["kind_habit"] > found["taste"] + 0.05
    # The ID signal: the very item says more than its kind does, and each knows what the other does not.
    assert found["item_habit"] > found["kind_habit"] + 0.03
    assert found["both_habits"] > found["item_habit"] + 0.05


def test_nothing_can_be_learned_from_shuffled_purchases() -> None:
    """The control: the same measures find nothing where there is nothing."""
    found = _signals(_shuffled(_demo()))
    for name in ("taste", "kind_habit", "item_habit", "both_habits"):
        assert found[name] < found["popularity"] + 0.01
    assert found["category of history"] < found["commonest category"] + 0.01
    assert found["brand of first"] < 0.18
    assert found["price level of first"] < 0.37
