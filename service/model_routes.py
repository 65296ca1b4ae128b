"""The card of the model that serves."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from service.documents import GUARDED, answer, problems
from service.model_card import model_card
from service.model_responses import ModelResponse
from service.runtime import ReadyDep
from service.scopes import needs

router = APIRouter(tags=["operate"], responses=problems(*GUARDED))


@router.get("/model", response_model=ModelResponse, responses=problems("not-ready"), openapi_extra=needs("read"))
async def model(runtime: ReadyDep) -> Response:
    """The model that serves: what it was made from and how, what was measured, what its tokens are."""
    return answer(model_card(runtime.ready().artifact.manifest))
