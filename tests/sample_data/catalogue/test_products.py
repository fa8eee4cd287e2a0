"""Generated products, scenes and transforms: the same seed gives the same pixels, and the truth fits the picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sample_data.catalogue.backgrounds import BACKGROUNDS, Background
from sample_data.catalogue.categories import CATEGORIES
from sample_data.catalogue.products import Product, products
from sample_data.catalogue.scenes import Placement, compose, draw_scene
from sample_data.catalogue.stronger_transforms import STRONGER
from sample_data.catalogue.textures import FIELDS
from sample_data.catalogue.transforms import TRANSFORMS, encoded
from sample_data.catalogue.views import ViewPool, photographed

EVERY = {**TRANSFORMS, **STRONGER}


@pytest.fixture(scope="module")
def pool() -> ViewPool:
    return ViewPool.drawn(seed=5, products=len(CATEGORIES), backgrounds=3, size=64, workers=1)


@pytest.mark.parametrize("number", range(len(CATEGORIES)), ids=list(CATEGORIES))
def test_product_is_drawn_alike_every_time_and_fills_its_cut_out(number: int) -> None:
    product = Product.numbered(5, number)
    first, again = product.draw(150), product.draw(150)
    assert first.tobytes() == again.tobytes()
    assert max(first.size) == 150
    assert np.asarray(first)[..., 3].max() > 150
    left, top, right, bottom = first.getchannel("A").getbbox() or (0, 0, 0, 0)
    assert max(left, top, first.width - right, first.height - bottom) <= 2


def test_products_of_a_category_differ() -> None:
    count = len(CATEGORIES)
    outlines = {product.draw(48).getchannel("A").tobytes() for product in products(6, 12 * count)}
    assert len(outlines) > 11.5 * count


def test_hue_shift_keeps_the_shape_and_changes_the_colour() -> None:
    product = next(p for p in products(7, 400) if p.palette().saturation > 0.6 and p.category == "shirt")
    first, second = product.draw(80), product.draw(80, 180)
    assert first.getchannel("A").tobytes() == second.getchannel("A").tobytes()
    assert first.tobytes() != second.tobytes()


@pytest.mark.parametrize("name", FIELDS)
def test_texture_has_the_size_asked_for_and_contrast(name: str) -> None:
    field = FIELDS[name](np.random.default_rng(3), 90, 61)
    assert field.size == (90, 61) and field.mode == "L"
    assert np.ptp(np.asarray(field)) > 40


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_background_is_the_same_for_the_same_seed(kind: str) -> None:
    background = Background(kind, (1, 2))
    assert background.draw(70, 50).tobytes() == background.draw(70, 50).tobytes()
    assert background.draw(70, 50).size == (70, 50)


def test_box_of_a_placed_thing_is_where_its_pixels_are() -> None:
    square = Image.new("RGBA", (40, 20), (255, 0, 0, 255))
    canvas = Image.new("RGB", (200, 100), (0, 0, 255))
    image, boxes = compose(canvas, [(square, Placement(0.5, 0.5, 0.4, shadow=0))], np.random.default_rng(0))
    red = np.argwhere(np.asarray(image)[..., 0] > 128)
    (y_min, x_min), (y_max, x_max) = red.min(axis=0), red.max(axis=0) + 1
    assert boxes[0] == pytest.approx((x_min, y_min, x_max, y_max), abs=1.5)
    assert (x_max - x_min, y_max - y_min) == pytest.approx((40, 20), abs=2)


def test_thing_outside_the_picture_has_no_box() -> None:
    square = Image.new("RGBA", (40, 20), (255, 0, 0, 255))
    placed = [(square, Placement(2.0, 0.5, 0.4, shadow=0))]
    assert compose(Image.new("RGB", (100, 100)), placed, np.random.default_rng(0))[1] == [None]


def test_scene_is_the_same_every_time_and_its_boxes_are_inside() -> None:
    goods = products(8, 5)
    scene = draw_scene(goods[0], np.random.default_rng(1), goods[1:])
    first, again = scene.draw(), scene.draw()
    assert first.image.tobytes() == again.image.tobytes()
    assert first.labels[0] == goods[0].category
    assert (first.boxes >= 0).all() and (first.boxes[:, 2:] <= first.image.size).all()
    assert (first.boxes[:, 2:] > first.boxes[:, :2]).all()


@pytest.mark.parametrize("name", EVERY)
def test_transform_moves_boxes_with_the_pixels(name: str) -> None:
    """A white square on black is where its moved box says, whatever the transform did."""
    canvas = Image.new("RGB", (240, 180), (0, 0, 0))
    canvas.paste((255, 255, 255), (90, 70, 150, 110))
    changed = EVERY[name](canvas, np.random.default_rng(4))
    box = changed.moved(np.array([[90, 70, 150, 110]], np.float32))[0]
    stored = np.asarray(changed.image.convert("L"))
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    assert stored[int(y), int(x)] > 120
    area = (box[2] - box[0]) * (box[3] - box[1])
    inside = (stored[round(box[1]) : round(box[3]), round(box[0]) : round(box[2])] > 90).mean()
    assert area > 500 and inside > 0.65
    assert encoded(changed.image, changed.file_format, changed.quality)


def test_transform_is_the_same_for_the_same_seed() -> None:
    picture = Background("cloudy", (3,)).draw(120, 90)
    for change in EVERY.values():
        first, again = (change(picture, np.random.default_rng(9)) for _ in range(2))
        assert first.image.tobytes() == again.image.tobytes() and first.matrix == again.matrix


def test_views_repeat_and_keep_their_size(pool: ViewPool) -> None:
    views = [pool.scene(np.random.default_rng(3), 96, 4) for _ in range(2)]
    assert views[0].image.tobytes() == views[1].image.tobytes()
    assert views[0].boxes.shape == (len(views[0].numbers), 4)
    assert photographed(views[0].image, np.random.default_rng(1)).size == (96, 96)
