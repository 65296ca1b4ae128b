"""Inside the neural baselines: windows, negatives, FM by hand, causality, and how BERT4Rec masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model.items import Item
from model.packing import Run
from tests.support.baselines import dataset_of
from training.baselines.bert4rec import Bert4RecRanker, Bert4RecSettings, whole_histories
from training.baselines.caser import CaserRanker, CaserSettings
from training.baselines.fm import FmRanker, FmSettings, number_attributes
from training.baselines.gru4rec import Gru4RecRanker, Gru4RecSettings
from training.baselines.hgn import HgnRanker, HgnSettings
from training.baselines.sampling import Negatives, bce, bpr, by_length
from training.baselines.windows import Windows, latest
from training.evaluate.splits import leave_one_out
from training.fit.batches import Batch, TrainingBatches

ROWS = [np.array(row, dtype=np.int32) for row in ([7, 8, 9, 6], [5], [1, 2])]


def negatives_of(n_items: int) -> Negatives:
    """All items are trained on."""
    return Negatives(leave_one_out(dataset_of([[*range(n_items), 0, 0]], n_items)), n_items)


def test_windows_by_hand() -> None:
    windows = Windows(ROWS, length=2, ahead=2, batch_size=3)
    assert len(windows) == 2
    batches = list(windows.epoch(np.random.default_rng(0)))
    assert [len(batch.users) for batch in batches] == [3, 1]
    rows = [torch.cat(parts) for parts in zip(*batches, strict=True)]
    samples = {(u, tuple(w), tuple(t)) for u, w, t in zip(*(part.tolist() for part in rows), strict=True)}
    assert samples == {
        (0, (-1, 7), (8, 9)),
        (0, (7, 8), (9, 6)),
        (0, (8, 9), (6, -1)),
        (2, (-1, 1), (2, -1)),
    }


def test_windows_are_in_another_order_each_epoch() -> None:
    windows = Windows([np.arange(50, dtype=np.int32)], length=2, ahead=1, batch_size=50)
    first, again, other = (next(windows.epoch(np.random.default_rng(seed))).targets for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_windows_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="no user has two training interactions"):
        Windows(ROWS[1:2], length=2, ahead=1, batch_size=1)


def test_the_latest_items_and_the_histories_by_length() -> None:
    assert latest(ROWS, 3).tolist() == [[8, 9, 6], [-1, -1, 5], [-1, 1, 2]]
    found = [(members.tolist(), items.tolist()) for members, items in by_length([*ROWS, ROWS[2]], torch.device("cpu"))]
    assert found == [([1], [[5]]), ([2, 3], [[1, 2], [1, 2]]), ([0], [[7, 8, 9, 6]])]


def test_negatives_are_trained_items_other_than_the_target_all_as_likely() -> None:
    split = leave_one_out(dataset_of([[0, 2, 5, 7, 1, 3]], 9))
    negatives = Negatives(split, 9)
    targets = torch.tensor([2] * 3000 + [7] * 3000)
    drawn = negatives.draw(targets, 2)
    assert drawn.shape == (6000, 2)
    assert not (drawn == targets.unsqueeze(-1)).any()
    counts = torch.bincount(drawn[:3000].flatten(), minlength=9)
    assert counts.nonzero().flatten().tolist() == [0, 5, 7]
    assert (counts[[0, 5, 7]] - 2000).abs().max() < 150  # four standard deviations


def test_pair_losses_by_hand() -> None:
    positive, negative = torch.tensor([2.0]), torch.tensor([[0.0, 1.0]])

    def log_sigmoid(value: float) -> float:
        return float(np.log(1 / (1 + np.exp(-value))))

    assert bce(positive, negative).item() == pytest.approx(
        -log_sigmoid(2) - (log_sigmoid(0) + log_sigmoid(-1)) / 2, rel=1e-5
    )
    assert bpr(positive, negative).item() == pytest.approx(-(log_sigmoid(2) + log_sigmoid(1)) / 2, rel=1e-5)


def test_attributes_are_brands_and_categories_numbered() -> None:
    items = [
        Item("a", brand="x", categories=("c", "d")),
        Item("b", categories=("d", "x", "d")),
        Item("c"),
    ]
    # The brand x is not the category x.
    assert number_attributes(items) == [[0, 1, 2], [2, 3], []]


def pairs(features: list[tuple[Tensor, float]]) -> float:
    """Σ over pairs of features of (v · v') x x'."""
    return sum(float(a @ b) * x * y for n, (a, x) in enumerate(features) for b, y in features[n + 1 :])


@torch.no_grad()
def test_fm_score_is_the_formula_over_all_pairs_of_features() -> None:
    attributes = [[0, 1, 2], [2], []]
    torch.manual_seed(0)
    model = FmRanker(2, 3, attributes, FmSettings(dim=4), negatives_of(3))
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    users, window = 1, [2, 0]
    scores = model.query(torch.tensor([users]), [np.array(window, dtype=np.int32)]) @ model.catalogue().T
    context = [(model.user.weight[users], 1.0), (model.previous.weight[0], 1.0)]
    context += [(model.past.weight[item], 0.5) for item in window]
    for item, numbers in enumerate(attributes):
        share = 1 / max(1, len(numbers))
        candidate = [(model.item.weight[item], 1.0)] + [(model.attribute.weight[n], share) for n in numbers]
        linear = float(model.item_weight[item]) + share * float(
            sum(model.attribute_weight.weight[n, 0] for n in numbers)
        )
        # What the context adds by itself is the same for all candidates, and left out.
        expected = linear + pairs(context + candidate) - pairs(context)
        assert scores[0, item].item() == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_gru4rec_reads_the_past_alone_and_answers_with_the_last_state() -> None:
    model = Gru4RecRanker(20, Gru4RecSettings(dim=8, hidden=8), negatives_of(20)).eval()
    runs = (Run(2, 1), Run(2, 4))
    items = torch.arange(10)
    states = model.states(items, runs)
    changed = items.clone()
    changed[[4, 9]] = 15  # third item of the first long history, last of the second
    differs = (model.states(changed, runs) != states).any(-1)
    assert differs.nonzero().flatten().tolist() == [4, 5, 9]
    histories = [items[2:6].numpy().astype(np.int32), items[:1].numpy().astype(np.int32)]
    assert torch.allclose(model.query(torch.zeros(2), histories), states[[5, 0]], atol=1e-6)


@pytest.mark.parametrize("kind", ["caser", "hgn"])
def test_an_empty_place_of_a_window_says_nothing(kind: str) -> None:
    torch.manual_seed(0)
    model: CaserRanker | HgnRanker = (
        CaserRanker(3, 10, CaserSettings(dim=8), negatives_of(10))
        if kind == "caser"
        else HgnRanker(3, 10, HgnSettings(dim=8), negatives_of(10))
    )
    assert model.item.weight[0].tolist() == [0] * 8
    windows = Windows([np.arange(8, dtype=np.int32)], length=5, ahead=3, batch_size=8)
    model.loss(next(windows.epoch(np.random.default_rng(0)))).backward()  # type: ignore[no-untyped-call]
    assert model.item.weight.grad is not None
    assert model.item.weight.grad[0].tolist() == [0] * 8
    model.eval()
    users = torch.tensor([1, 1])
    state = model.state(users, torch.tensor([[-1, -1, 4, 5, 6], [3, -1, 4, 5, 6]]))
    assert torch.isfinite(state).all()
    assert not torch.allclose(state[0], state[1])


def test_hgn_by_hand() -> None:
    model = HgnRanker(1, 3, HgnSettings(dim=2, length=2), negatives_of(3))
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    model.user.weight.data = torch.tensor([[1.0, 0.0]])
    model.item.weight.data = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [1.0, 1.0]])
    # All gates are open by half: features halved, instances weighted the same; user + pooled + sum of the items.
    two, one = model.state(torch.tensor([0, 0]), torch.tensor([[0, 1], [-1, 1]])).tolist()
    assert two == [1 + 0.5 + 2, 1 + 4, 1]
    assert one == [1, 2 + 4, 1]


def bert(n_items: int = 30, **changes: float) -> Bert4RecRanker:
    torch.manual_seed(0)
    return Bert4RecRanker(n_items, Bert4RecSettings(dim=8, length=6, **changes))  # type: ignore[arg-type]


def test_bert4rec_trains_on_whole_training_sequences() -> None:
    rows = [np.arange(*ends, dtype=np.int32) for ends in ((0, 4), (10, 12), (20, 29))]
    batches = TrainingBatches(rows, batch_size=3, max_length=5)
    batch = next(batches.epoch(np.random.default_rng(0)))
    assert [part.tolist() for part in whole_histories(batch)] == [
        [[10, 11]],
        [[0, 1, 2, 3]],
        [[23, 24, 25, 26, 27, 28]],
    ]


def test_bert4rec_hides_the_share_it_should_and_at_least_one() -> None:
    items = torch.zeros(4000, 5, dtype=torch.int64)
    hidden = bert(masked=0.4, last_only=0.0).draw_mask(items)
    assert hidden.any(1).all()
    assert hidden[:, 0].float().mean().item() == pytest.approx(0.4, abs=0.04)
    # The last also stands in where none was drawn.
    assert hidden[:, 4].float().mean().item() == pytest.approx(0.4 + 0.6**5, abs=0.04)
    last = bert(masked=0.4, last_only=1.0).draw_mask(items)
    assert set(last.nonzero()[:, 1].tolist()) == {4}
    assert last.sum().item() == 4000


def test_bert4rec_does_not_see_what_it_fills_in(monkeypatch: pytest.MonkeyPatch) -> None:
    model = bert().eval()
    seen: list[Tensor] = []
    states = model.states

    def spy(items: Tensor) -> Tensor:
        seen.append(items)
        return states(items)

    monkeypatch.setattr(model, "states", spy)
    monkeypatch.setattr(model, "draw_mask", lambda items: torch.arange(items.shape[1]).expand_as(items) % 2 == 1)
    model.loss(Batch(torch.tensor([3, 4, 5]), torch.tensor([4, 5, 6]), (Run(1, 3),)))
    assert seen[0].tolist() == [[3, 30, 5, 30]]


def test_bert4rec_is_asked_with_a_mask_behind_the_latest_items() -> None:
    model = bert().eval()
    histories = [np.array([1, 2], dtype=np.int32), np.arange(10, 20, dtype=np.int32)]
    query = model.query(torch.zeros(2), histories)
    for row, asked in enumerate(([1, 2, 30], [15, 16, 17, 18, 19, 30])):
        expected = model.head(model.states(torch.tensor([asked]))[:, -1])[0]
        assert torch.allclose(query[row], torch.cat([expected, torch.ones(1)]), atol=1e-6)
    assert model.catalogue().shape == (30, 9)
