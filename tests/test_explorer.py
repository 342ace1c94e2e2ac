"""The pages to play with: orders walked over the map, and DRA on three vectors."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from test_view import contents, driven, needs_chromium, opened

from hammerlib import order_by
from hammerlib.advantages import EPS
from hammerlib.diversity import prefix_profile, random_reference
from hammerlib.dra import KERNELS, PAPER_EPS, SIGNS
from hammerlib.errors import InputError
from hammerlib.ordering import edge_costs
from hammerlib.pages import Page, dra_sliders, order_explorer
from hammerlib.pages.explorer import library_cases
from hammerlib.pages.page import environment

N = 40


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    vectors = np.random.default_rng(0).normal(size=(N, 6)) + 0.5
    prompts = [f"</script><img src=x> \u202e problem {i}" for i in range(N)]
    table = Dataset.from_dict({"prompt": prompts, "topic": [f"t{i % 3}" for i in range(N)]})
    orders = {f"hammer {eta}": order_by("hammer", vectors, eta=eta) for eta in (0.0, 0.5)}
    orders["random"] = order_by("random", vectors)
    page = order_explorer(orders, vectors, table, vectors[:, :2], random_orders=5)
    return {"vectors": vectors, "table": table, "orders": orders, "page": page}


@pytest.fixture
def written(made: dict[str, Any], tmp_path: Path) -> Path:
    return made["page"].write(tmp_path / "orders.html")


def test_the_page_holds_what_the_library_measured(made: dict[str, Any], written: Path) -> None:
    data = contents(written)["data"]
    fractions = sorted({count for count, *_ in data["band"]["vendi_centred"]})
    band = random_reference(
        made["vectors"], problems=made["table"], seeds=5, fractions=[f / N for f in fractions]
    )
    for metric, rows in band.groupby("metric"):
        assert np.allclose(data["band"][metric], rows[["count", "low", "value", "high"]], atol=1e-5)
    for told, order in zip(data["orders"], made["orders"].values(), strict=True):
        assert told["path"] == order.permutation.tolist()
        assert np.allclose(told["edges"], edge_costs(order.permutation, made["vectors"]), atol=1e-3)
        profile = prefix_profile(order, made["vectors"], problems=made["table"], fractions=[0.5])
        for row in profile.itertuples():
            assert [row.count, pytest.approx(row.value, abs=1e-5)] in told["profile"][row.metric]
    assert [(told["strategy"], told["eta"]) for told in data["orders"]] == [
        *(("hammer", "0"), ("hammer", "0.5"), ("random", None))
    ]


def test_texts_of_problems_are_packed_away(written: Path) -> None:
    assert "<img" not in written.read_text("utf-8")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"orders": {}}, "orders"),
        ({"coordinates": np.zeros((3, 2))}, "coordinates"),
        ({"coordinates": np.full((N, 2), np.nan)}, "coordinates"),
        ({"embeddings": np.eye(3)}, "do not fit"),
        ({"random_orders": 1}, "seeds"),
    ],
)
def test_what_does_not_fit_is_refused(made: dict[str, Any], change: dict[str, Any], told: str) -> None:
    given = {"orders": made["orders"], "embeddings": made["vectors"], "problems": made["table"]}
    given |= {"coordinates": made["vectors"][:, :2]}
    with pytest.raises(InputError, match=told):
        order_explorer(**given | change)


def test_jupyter_shows_a_page_in_a_frame_of_its_own() -> None:
    frame = Page("a <b>", '<!doctype html><p title="x">é</p>', 300)._repr_html_()
    document = re.fullmatch(
        r'<iframe srcdoc="([^"]*)" sandbox="allow-scripts" title="a &lt;b&gt;" .*</iframe>', frame
    )
    assert unescape(document[1]) == '<!doctype html><p title="x">é</p>'


@pytest.mark.long
@needs_chromium
def test_the_scrubber_and_the_choices_in_a_browser(written: Path) -> None:
    steps = """
      const set = (id, value, event) => {
        document.getElementById(id).value = value;
        document.getElementById(id).dispatchEvent(new Event(event));
      };
      const pick = (id, value) => set(id, value, "change");
      const scrub = (value) => set("scrub", value, "input");
      const text = (id) => document.getElementById(id).textContent;
      scrub(20); told.push(text("told"));
      pick("variant", "1"); told.push(text("told"));
      pick("metric", "mean_cosine"); told.push(text("told"));
      pick("strategy", "random"); told.push(document.getElementById("variant").disabled, text("where"));
      scrub(40); told.push(text("told"), text("problem"));
    """
    half, other, cosine, fixed, where, whole, problem = driven(written, steps)
    data = contents(written)["data"]
    for told, order, metric, digits in (
        (half, 0, "vendi_centred", 1),
        (other, 1, "vendi_centred", 1),
        (cosine, 1, "mean_cosine", 3),
    ):
        value = dict(data["orders"][order]["profile"][metric])[20]
        assert told.startswith(f"First 20 of 40 (50 %): {value:.{digits}f}".replace("-", "−"))
    assert fixed is True and where.startswith("place 20 of 40, topic t")
    assert whole.startswith("First 40 of 40 (100 %)")
    assert problem.startswith("</script><img src=x> \\u202e problem ")


@pytest.mark.parametrize("tool", ["node", pytest.param("chromium", marks=pytest.mark.long)])
def test_the_sliders_arithmetic_is_the_librarys(tool: str, tmp_path: Path) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"needs {tool}")
    if tool == "chromium":
        dom = opened(dra_sliders().write(tmp_path / "dra.html"))
        assert "agrees with hammerlib.dra on 120 groups" in dom
        return
    cases = library_cases(seed=7)  # others than those on the page
    assert {(case["options"]["smi"], case["options"]["sign"]) for case in cases} == {
        (smi, sign) for smi in KERNELS for sign in SIGNS
    }
    arithmetic = environment().get_template("dra.js.j2").render(eps=PAPER_EPS, deviation_eps=EPS)
    script = tmp_path / "check.js"
    script.write_text(f"{arithmetic}\nconsole.log(worstDifference({json.dumps(cases)}));")
    assert float(subprocess.check_output([tool, str(script)])) < 1e-9
    cases[0]["weights"][1] += 1e-6  # and a difference is seen
    script.write_text(f"{arithmetic}\nconsole.log(worstDifference({json.dumps(cases)}));")
    assert float(subprocess.check_output([tool, str(script)])) > 1e-9


@pytest.mark.long
@needs_chromium
def test_turning_the_vectors_in_a_browser(tmp_path: Path) -> None:
    page = dra_sliders().write(tmp_path / "dra.html")
    steps = """
      const cells = (i) => [...document.querySelectorAll("#numbers tr")[i].querySelectorAll("td")];
      const row = (i) => cells(i).map((cell) => cell.textContent);
      told.push(row(0), row(2));
      const angle = document.querySelector('[aria-label="angle of B"]');
      angle.value = 90; angle.dispatchEvent(new Event("input")); told.push(row(0));
      const kernel = document.getElementById("smi");
      kernel.value = "log_det"; kernel.dispatchEvent(new Event("change"));
      told.push(document.getElementById("clamp").disabled);
    """
    copy, other, turned, disabled = driven(page, steps)
    assert copy[:3] == ["2.000", "0.500", "0.500"] and copy[4] == "−0.577"
    assert other[:3] == ["1.000", "1.000", "1.000"] and other[4] == "1.154"
    assert turned[:2] == ["1.000", "1.000"] and disabled is True
