"""The conformance report: it finds what is wrong and tells no small number and no value."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednode.data.check import CELLS, check, show_cells
from fednode.data.errors import DataError, DataMissing, MalformedData, UnknownSite
from fednode.data.schema import TableSchema
from fednode.data.sources import DataSpec, open_source
from fednode.data.table import Table
from fednode.policy import built_in
from fednode.site import load_site

SCHEMA = TableSchema.model_validate(
    {
        "columns": [
            {"name": "age", "unit": "years", "type": "numeric", "range": [0, 120]},
            {"name": "sex", "type": "category", "codes": ["f", "m"]},
        ],
        "label": {"column": "ill", "codes": {"no": 0, "yes": 1}},
    }
)
SPEC = DataSpec.model_validate({"source": "csv", "path": "{site}.csv", "sites": ["a", "b"]})


def write(folder: Path, rows: list[str], header: str = "age,sex,ill") -> None:
    (folder / "a.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def test_check_of_a_file_that_fits(tmp_path: Path) -> None:
    write(tmp_path, ["50,f,no"] * 15 + ["?,m,yes"] * 12)
    report = check(open_source(SPEC, SCHEMA, tmp_path), "a")
    assert report.conforms
    assert report.rows == "27"
    assert report.columns[0].counts == {
        "present": "15",
        "missing": "12",
        "out_of_range": "0",
        "unknown_code": "0",
        "unreadable": "0",
    }
    assert report.classes == {"0": "15", "1": "12"}


def test_check_counts_faults_and_shows_no_value(tmp_path: Path) -> None:
    rows = ["50,f,no"] * 30 + ["777,x-secret,no", "abc-secret,f,maybe-secret"]
    write(tmp_path, rows)
    report = check(open_source(SPEC, SCHEMA, tmp_path), "a")
    assert not report.conforms
    text = json.dumps(report.record())
    assert "secret" not in text
    assert "777" not in text
    age, sex, ill = report.columns
    assert (age.counts["out_of_range"], age.counts["unreadable"]) == ("<10", "<10")
    assert (sex.counts["unknown_code"], sex.counts["present"]) == ("<10", ">=10")
    assert not ill.conforms
    assert report.faults[0].startswith("row 32, column 'age': outside the schema's range 0 to 120")
    assert len(report.faults) == 4


def test_classes_do_not_tell_how_many_labels_are_unknown(tmp_path: Path) -> None:
    write(tmp_path, ["50,f,no"] * 30 + ["50,f,yes"] * 20 + ["50,f,maybe"])
    report = check(open_source(SPEC, SCHEMA, tmp_path), "a")
    assert (report.rows, report.classes) == ("51", {"0": "30", "1": ">=10"})


def test_check_shortens_the_list_of_faults(tmp_path: Path) -> None:
    write(tmp_path, ["777,f,no"] * 50)
    report = check(open_source(SPEC, SCHEMA, tmp_path), "a", most_faults=3)
    assert len(report.faults) == 4
    assert report.faults[-1] == "..."


def test_check_reports_a_file_of_other_columns(tmp_path: Path) -> None:
    write(tmp_path, ["50,f,no"] * 12, header="age,gender,ill")
    report = check(open_source(SPEC, SCHEMA, tmp_path), "a")
    assert not report.conforms
    assert "column 'sex': the file has no such column" in report.problems[0]
    write(tmp_path, ["50,f,no", "50,f"])
    report = check(open_source(SPEC, SCHEMA, tmp_path), "a")
    assert report.problems == ("site 'a', row 3: 2 cells where 3 are expected",)
    assert report.rows == "<10"


@pytest.mark.parametrize("blank", ["", "  "])
def test_blank_lines_are_no_rows(tmp_path: Path, blank: str) -> None:
    write(tmp_path, ["50,f,no"] * 12 + [blank] * 5 + ["50,f,no"])
    report = check(open_source(SPEC, SCHEMA, tmp_path), "a")
    assert (report.rows, report.conforms) == ("13", False)


def test_check_of_a_missing_file_or_site(tmp_path: Path) -> None:
    source = open_source(SPEC, SCHEMA, tmp_path)
    with pytest.raises(DataMissing, match=r"a\.csv"):
        check(source, "a")
    with pytest.raises(UnknownSite, match="choose one of a, b"):
        check(source, "zzz")


def test_every_hospital_fits_the_schema() -> None:
    policy = built_in("heart")
    source = open_source(policy.data, policy.data_schema)
    reports = [check(source, site) for site in source.sites]
    assert all(report.conforms for report in reports)
    assert [report.rows for report in reports] == ["303", "294", "123", "200"]
    zurich = {column.name: column.counts for column in reports[2].columns}
    assert zurich["chol"]["missing"] == "123"
    assert (zurich["ca"]["present"], zurich["ca"]["missing"]) == ("<10", ">=10")
    assert reports[2].classes == {"0": "<10", "1": ">=10"}


def test_check_of_images() -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn (extra `data`)")
    policy = built_in("digits")
    source = open_source(policy.data, policy.data_schema)
    report = check(source, "site-1")
    assert report.conforms
    assert report.rows == "449"
    assert len(report.classes) == 10


@given(st.lists(st.integers(0, 30), min_size=5, max_size=5))
def test_no_small_count_follows_from_the_others(numbers: list[int]) -> None:
    counts = dict(zip(CELLS, numbers, strict=True))
    shown = show_cells(counts)
    hidden = [name for name, text in shown.items() if not text.isdigit()]
    for name, count in counts.items():
        assert (0 < count < 10) <= (shown[name] == "<10")
    small = [name for name in hidden if counts[name] < 10]
    others = [name for name in counts if counts[name] >= 10]
    if small and others:
        assert len(hidden) >= 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no rows"),
        (b"\n\r\n\n", "no rows"),
        (b"  \n , ,\n", "no rows"),
        (b"\xef\xbb\xbf", "no rows"),
        (b"age,sex,ill", "no rows below the header"),
        (b"\xef\xbb\xbfage,sex,ill\r\n\r\n", "no rows below the header"),
        ("age,sex,ill\n50,f,no\n".encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
        (b"age,sex,ill\n50,f\0,no\n", "has a zero byte at byte 16"),
        ("age,sex,ill\n50,f\u00e9,no\n".encode("latin-1"), "not UTF-8 text at byte 16 (line 2"),
    ],
)
def test_a_file_without_rows_of_text_never_fits(data: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(MalformedData) as refused:
        check(open_source(SPEC, SCHEMA, tmp_path), "a")
    assert f"cannot read {tmp_path / 'a.csv'}: " in str(refused.value)
    assert reason in str(refused.value)


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_files_of_other_systems_fit(start: bytes, end: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(start + end.join([b"age,sex,ill", b"50,f,no", b""]))
    assert check(open_source(SPEC, SCHEMA, tmp_path), "a").conforms


def test_rows_that_do_not_suffice_for_each_site_do_not_fit(tmp_path: Path) -> None:
    dealt = {"source": "csv", "path": "a.csv", "sites": 3, "partition": {"kind": "iid"}}
    write(tmp_path, ["50,f,no"] * 29)
    report = check(open_source(DataSpec.model_validate(dealt), SCHEMA, tmp_path), "site-1")
    assert not report.conforms
    assert "leave one of 3 sites with fewer than least_rows = 10" in report.problems[0]
    write(tmp_path, ["50,f,no"] * 30)
    assert check(open_source(DataSpec.model_validate(dealt), SCHEMA, tmp_path), "site-1").conforms


def test_a_site_without_rows_does_not_fit() -> None:
    class Empty:
        sites = ("a",)

        def load(self, site: str) -> Table:
            return Table(np.zeros((0, 3), np.int32), *(np.zeros(0, np.int64),) * 2)

    report = check(Empty(), "a")
    assert not report.conforms
    assert report.problems == ("the site has no rows: check data.path and the file",)
    with pytest.raises(DataError, match="site 'cleveland' has no rows"):
        load_site(built_in("heart"), Empty(), "cleveland")
