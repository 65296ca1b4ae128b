"""Previews: what an item would become if it were registered, its nearest items, and the users it would reach."""

from __future__ import annotations

import threading

from model.artifact import Artifact
from model.items import Item
from model.tokenizer import COLD
from service.catalogue.moment import Moment
from service.catalogue.presentation import found, recommended
from service.catalogue.records import encode
from service.contract.answers import Outcome
from service.contract.explore_answers import Audience as AudienceAnswer
from service.contract.explore_answers import Listener, PreviewResponse
from service.explore.audience import ExampleUsers, RankedUsers, Reach
from service.index.neighbour_index import ItemLinks

_NEIGHBOURS = 8
_SHOWN = 5  # users
_AMONG = 10  # ranks at which an item reaches somebody


class Previewer:
    """Previews by one artifact. It ranks items for the example users at the first preview of a moment, one caller at a
    time, and keeps the ranks for the next preview.
    """

    def __init__(self, artifact: Artifact, unusual_percentile: float, users: ExampleUsers) -> None:
        self._artifact = artifact
        self._unusual = unusual_percentile
        self._users = users
        self._lock = threading.Lock()
        self._asked: tuple[Moment, RankedUsers] | None = None

    def preview(self, moment: Moment, item: Item) -> PreviewResponse:
        """What `item` would become if it were put now."""
        (code,) = encode(self._artifact, [item])
        row = moment.row(item.item_id)
        before = None if row is None else moment.record(row)
        shares = moment.shares(code.codes) - (before is not None and before.codes == code.codes)
        outcome: Outcome = "created"
        if before is not None:
            outcome = "unchanged" if before.item.content_hash() == item.content_hash() else "replaced"
        near, cosines = moment.nearest(code.embedding, _NEIGHBOURS, moment.index.split > 0, without=row)
        ranked = self._ranked_users(moment)
        reached = ranked.reached_by(code.embedding, ItemLinks(code.item_index, code.neighbours), row)
        return PreviewResponse(
            item_id=item.item_id,
            outcome=outcome,
            cold=code.item_index == COLD or bool(self._artifact.items.cold[code.item_index]),
            semantic_id=list(code.codes),
            shares_semantic_id=shares,
            quantization_error=code.error,
            quantization_error_percentile=code.percentile,
            unusual=code.percentile >= self._unusual,
            neighbours=[
                recommended(moment.record(row), cosine)
                for row, cosine in zip(near.tolist(), cosines.tolist(), strict=True)
            ],
            audience=AudienceAnswer(
                users=len(ranked.users),
                reached=sum(each.rank <= _AMONG for each in reached),
                best=[_listener(moment, each) for each in reached[:_SHOWN]],
            ),
            model_version=self._artifact.version,
        )

    def forget(self, generation: object) -> None:
        """Let go of what is kept of a generation that is no longer served."""
        with self._lock:
            if self._asked is not None and self._asked[0].generation is generation:
                self._asked = None

    def _ranked_users(self, moment: Moment) -> RankedUsers:
        with self._lock:
            if self._asked is None or self._asked[0] is not moment:
                self._asked = moment, RankedUsers(self._artifact, moment, self._users.asked(moment))
            return self._asked[1]


def _listener(moment: Moment, reach: Reach) -> Listener:
    history = [found(moment, row) for row in reach.user.history]
    return Listener(reach.rank, reach.score, history, found(moment, reach.user.chosen))
