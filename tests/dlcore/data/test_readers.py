"""Readers of data sets: files written here byte by byte by their published formats; what is missing or damaged says
so."""

from __future__ import annotations

import gzip
import random
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from dlcore.data import cifar10, files, mnist, movielens, news20
from dlcore.settings import Settings

ROWS = np.random.default_rng(4)
IMAGES = ROWS.integers(0, 256, (7, 5, 4), dtype=np.uint8)
LABELS = ROWS.integers(0, 10, 7, dtype=np.uint8)


def idx(array):
    """The format as its page has it: two zeros, 8 for bytes, the dimensions, their sizes, the bytes."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def with_mnist(folder, packed=".gz", separator="-"):
    for prefix in ("train", "t10k"):
        for what, array in ((f"images{separator}idx3", IMAGES), (f"labels{separator}idx1", LABELS)):
            content = idx(array)
            path = folder / f"{prefix}-{what}-ubyte{packed}"
            path.write_bytes(gzip.compress(content) if packed else content)
    return folder


@pytest.mark.parametrize("packed", [".gz", ""])
@pytest.mark.parametrize("separator", ["-", "."])
def test_digits_are_read(tmp_path, packed, separator):
    images, labels = mnist.read_data_sets(str(with_mnist(tmp_path, packed, separator)), "train")
    np.testing.assert_array_equal(images, IMAGES[..., None])
    np.testing.assert_array_equal(labels, LABELS)
    assert images.dtype == labels.dtype == np.uint8


def test_digits_are_normalised(tmp_path):
    (train, train_labels), (test, test_labels) = mnist.load_data(with_mnist(tmp_path))
    expected = (IMAGES[..., None].astype(float) - 0.13066047740239506 * 255) / (0.3081078 * 255)
    for images, labels in ((train, train_labels), (test, test_labels)):
        np.testing.assert_allclose(images, expected)
        np.testing.assert_array_equal(labels, LABELS + 1)


def test_digits_that_are_missing_say_what_to_put_where(tmp_path):
    with pytest.raises(FileNotFoundError) as found:
        mnist.read_data_sets(tmp_path / "digits", "test")
    for part in (str(tmp_path / "digits"), "t10k-images-idx3-ubyte.gz", "nothing is downloaded", mnist.SOURCE_URL):
        assert part in str(found.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", idx(LABELS), "begins with 2049, expected 2051, an idx file of images"),
        ("train-images-idx3-ubyte", idx(IMAGES)[:-1], "got 139 bytes behind the head, expected 140"),
        ("train-images-idx3-ubyte", idx(IMAGES) + b"1", "got 141 bytes"),
        ("train-images-idx3-ubyte", struct.pack(">4I", 2051, *[1 << 31] * 3), "expected 9903520314283042199192993792"),
        ("train-images-idx3-ubyte", b"", "begins with 0"),
        ("train-images-idx3-ubyte", gzip.compress(idx(IMAGES), mtime=0)[:-9], "damaged gzip"),
        ("train-labels-idx1-ubyte", idx(LABELS[:5]), "got 7 images and 5 labels"),
        ("train-labels-idx1-ubyte", gzip.compress(idx(LABELS), mtime=0), None),
    ],
)
def test_damaged_digits_are_refused(tmp_path, name, content, message):
    (with_mnist(tmp_path, "") / name).write_bytes(content)
    if message is None:  # gzipped under a name without .gz
        np.testing.assert_array_equal(mnist.read_data_sets(tmp_path)[1], LABELS)
        return
    with pytest.raises(ValueError, match=message):
        mnist.read_data_sets(tmp_path)


@pytest.mark.parametrize("reader", [mnist, cifar10])
def test_there_are_sets_to_train_and_to_test(tmp_path, reader):
    with pytest.raises(ValueError, match="got data_type 'validation'"):
        reader.read_data_sets(tmp_path, "validation")


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-bin"])
def test_small_pictures_are_read(tmp_path, inside):
    (tmp_path / inside).mkdir(exist_ok=True)
    pixels = ROWS.integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
    for place, name in enumerate([*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]):
        content = bytes([place]) + pixels[place].tobytes()
        packed = place == 2
        (tmp_path / inside / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)
    images, labels = cifar10.read_data_sets(tmp_path)
    np.testing.assert_array_equal(images, pixels[:5])
    np.testing.assert_array_equal(labels, range(5))
    np.testing.assert_array_equal(cifar10.read_data_sets(tmp_path, "test")[0], pixels[5:])


@pytest.mark.parametrize(
    ("content", "message"),
    [(bytes(3072), "expected a multiple of 3073"), (b"", "got 0 bytes"), (bytes([10, *[0] * 3072]), "got label 10")],
)
def test_damaged_small_pictures_are_refused(tmp_path, content, message):
    (tmp_path / "test_batch.bin").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        cifar10.read_data_sets(tmp_path, "test")
    with pytest.raises(FileNotFoundError, match=r"got no data_batch_1\.bin"):
        cifar10.read_data_sets(tmp_path)


RATINGS = b"1::1193::5::978300760\n1::661::3::978302109\n6040::3952::1::956704746\n"
EXPECTED = [[1, 1193, 5, 978300760], [1, 661, 3, 978302109], [6040, 3952, 1, 956704746]]


@pytest.mark.parametrize("place", ["ml-1m/ratings.dat", "ratings.dat", "ml-1m.zip"])
def test_ratings_are_read(tmp_path, place):
    if place.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / place, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("ml-1m/ratings.dat", RATINGS)
    else:
        (tmp_path / "ml-1m").mkdir()
        (tmp_path / place).write_bytes(RATINGS)
    np.testing.assert_array_equal(movielens.read_data_sets(tmp_path), EXPECTED)
    np.testing.assert_array_equal(movielens.get_id_pairs(tmp_path), [row[:2] for row in EXPECTED])
    np.testing.assert_array_equal(movielens.get_id_ratings(tmp_path), [row[:3] for row in EXPECTED])


@pytest.mark.parametrize("line", [b"1::2::3", b"1::2::x::4", b"1::2::3::4::5", b"user::film::rating::time"])
def test_a_wrong_rating_is_named(tmp_path, line):
    (tmp_path / "ratings.dat").write_bytes(RATINGS + line + b"\n")
    with pytest.raises(ValueError, match="got line 4"):
        movielens.read_data_sets(tmp_path)


def test_an_archive_that_is_damaged_or_another_one_is_refused(tmp_path):
    (tmp_path / "ml-1m.zip").write_bytes(b"PK no archive")
    with pytest.raises(ValueError, match=r"without a readable ml-1m/ratings.dat"):
        movielens.read_data_sets(tmp_path)
    with zipfile.ZipFile(tmp_path / "ml-1m.zip", "w") as archive:
        archive.writestr("other", b"")
    with pytest.raises(ValueError, match="without a readable"):
        movielens.read_data_sets(tmp_path)


ARTICLES = {"sci.space/20": b"on Mars \xe9", "alt.atheism/7": b"second", "alt.atheism/3": b"first"}
TEXTS = [("first", 1), ("second", 1), ("on Mars é", 2)]


@pytest.mark.parametrize("is_packed", [False, True])
def test_articles_are_read(tmp_path, is_packed):
    source = tmp_path / "source" / "20news-18828"
    for name, content in {**ARTICLES, "alt.atheism/readme": b"no article"}.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    folder = tmp_path / "source"
    if is_packed:
        folder = tmp_path
        with tarfile.open(tmp_path / "20news-18828.tar.gz", "w:gz") as archive:
            archive.add(source, "20news-18828")
    assert news20.get_news20(folder) == TEXTS


def test_damaged_articles_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "20news-18828.tar.gz"
    path.write_bytes(gzip.compress(b"no archive" * 100))
    with pytest.raises(ValueError, match="damaged archive"):
        news20.get_news20(tmp_path)
    with tarfile.open(path, "w:gz"):
        pass
    with pytest.raises(ValueError, match="got no articles"):
        news20.get_news20(tmp_path)
    (tmp_path / "20").write_bytes(b"0" * 200)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tmp_path / "20", "20news-18828/alt/20")
    monkeypatch.setattr(files, "settings", lambda: Settings(max_data_bytes=100))
    with pytest.raises(ValueError, match="raise DLCORE_MAX_DATA_BYTES"):
        news20.get_news20(tmp_path)


VECTORS = "the 0.5 -1 2\n. 1e-3 0 4\ncafé 3 2 1\n".encode()


@pytest.mark.parametrize("place", ["glove.6B/glove.6B.3d.txt", "glove.6B.3d.txt", "glove.6B.zip"])
def test_vectors_of_words_are_read(tmp_path, place):
    if place.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / place, "w") as archive:
            archive.writestr("glove.6B.3d.txt", VECTORS)
    else:
        (tmp_path / "glove.6B").mkdir()
        (tmp_path / place).write_bytes(VECTORS)
    found = news20.get_glove_w2v(tmp_path, 3)
    assert list(found) == ["the", ".", "café"]
    np.testing.assert_allclose(found["."], [1e-3, 0, 4])


@pytest.mark.parametrize("line", [b"word 1 2", b"word 1 2 x", b""])
def test_a_wrong_vector_is_named(tmp_path, line):
    (tmp_path / "glove.6B.3d.txt").write_bytes(VECTORS + line + b"\n")
    with pytest.raises(ValueError, match="got line 4"):
        news20.get_glove_w2v(tmp_path, 3)


def test_no_file_is_larger_than_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "settings", lambda: Settings(max_data_bytes=1000))
    bomb = with_mnist(tmp_path) / "train-images-idx3-ubyte.gz"
    bomb.write_bytes(gzip.compress(bytes(10_000)))
    with zipfile.ZipFile(tmp_path / "ml-1m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ml-1m/ratings.dat", bytes(10_000))
    for read in (mnist.read_data_sets, movielens.read_data_sets):
        with pytest.raises(ValueError, match=r"got more than 1000 bytes.*raise DLCORE_MAX_DATA_BYTES"):
            read(tmp_path)


@pytest.mark.parametrize(
    ("read", "wanted"),
    [
        (movielens.read_data_sets, "ml-1m/ratings.dat or ratings.dat or ml-1m.zip"),
        (news20.get_news20, "20news-18828 or 20news-18828.tar.gz"),
        (news20.get_glove_w2v, "glove.6B/glove.6B.100d.txt or glove.6B.100d.txt or glove.6B.zip"),
    ],
)
def test_what_is_missing_says_what_to_put_where(tmp_path, read, wanted):
    with pytest.raises(FileNotFoundError, match=f"got no {wanted}.*put the file there"):
        read(tmp_path)


def test_archives_changed_at_random_are_read_or_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "ml-1m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ml-1m/ratings.dat", RATINGS * 50)
    (tmp_path / "20").write_bytes(b"text" * 200)
    with tarfile.open(tmp_path / "20news-18828.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "20", "20news-18828/alt/20")
    with_mnist(tmp_path)
    rng, refused = random.Random(7), 0
    for name, read in (
        ("ml-1m.zip", movielens.read_data_sets),
        ("20news-18828.tar.gz", news20.get_news20),
        ("train-images-idx3-ubyte.gz", mnist.read_data_sets),
    ):
        whole = (tmp_path / name).read_bytes()
        for _ in range(60):
            damaged = bytearray(whole[: rng.choice([len(whole), rng.randrange(len(whole))])])
            for _ in range(min(2, len(damaged))):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            (tmp_path / name).write_bytes(damaged)
            try:
                read(tmp_path)
            except ValueError as error:
                assert str(tmp_path) in str(error)
                refused += 1
        (tmp_path / name).write_bytes(whole)
    assert refused > 60
