"""The objects that the API takes and gives, as its description shows them."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Self
from urllib.parse import urlencode

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from dlcore.search.index import Index
from search_service.query import Neighbour
from search_service.service import Service

Key = Annotated[str, StringConstraints(min_length=1, max_length=32_700)]
Text = Annotated[str, StringConstraints(max_length=1000)]
Filters = dict[Annotated[str, StringConstraints(max_length=100)], Annotated[list[Text], Field(max_length=1000)]]


class Picture(BaseModel):
    """A picture: a key on a day."""

    model_config = ConfigDict(extra="forbid")
    key: Key
    day: date


class QueryIn(BaseModel):
    """What is searched for: a code, or a key. For a key, its newest day and first crop count, unless others are
    named."""

    model_config = ConfigDict(extra="forbid")
    code: Annotated[str, StringConstraints(pattern=r"^([0-9a-fA-F]{2}){1,1024}$")] | None = Field(
        None, description="hexadecimal, as long as the codes of the index", examples=["9f3c"]
    )
    key: Key | None = Field(None, examples=["sku-17/0"])
    day: date | None = None
    crop: Annotated[int, Field(ge=0, le=32_767)] | None = None
    without: Picture | None = Field(None, description="picture to leave out of the answer")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.code is None) == (self.key is None):
            raise ValueError("got both or neither of code and key, expected one of them")
        return self


class Asked(BaseModel):
    """How many neighbours are wanted, and which pass."""

    model_config = ConfigDict(extra="forbid")
    k: Annotated[int, Field(ge=1)] = Field(10, description="number of neighbours of each query")
    where: Filters = Field(
        {}, description="for each filter, the values that pass", examples=[{"label": ["mug", "pan"]}]
    )
    since: date | None = Field(None, description="first day that passes")
    until: date | None = Field(None, description="last day that passes")
    index: Text = Field("", description="version of the index; empty: the newest")


class SearchIn(Asked):
    """Queries that are answered together, with the same filters and by the same version of the index."""

    queries: Annotated[list[QueryIn], Field(min_length=1)]


class NeighbourOut(BaseModel):
    """An item of the index near a query; distance in bits. picture: the address of its thumbnail."""

    key: str
    day: str
    crop: int
    label: str
    group: str
    distance: int
    position: int
    picture: str

    @classmethod
    def of(cls, found: Neighbour) -> NeighbourOut:
        """The object for an item of the index."""
        return cls(**vars(found), picture=picture_address(found.key, found.day, found.crop))


class ItemOut(BaseModel):
    """An item of the index; its code is in hexadecimal. about: the values of its filter columns. picture: the address
    of its thumbnail."""

    key: str
    day: str
    crop: int
    label: str
    group: str
    position: int
    code: str
    about: dict[str, str | float] = {}
    picture: str

    @classmethod
    def of(cls, index: Index, position: int) -> ItemOut:
        """The object for an item of the index."""
        item = index.item(position)
        picture = picture_address(item.key, item.day, item.crop)
        code, about = index.code(position).tobytes().hex(), index.told(position)
        return cls(**vars(item), code=code, about=about, picture=picture)


class ItemsOut(BaseModel):
    """The items of a key."""

    index: str
    items: list[ItemOut]


class AnswerOut(BaseModel):
    """The answer to one query: the item that it names, if any, and its neighbours, nearest first."""

    item: ItemOut | None = None
    neighbours: list[NeighbourOut]


class BoxOut(BaseModel):
    """A part of a picture; corners as fractions of its width and height. source: `detection`, `whole_image` or
    `chosen`."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float
    label: str | None
    score: float | None
    source: str = "detection"


class SeenOut(BaseModel):
    """What was seen in a picture of `width` x `height` pixels (upright, at most 1024): the part that is searched for,
    and everything that was found."""

    width: int
    height: int
    crop: BoxOut
    objects: list[BoxOut]
    code: str


class PictureSearchOut(BaseModel):
    """What was seen in a picture, and its neighbours."""

    index: str
    items: int
    seen: SeenOut
    neighbours: list[NeighbourOut]


class SearchOut(BaseModel):
    """The answers, all from the version `index`, which has so many items."""

    index: str
    items: int
    answers: list[AnswerOut]


def picture_address(key: str, day: str, crop: int) -> str:
    """The address of an item's thumbnail."""
    return f"/api/v1/picture?{urlencode({'key': key, 'day': day, 'crop': crop})}"


def service_of(request: Request) -> Service:
    """The worker's service."""
    service: Service = request.app.state.service
    return service
