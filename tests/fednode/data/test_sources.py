"""Sources: bundled ones, small files made here, and a folder of public sets if there is one."""

import gzip
import io
import os
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fednode.data.errors import (
    DataError,
    DataMissing,
    DataNotPublic,
    ExtraMissing,
    MalformedData,
    SchemaMismatch,
    UnknownSite,
)
from fednode.data.fixed import MISSING, ONE
from fednode.data.schema import ImageSchema, Schema, TableSchema
from fednode.data.sources import DataSpec, Source, open_source, require_public
from fednode.policy import built_in

HEART = built_in("heart").data_schema


def spec(**keys: object) -> DataSpec:
    return DataSpec.model_validate(keys)


def public_data(name: str) -> Path:
    """Find a public data set in the folder FEDNODE_DATA, or beside the repository."""
    beside = Path(__file__).resolve().parents[4] / "shared" / "data"
    folder = Path(os.environ.get("FEDNODE_DATA", beside)) / name
    if not folder.exists():
        pytest.skip(f"no {name} under FEDNODE_DATA")
    return folder


def images(height: int, width: int, labels: list[object], channels: int = 1) -> ImageSchema:
    return ImageSchema.model_validate(
        {"kind": "image", "shape": [channels, height, width], "labels": labels}
    )


TABLE = TableSchema.model_validate(
    {
        "columns": [{"name": "a", "type": "numeric", "range": [0, 10]}],
        "label": {"column": "y", "codes": {"0": 0, "1": 1}},
    }
)


def test_heart_has_four_hospitals() -> None:
    source = open_source(spec(source="heart", public=True), HEART)
    assert list(source.sites) == ["cleveland", "budapest", "zurich", "long-beach"]
    tables = [source.load(site) for site in source.sites]
    assert [len(table) for table in tables] == [303, 294, 123, 200]
    assert [int(table.labels.sum()) for table in tables] == [139, 106, 115, 149]
    assert [set(table.groups.tolist()) for table in tables] == [{0}, {1}, {2}, {3}]
    chol = HEART.feature_names.index("chol")
    assert (tables[2].features[:, chol] == MISSING).all()
    assert tables[0].features.shape == (303, HEART.features)


def test_heart_sites_may_be_a_part_or_be_dealt() -> None:
    two = open_source(spec(source="heart", sites=["zurich", "cleveland"]), HEART)
    assert two.load("cleveland").groups[0] == 1
    with pytest.raises(UnknownSite, match="did you mean 'zurich'"):
        two.load("zurick")
    keys = {"source": "heart", "sites": 5, "partition": {"kind": "iid"}}
    dealt = open_source(DataSpec.model_validate(keys), HEART)
    assert list(dealt.sites) == [f"site-{index}" for index in range(5)]
    assert [len(dealt.load(site)) for site in dealt.sites] == [184] * 5
    assert dealt.load("site-4").groups.tolist() == [4] * 184


