"""The card of the model that serves."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from service.api.openapi import GUARDED, answer, problems
from service.contract.operation_answers import ModelResponse
from service.explore.model_card import model_card
from service.lifecycle.runtime import ReadyDep
from service.security.scopes import needs

router = APIRouter(tags=["operate"], responses=problems(*GUARDED))


@router.get("/model", response_model=ModelResponse, responses=problems("not-ready"), openapi_extra=needs("read"))
async def model(runtime: ReadyDep) -> Response:
    """The model that serves: what it was made from and how, what was measured, what its tokens are."""
    return answer(model_card(runtime.ready().artifact.manifest))
