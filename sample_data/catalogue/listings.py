"""What shops say about their pictures: prices, owners, titles, first days. Some shops show pictures that are not
theirs.

There is an order: the owner of an original shows it first, then come the copies. Some are the owner's own, some are
shown by a shop that names the owner, and some by a shop that names itself. The pictures themselves do not depend on
this.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

import numpy as np

from sample_data.catalogue.lettering import word

Use = Literal["own", "licensed", "copied"]
"""How a picture is used: by its owner; in another shop under the owner's name; in another shop under that shop's own
name."""

SHOPS = {"north": "EUR", "harbour": "EUR", "market": "EUR", "studio": "GBP"}
"""Shops with pictures of their own, and the currency of each."""
COPIERS = {"bazaar": "EUR", "outlet": "GBP"}
"""Shops without pictures of their own."""
_USES: tuple[Use, ...] = ("own", "licensed", "copied")
_SHARES = (0.3, 0.3, 0.4)
_SPREAD = 0.12
_POUNDS = 0.85


@dataclass(frozen=True)
class Listing:
    """One picture as its shop shows it.

    use: the true use, which no shop states. list_price: that of the product, in EUR, before a shop's own mark-up.
    """

    shop: str
    owner: str
    use: Use
    title: str
    price: float
    currency: str
    first_seen: datetime
    list_price: float
    true_owner: str

    def truth(self) -> dict[str, str]:
        """The listing with the truth about it: use and true_owner."""
        return {**self.metadata(), "use": self.use, "true_owner": self.true_owner}

    def metadata(self) -> dict[str, str]:
        """The metadata cells of the picture's row."""
        return {
            "title": self.title,
            "shop": self.shop,
            "owner": self.owner,
            "price": f"{self.price:.2f}",
            "currency": self.currency,
            "first_seen": self.first_seen.isoformat(),
        }


def original_listing(rng: np.random.Generator, day: date, category: str, title: str = "") -> Listing:
    """A picture of a shop's own, or of a photographer's or a brand's that the shop names.

    day: the day of its row; by then it has been shown for months. title: by default an invented one.
    """
    shop = str(rng.choice(list(SHOPS)))
    owner = shop if rng.random() < 0.6 else f"{word(rng).capitalize()} Studio"
    named = title or f"{word(rng).capitalize()} {category}"
    list_price = round(float(np.exp(rng.uniform(np.log(3), np.log(300)))), 2)
    seen = _moment(rng, day - timedelta(days=int(rng.integers(120, 400))))
    price, currency = _price(rng, list_price, shop)
    return Listing(shop, owner, "own", named, price, currency, seen, list_price, owner)


def copied_listing(original: Listing, rng: np.random.Generator, day: date) -> Listing:
    """The same product's picture again: in the owner's shop, in another that names the owner, or in one that names
    itself."""
    use = _USES[int(rng.choice(len(_USES), p=_SHARES))]
    shop = original.shop
    if use == "licensed":
        shop = str(rng.choice([name for name in SHOPS if name != original.shop]))
    if use == "copied":
        shop = str(rng.choice([name for name in (*SHOPS, *COPIERS, *COPIERS) if name != original.shop]))
    price, currency = _price(rng, original.list_price, shop)
    earliest = original.first_seen.date() + timedelta(days=1)
    seen = max(day - timedelta(days=int(rng.integers(0, 90))), earliest)
    return replace(
        original, shop=shop, use=use, price=price, currency=currency, first_seen=_moment(rng, seen),
        owner=shop if use == "copied" else original.owner, title=_retold(original.title, rng),
    )  # fmt: skip


def _price(rng: np.random.Generator, list_price: float, shop: str) -> tuple[float, str]:
    currency = {**SHOPS, **COPIERS}[shop]
    mark_up = float(np.exp(rng.normal(0, _SPREAD)))
    return round(list_price * mark_up * (_POUNDS if currency == "GBP" else 1.0), 2), currency


def _moment(rng: np.random.Generator, day: date) -> datetime:
    return datetime.combine(day, time(int(rng.integers(6, 22)), int(rng.integers(60))), UTC)


def _retold(title: str, rng: np.random.Generator) -> str:
    """A title as another page writes it: the same, in another case, with other words around it, or quite another
    one."""
    kind = rng.random()
    if kind < 0.4:
        return title
    if kind < 0.6:
        return title.upper().replace(" ", " - ")
    if kind < 0.85:
        return f"{title}, {rng.choice(['new', 'sale', 'top quality', 'free delivery'])}"
    return f"{word(rng).capitalize()} {title.rsplit(maxsplit=1)[-1]}"
