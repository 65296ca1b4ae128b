"""The recommender: causal, blind to other histories, deterministic when it does not train."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from model.config import RecommenderConfig
from model.packing import Run, pack
from model.recommender import SequenceRecommender


def recommender(**changes: Any) -> SequenceRecommender:
    torch.manual_seed(1)
    out = SequenceRecommender(RecommenderConfig(**{"dim": 8, "max_length": 6, "dropout": 0.5} | changes))
    for parameter in out.parameters():
        # Weights of 0.02 would leave differences that a test cannot tell from rounding.
        torch.nn.init.normal_(parameter, std=0.3)
    return out.eval()


def histories(*shape: int) -> Tensor:
    return torch.randn(*shape, 8, generator=torch.Generator().manual_seed(2))


def test_the_published_initialisation() -> None:
    module = SequenceRecommender(RecommenderConfig(dim=64))
    for name, parameter in module.named_parameters():
        if name.endswith("norm.weight"):
            assert bool((parameter == 1).all()), name
        elif name.endswith("bias"):
            assert bool((parameter == 0).all()), name
        else:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.1), name


def states(module: SequenceRecommender, history: Tensor) -> Tensor:
    """Hidden states [count, length, 8] of histories [count, length, 8] of one length."""
    out: Tensor = module(history.flatten(0, 1), (Run(*history.shape[:2]),))
    return out.view(history.shape)


def test_shapes() -> None:
    module = recommender()
    runs = (Run(3, 1), Run(1, 4))
    assert module(histories(7), runs).shape == (7, 8)
    assert module.query(histories(7), runs).shape == (4, 8)


def test_a_later_item_never_changes_an_earlier_state() -> None:
    module = recommender()
    history = histories(2, 6)
    before = states(module, history)
    for place in range(6):
        changed = history.clone()
        changed[:, place] = -2.0 * changed[:, place]
        after = states(module, changed)
        assert torch.equal(after[:, :place], before[:, :place])
        # …and it does change its own state and every later one, a hundred times more than rounding does.
        assert bool(((after[:, place:] - before[:, place:]).abs().amax(-1) > 1e-4).all())


@pytest.mark.parametrize("changes", [{}, {"blocks": 1, "feed_forward": 1}])
def test_packed_histories_are_read_as_if_each_were_alone(changes: dict[str, Any]) -> None:
    module = recommender(**changes)
    every = [histories(length) * (place + 1) for place, length in enumerate([5, 1, 3, 5, 3, 6])]
    order, runs = pack([len(history) for history in every])
    tokens = torch.cat([every[place] for place in order])
    together = module(tokens, runs)
    query = module.query(tokens, runs)
    start = 0
    for row, place in enumerate(order):
        alone = states(module, every[place].unsqueeze(0))[0]
        torch.testing.assert_close(together[start : start + len(alone)], alone)
        # The query is the state of the last item, though only that one state is computed.
        torch.testing.assert_close(query[row], alone[-1])
        start += len(alone)
    assert start == len(tokens)


def test_gradients_of_packed_histories_are_those_of_each_alone() -> None:
    module = recommender(max_length=9)
    lengths = [2, 3, 3, 4, 9]
    every = [histories(length) * (place + 1) for place, length in enumerate(lengths)]
    together = torch.cat(every).requires_grad_()
    weight = histories(len(together))
    (module(together, pack(lengths).runs) * weight).sum().backward()
    assert together.grad is not None
    for one, part, gradient in zip(
        every, *(torch.split(each, lengths) for each in (weight, together.grad)), strict=True
    ):
        alone = one.unsqueeze(0).requires_grad_()
        (states(module, alone)[0] * part).sum().backward()
        assert alone.grad is not None
        torch.testing.assert_close(gradient, alone.grad[0], rtol=1e-4, atol=1e-5)


def test_the_order_of_the_history_matters() -> None:
    module = recommender()
    history = histories(1, 4)
    assert not torch.allclose(
        states(module, history)[:, -1], states(module, history[:, [1, 0, 2, 3]])[:, -1], atol=1e-3
    )


def test_a_history_that_is_too_long_is_an_error() -> None:
    module = recommender()
    assert states(module, histories(1, 6)).shape == (1, 6, 8)
    with pytest.raises(ValueError, match="history: 7 items, at most 6 are read"):
        states(module, histories(1, 7))


def test_evaluation_is_deterministic_and_training_drops_out() -> None:
    module = recommender()
    assert torch.equal(states(module, histories(2, 6)), states(module, histories(2, 6)))
    module.train()
    assert not torch.equal(states(module, histories(2, 6)), states(module, histories(2, 6)))
    torch.manual_seed(5)
    first = states(module, histories(2, 6))
    torch.manual_seed(5)
    assert torch.equal(states(module, histories(2, 6)), first)


def test_without_dropout_training_computes_what_evaluation_does() -> None:
    module = recommender(dropout=0.0)
    evaluated = states(module, histories(2, 6))
    torch.testing.assert_close(states(module.train(), histories(2, 6)), evaluated)


def test_a_block_against_a_computation_in_loops() -> None:
    """One block, two heads, written out: attention to the past, residual, LayerNorm, GELU, residual, LayerNorm."""
    module = recommender(blocks=1)
    history = histories(1, 3)
    block: Any = module.blocks[0]

    def norm(value: Tensor, layer: Any) -> Tensor:
        centred = value - value.mean()
        out: Tensor = centred / (centred.square().mean() + 1e-12).sqrt() * layer.weight + layer.bias
        return out

    hidden = [norm(history[0, t] + module.positions.weight[t], module.norm) for t in range(3)]
    projected = [torch.cat([block.query(row), block.key_value(row)]).view(3, 2, 4) for row in hidden]
    for t in range(3):
        mixed = []
        for head in range(2):
            scores = torch.stack([projected[t][0, head] @ projected[s][1, head] / 2.0 for s in range(t + 1)])
            share = scores.softmax(0)
            mixed.append(sum((share[s] * projected[s][2, head] for s in range(t + 1)), torch.zeros(4)))
        attended = norm(hidden[t] + block.out(torch.cat(mixed)), block.attention_norm)
        wide = block.widen(attended)
        gelu = 0.5 * wide * (1 + torch.erf(wide / 2**0.5))
        expected = norm(attended + block.narrow(gelu), block.feed_forward_norm)
        torch.testing.assert_close(states(module, history)[0, t], expected, rtol=1e-4, atol=1e-4)