def test_csv_with_a_file_per_site(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("id,a,y\n7,5,0\n8,10,1\n")
    (tmp_path / "two.csv").write_text("y,a\n1,2.5\n")
    source = open_source(
        spec(source="csv", path="{site}.csv", sites=["one", "two"]), TABLE, tmp_path
    )
    assert source.load("one").features.tolist() == [[ONE // 2], [ONE]]
    assert source.load("two").features.tolist() == [[ONE // 4]]
    assert source.load("two").groups.tolist() == [1]


def test_csv_without_header_packed_and_dealt(tmp_path: Path) -> None:
    rows = "".join(f"{index % 11};{index % 2}\n" for index in range(60))
    (tmp_path / "all.csv.gz").write_bytes(gzip.compress(rows.encode()))
    keys = {"source": "csv", "path": "all.csv.gz", "sites": 3, "header": False, "delimiter": ";"}
    source = open_source(spec(**keys, partition={"kind": "iid"}), TABLE, tmp_path)
    assert sum(len(source.load(site)) for site in source.sites) == 60
    sampled = open_source(spec(**keys, partition={"kind": "iid"}, rows=45), TABLE, tmp_path)
    assert [len(sampled.load(site)) for site in sampled.sites] == [15, 15, 15]


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        ("a,y\n11,0\n", SchemaMismatch, "site 's', row 2, column 'a': outside"),
        ("a,y\n1,0\nnan,0\n", SchemaMismatch, "row 3, column 'a': not a finite number"),
        ("a,y\n1,0,5\n", SchemaMismatch, "row 2: 3 cells where 2"),
        ("b,y\n1,0\n", SchemaMismatch, "column 'a': the file has no such column"),
        ("", MalformedData, "no rows"),
        (None, DataMissing, "check data.path"),
    ],
)
def test_csv_refuses_a_sites_file(
    tmp_path: Path, text: str | None, error: type[DataError], reason: str
) -> None:
    if text is not None:
        (tmp_path / "s.csv").write_text(text)
    source = open_source(spec(source="csv", path="{site}.csv", sites=["s"]), TABLE, tmp_path)
    with pytest.raises(error) as caught:
        source.load("s")
    assert reason in str(caught.value)


def test_npz_tables_and_images(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", x=np.array([[2.5], [10]]), y=np.array([0, 1]))
    natural = spec(source="npz", path="{site}.npz", sites=["s"])
    assert open_source(natural, TABLE, tmp_path).load("s").features.tolist() == [[ONE // 4], [ONE]]
    pixels = np.array([[[0, 255]]] * 30, dtype=np.uint8)
    np.savez(tmp_path / "s.npz", x=pixels, y=np.array(["a", "b"] * 15))
    schema = images(1, 2, ["a", "b"])
    table = open_source(natural, schema, tmp_path).load("s")
    assert table.features.shape == (30, 1, 1, 2)
    assert table.features[0].reshape(-1).tolist() == [0, ONE]
    dealt = spec(source="npz", path="s.npz", sites=2, partition={"kind": "iid"})
    assert len(open_source(dealt, schema, tmp_path).load("site-1")) == 15


@pytest.mark.parametrize(
    ("arrays", "schema", "error", "reason"),
    [
        ({"x": np.zeros((2, 1))}, TABLE, DataMissing, "array 'y'"),
        ({"x": np.zeros((2, 1)), "y": np.zeros(3)}, TABLE, MalformedData, "one label"),
        ({"x": np.zeros((2, 2)), "y": np.zeros(2)}, TABLE, MalformedData, "schema's 1 columns"),
        (
            {"x": np.full((2, 1), np.nan), "y": np.zeros(2)},
            TABLE,
            SchemaMismatch,
            "row 1, column 'a'",
        ),
        ({"x": np.full((2, 1), np.inf), "y": np.zeros(2)}, TABLE, SchemaMismatch, "not a finite"),
        (
            {"x": np.zeros((2, 1, 2)), "y": np.zeros(2, np.int64)},
            images(1, 2, [0, 1]),
            MalformedData,
            "must be integers",
        ),
        (
            {"x": np.full((2, 1, 2), 256), "y": np.zeros(2, np.int64)},
            images(1, 2, [0, 1]),
            MalformedData,
            "0..255",
        ),
        (
            {"x": np.zeros((2, 1, 2), np.uint8), "y": np.full(2, 5)},
            images(1, 2, [0, 1]),
            SchemaMismatch,
            "schema.labels does not name",
        ),
        (
            {"x": np.zeros((2, 3, 2), np.uint8), "y": np.zeros(2, np.int64)},
            images(1, 2, [0, 1]),
            SchemaMismatch,
            "images are 1x3x2",
        ),
    ],
)
def test_npz_refuses(
    tmp_path: Path,
    arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]],
    schema: Schema,
    error: type[DataError],
    reason: str,
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)
    (tmp_path / "s.npz").write_bytes(buffer.getvalue())
    source = open_source(spec(source="npz", path="s.npz", sites=["s"]), schema, tmp_path)
    with pytest.raises(error) as caught:
        source.load("s")
    assert reason in str(caught.value)


def idx(array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    head = bytes([0, 0, 8, array.ndim])
    return head + b"".join(struct.pack(">I", axis) for axis in array.shape) + array.tobytes()


def small_mnist(folder: Path, *, test_width: int = 2) -> None:
    def write(stem: str, array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
        (folder / f"{stem}.gz").write_bytes(gzip.compress(idx(array)))

    write("train-images-idx3-ubyte", np.arange(160, dtype=np.uint8).reshape(40, 2, 2))
    write("train-labels-idx1-ubyte", np.arange(40, dtype=np.uint8) % 2)
    write("t10k-images-idx3-ubyte", np.zeros((10, 2, test_width), np.uint8))
    write("t10k-labels-idx1-ubyte", np.arange(10, dtype=np.uint8) % 2)


MNIST = spec(source="mnist", path=".", sites=2, partition={"kind": "iid"})


def test_mnist_from_four_files(tmp_path: Path) -> None:
    small_mnist(tmp_path)
    source = open_source(MNIST, images(2, 2, [0, 1]), tmp_path)
    tables = [source.load(site) for site in source.sites]
    assert [(len(table), int(table.held.sum())) for table in tables] == [(25, 5), (25, 5)]
    assert tables[0].features.shape == (25, 1, 2, 2)


def test_mnist_refuses_files_that_do_not_belong_together(tmp_path: Path) -> None:
    source = open_source(MNIST, images(2, 2, [0, 1]), tmp_path)
    with pytest.raises(DataMissing, match="folder of the four files"):
        source.load("site-0")
    small_mnist(tmp_path, test_width=3)
    with pytest.raises(MalformedData, match="differ in size"):
        open_source(MNIST, images(2, 2, [0, 1]), tmp_path).load("site-0")
    small_mnist(tmp_path)
    labels = tmp_path / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(idx(np.zeros(9, np.uint8))))
    with pytest.raises(MalformedData, match="do not belong together"):
        open_source(MNIST, images(2, 2, [0, 1]), tmp_path).load("site-0")


def test_digits_and_breast_cancer() -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn (extra `data`)")
    policy = built_in("digits")
    digits = open_source(policy.data, policy.data_schema)
    assert sum(len(digits.load(site)) for site in digits.sites) == 1797
    assert digits.load("site-0").features.max() == ONE
    schema = TableSchema.model_validate(
        {
            "columns": [{"name": "mean radius", "type": "numeric", "range": [0, 50]}],
            "label": {"column": "target", "codes": {"0": 1, "1": 0}},
        }
    )
    cancer = spec(
        source="breast_cancer", sites=3, partition={"kind": "dirichlet", "alpha": 1, "seed": 4}
    )
    source = open_source(cancer, schema)
    assert sum(len(source.load(site)) for site in source.sites) == 569


@pytest.mark.parametrize(("source", "library"), [("digits", "sklearn"), ("images", "PIL")])
def test_a_missing_extra_is_told(
    source: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for index in range(20):
            archive.writestr(f"train/a/{index}.png", b"")
    keys = spec(source=source, path="a.zip", sites=2, partition={"kind": "iid"})
    opened = open_source(keys, images(8, 8, ["a", *range(10)]), tmp_path)
    with pytest.raises(ExtraMissing, match=r"pip install 'fednode\[data\]'"):
        opened.load("site-0")


def test_a_source_needs_its_kind_of_schema() -> None:
    with pytest.raises(DataError, match=r'schema\.kind = "image"'):
        open_source(MNIST, HEART)
    with pytest.raises(DataError, match=r'schema\.kind = "table"'):
        open_source(spec(source="heart"), images(2, 2, [0, 1]))


def test_require_public() -> None:
    require_public(spec(source="heart", public=True))
    some = spec(source="heart", public=["zurich"])
    require_public(some, "zurich")
    with pytest.raises(DataNotPublic, match="set visibility = 'members'"):
        require_public(some)
    with pytest.raises(DataNotPublic, match="cleveland"):
        require_public(spec(source="heart"), "cleveland")
    with pytest.raises(UnknownSite):
        require_public(some, "Zurich")


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"source": "heart", "sites": ["paris"]}, "sites: heart has"),
        ({"source": "heart", "sites": ["zurich", "zurich"]}, "named twice"),
        ({"source": "heart", "sites": ["../x"]}, "pattern"),
        ({"source": "heart", "sites": 0}, "number of sites"),
        ({"source": "heart", "public": ["paris"]}, "public: 'paris'"),
        ({"source": "heart", "public": "yes"}, "public"),
        ({"source": "heart", "rows": 10}, "rows: only partitioned"),
        ({"source": "csv", "sites": 2}, "path: missing"),
        ({"source": "csv", "path": "x"}, "sites: missing"),
        ({"source": "csv", "path": "x", "sites": 2}, "must contain {site}"),
        ({"source": "digits", "sites": 2}, "no natural sites"),
        ({"source": "sql", "sites": 2}, "source"),
        ({"source": "heart", "split": {"valuation": "0.5", "test": "0.5"}}, "leaves no rows"),
    ],
)
def test_data_spec_refuses(keys: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        DataSpec.model_validate(keys)
    assert reason in str(caught.value)


def rows_of(source: Source) -> int:
    return sum(len(source.load(site)) for site in source.sites)


def test_mnist_as_published() -> None:
    folder = public_data("mnist")
    keys = MNIST.model_copy(update={"rows": 700})
    source = open_source(keys, images(28, 28, list(range(10))), folder)
    assert rows_of(source) == 700
    table = source.load("site-1")
    assert table.features.max() == ONE
    assert 20 < table.held.sum() < 90


def test_cifar10_as_an_image_folder() -> None:
    pytest.importorskip("PIL", reason="needs pillow (extra `data`)")
    folder = public_data("cifar10")
    names = [
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ]
    keys = spec(
        source="images",
        path="cifar10.zip",
        sites=4,
        rows=400,
        partition={"kind": "classes", "classes": 5},
    )
    source = open_source(keys, images(32, 32, list(names), channels=3), folder)
    table = source.load("site-2")
    assert table.features.shape[1:] == (3, 32, 32)
    assert len(np.unique(table.labels[~table.held])) == 5


def test_credit_as_csv() -> None:
    folder = public_data("credit")
    schema = TableSchema.model_validate(
        {
            "columns": [
                {"name": "X1", "unit": "NT$", "type": "numeric", "range": [0, 2_000_000]},
                {"name": "X2", "type": "category", "codes": [1, 2]},
                {"name": "X5", "unit": "years", "type": "numeric", "range": [18, 100]},
            ],
            "label": {"column": "Y", "codes": {"0": 0, "1": 1}},
        }
    )
    name = "UCI_Credit_Card.csv.gz"
    keys = spec(source="csv", path=name, sites=3, partition={"kind": "iid"})
    source = open_source(keys, schema, folder)
    assert rows_of(source) == 30_000
