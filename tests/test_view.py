"""The group browser: what it reads, what it computes, what a browser makes of it."""

from __future__ import annotations

import base64
import gzip
import json
import queue
import re
import shutil
import subprocess
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from test_schedule_runs import stock, theirs

from hammerlib import adjust_rewards, diversity_weights, load_problems
from hammerlib.advantages import group_advantages
from hammerlib.cli import main
from hammerlib.errors import InputError
from hammerlib.evaluation.foreign import read_foreign
from hammerlib.pages import group_browser, write_page
from hammerlib.pages.groups import _word_vectors
from hammerlib.pages.page import CYCLE
from hammerlib.pages.rollouts import read_rollouts
from hammerlib.training import Rollout
from hammerlib.training.logs import save_completions

HOSTILE = [
    "<script>document.body.dataset.hit = 'yes'</script>",
    "</script><script>document.body.dataset.hit = 'yes'</script>",
    "<img src=x onerror=\"document.body.dataset.hit='yes'\"> <!-- ]]> {{ 7 * 7 }} ${alert(1)}",
    "null \x00, escape \x1b[2J, right to left \u202egnp.exe\u202c, half \ud800",
    "Hebrew \u05e9\u05dc\u05d5\u05dd",
    "\u2028 line \u2029 paragraph \ufeff",
    "",
]


def dump(folder: Path, step: int, rows: list[dict[str, Any]]) -> Path:
    """One step of verl's ``rollout_data_dir``: fields as its ray_trainer writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{step}.jsonl"
    lines = [{"gts": "2", "step": step, **row} for row in rows]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


def verl_rows(prompt: str, texts: list[str], scores: list[float]) -> list[dict[str, Any]]:
    return [
        {"input": prompt, "output": t, "score": s, "acc": s > 0} for t, s in zip(texts, scores, strict=True)
    ]


def contents(page: Path) -> dict[str, Any]:
    """The data inside a page, by element id."""
    parts = re.findall(r'<script type="text/plain" id="([\w-]+)">([^<]*)</script>', page.read_text("utf-8"))
    return {name: json.loads(gzip.decompress(base64.b64decode(packed))) for name, packed in parts}


def rollout(texts: list[str], raw: list[float], group: int) -> Rollout:
    rows = [{"id": f"p{i // group}", "prompt": f"problem {i // group}"} for i in range(len(texts))]
    rewards = np.array(raw)
    ids = [[1, 7]] * len(texts)
    return Rollout(
        0, rows, texts, ids, [None] * len(texts), rewards, rewards / 2, np.ones((len(texts), 2)), group
    )


def test_our_runs_are_read_with_what_they_recorded(tmp_path: Path) -> None:
    batch = rollout(["a", "b", "c", "d"], [1.0, 0.0, 0.0, 0.0], group=2)
    save_completions(tmp_path, batch, place_of={"p0": 0, "p1": 1}, ends={7})
    read = read_rollouts(tmp_path)
    assert read.kinds == ["training run"] and not read.damaged
    assert [[row.text for row in rows] for rows in read.groups] == [["a", "b"], ["c", "d"]]
    first = read.groups[0][0]
    assert (first.problem, first.step, first.reward, first.weight, first.paid) == ("p0", 1, 1.0, 0.5, 0.5)


def test_verls_dumps_are_grouped_by_prompt_whatever_the_sequence_of_rows(tmp_path: Path) -> None:
    a, b = verl_rows("1+1", ["2", "3"], [1.0, 0.0]), verl_rows("2+2", ["4", "5"], [1.0, 1.0])
    dump(tmp_path, 10, a)
    dump(tmp_path, 2, [a[0], b[0], a[1], b[1]])  # its balancing over processes mixes them
    read = read_rollouts(tmp_path)
    assert [(rows[0].step, [row.text for row in rows]) for rows in read.groups] == [
        *((2, ["2", "3"]), (2, ["4", "5"]), (10, ["2", "3"]))
    ]
    assert [row.right for row in read.groups[0]] == [True, False]
    assert [row.notes for row in read.groups[0]] == [{"acc": "True"}, {"acc": "False"}]


def test_trls_completions_are_read_as_text_or_as_chats(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "1+1"}]
    table = pyarrow.table(
        {
            "step": [1, 1],
            "prompt": [chat, chat],
            "completion": [[{"role": "assistant", "content": text}] for text in ("2", "3")],
            "accuracy_reward": [1.0, 0.0],
            "format_reward": [0.5, None],
            "advantage": [0.7, -0.7],
        }
    )
    (tmp_path / "completions").mkdir()
    parquet.write_table(table, tmp_path / "completions" / "completions_00001.parquet")
    read = read_rollouts(tmp_path)
    (rows,) = read.groups
    assert [(row.prompt, row.text, row.reward, row.right, row.advantage) for row in rows] == [
        *(("1+1", "2", 1.5, True, 0.7), ("1+1", "3", 0.0, False, -0.7))
    ]
    assert "accuracy_reward, format_reward" in read.remarks[0]


def test_what_stock_trl_writes_is_what_is_read(tmp_path: Path) -> None:
    args = theirs(output_dir=str(tmp_path), log_completions=True, max_steps=2, max_completion_length=4)
    problems = load_problems("reasoning-gym:nano", split="rl", n=4)

    def accuracy(completions: list[str], **columns: object) -> list[float]:
        return [float(i % 2) for i in range(len(completions))]

    stock(args, problems, accuracy)
    read = read_rollouts(tmp_path)
    assert read.kinds == ["TRL completions"] and not read.damaged
    assert [(rows[0].step, len(rows)) for rows in read.groups] == [(1, 2), (1, 2), (2, 2), (2, 2)]
    for rows in read.groups:
        assert rows[0].prompt in problems["prompt"][:]
        assert [(row.reward, row.right) for row in rows] == [(0.0, False), (1.0, True)]
        computed = group_advantages(np.array([row.reward for row in rows]), np.zeros(2, int))
        assert np.allclose([row.advantage for row in rows], computed, atol=1e-4)


def inspect_sample(epoch: int, text: str, value: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "a", "epoch": epoch, "input": [{"role": "user", "content": "attachment://77"}], "target": "2",
        "messages": [], "output": {"model": "m", "choices": [{"message": message}], "completion": text},
        "scores": {"match": {"value": value, "answer": text}}, "attachments": {"77": "What is 1+1?"},
    }  # fmt: skip


@pytest.mark.parametrize("compression", ["none", "deflate", "zstd"])
def test_logs_of_inspect_are_read_archived_and_plain(tmp_path: Path, compression: str) -> None:
    samples = [inspect_sample(1, "2", "C"), inspect_sample(2, "3", "I"), inspect_sample(10, "two", "P")]
    if compression == "none":
        file = tmp_path / "log.json"
        file.write_text(json.dumps({"version": 2, "status": "success", "samples": samples}))
    else:
        file = tmp_path / "log.eval"
        _archive(file, samples, compression == "zstd")
    (rows,) = read_rollouts(file).groups
    assert [(row.text, row.reward, row.right, row.prompt, row.gold) for row in rows] == [
        ("2", 1.0, True, "What is 1+1?", "2"),
        ("3", 0.0, False, "What is 1+1?", "2"),
        ("two", 0.5, False, "What is 1+1?", "2"),
    ]
    layout, entries, bad = read_foreign(file)  # `hammer import` reads the same
    assert layout == "inspect" and not bad
    assert [(entry.key, entry.text, entry.completions, entry.claimed) for entry in entries] == [
        ("a", "What is 1+1?", [text], [claim]) for text, claim in (("2", 1.0), ("3", 0.0), ("two", 0.5))
    ]


def _archive(file: Path, samples: list[dict], zstd: bool) -> None:
    """A ``.eval`` archive; Zstandard is patched in, because Python writes it from 3.14 on only."""
    kind = zipfile.ZIP_STORED if zstd else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(file, "w", kind) as archive:
        archive.writestr("header.json", "{}")
        for sample in samples:
            content = json.dumps(sample).encode()
            name = f"samples/a_epoch_{sample['epoch']}.json"
            packed = pyarrow.compress(content, "zstd", asbytes=True) if zstd else content
            archive.writestr(name, packed)
            if zstd:
                info = archive.getinfo(name)
                info.compress_type, info.file_size = 93, len(content)
                info.CRC = zipfile.crc32(content)


def test_a_damaged_member_of_a_log_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    file = tmp_path / "log.eval"
    _archive(file, [inspect_sample(epoch, "2", "C") for epoch in (1, 2)], zstd=True)
    raw = bytearray(file.read_bytes())
    raw[raw.index(b"\x28\xb5\x2f\xfd") + 20] ^= 0xFF  # inside the first frame, which begins here
    file.write_bytes(raw)
    read = read_rollouts(file)
    assert [[row.notes["epoch"] for row in rows] for rows in read.groups] == [["2"]]
    assert [told.startswith("log.eval: sample 1 cannot be read") for told in read.damaged] == [True]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.eval", b"PK\x03\x04", "is no archive"),
        ("a.json", b"{", "is no JSON"),
        ("a.json", b"[]", "holds no samples of inspect's"),
        ("b.json", b'{"samples": []}', "holds no samples of inspect's"),
    ],
)
def test_a_file_that_is_no_log_is_refused_in_one_line(
    name: str, content: bytes, problem: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}.*{problem}"):
        read_foreign(tmp_path / name)


def test_damaged_files_are_named_and_the_others_shown(tmp_path: Path, capsys: Any) -> None:
    dump(tmp_path, 1, verl_rows("1+1", ["2", "3"], [1.0, 0.0]))
    with dump(tmp_path, 2, verl_rows("1+1", ["2"], [1.0])).open("a") as stream:
        stream.write('{"input": "1+1", "out\n')
    (tmp_path / "3.jsonl").write_bytes(b"\xff\xfe broken")
    (tmp_path / "4.parquet").write_bytes(b"PAR1 is not enough")
    (tmp_path / "5.eval").write_bytes(b"PK\x03\x04")
    with pytest.warns(UserWarning, match="left out"):
        assert main(["view", str(tmp_path)]) == 0
    page = tmp_path / "groups.html"
    assert capsys.readouterr().out == f"{page}\n"
    index = contents(page)["index"]
    assert len(index["groups"]) == 2
    named = "\n".join(index["damaged"])
    assert all(name in named for name in ("2.jsonl: line 2", "3.jsonl", "4.parquet", "5.eval"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["{tmp}/missing"], "there is no such file or folder"),
        (["{tmp}"], "no completions are in it"),
        (["{tmp}/page.txt"], "is no kind of file"),
        (["{tmp}/verl", "--steps", "x"], "steps = 'x'"),
        (["{tmp}/verl", "--steps", "7-9"], "no completions of steps 7 to 9"),
        (["{tmp}/verl", "--backbone", "nonsense"], "nonsense"),
        (["{tmp}/verl/1.jsonl", "--out", "{tmp}/page.txt/x.html"], "page.txt"),
    ],
)
def test_bad_input_is_one_line(words: list[str], told: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "page.txt").write_text("x")
    dump(tmp_path / "verl", 1, verl_rows("1+1", ["2", "3"], [1.0, 0.0]))
    assert main(["view", *(word.format(tmp=tmp_path) for word in words)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and told in error


def test_steps_can_be_chosen(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        dump(tmp_path, step, verl_rows("1+1", ["2", "3"], [1.0, 0.0]))
    page = group_browser(tmp_path, tmp_path / "some.html", steps=(2, 3))
    assert [group[0] for group in contents(page)["index"]["groups"]] == ["2.1", "3.1"]


def test_weights_and_advantages_are_the_librarys(tmp_path: Path) -> None:
    texts = ["the sum is 2", "the sum is 2", "count up from one to two", "3", ""]
    scores = [1.0, 1.0, 1.0, 0.0, -1.0]
    page = group_browser(dump(tmp_path, 1, verl_rows("1+1", texts, scores)))
    group = contents(page)["chunk-0"][0]
    vectors = _word_vectors(list(dict.fromkeys(texts))).toarray()[[0, 0, 1, 2, 3]]
    assert np.allclose(np.array(group["cosines"]) / 100, vectors @ vectors.T, atol=0.0051)
    alone = np.zeros(5, int)
    for name, values in {
        "weight": diversity_weights(vectors),
        "plain": group_advantages(np.array(scores), alone),
        "dra": group_advantages(adjust_rewards(scores, vectors), alone),
    }.items():
        assert np.allclose(group["arms"][name], values, rtol=1e-4, atol=1e-6), name
    dealt = np.array(group["arms"]["dealt"])
    assert sorted(dealt[:3]) == sorted(group["arms"]["weight"][:3])
    assert dealt[3:].tolist() == group["arms"]["weight"][3:]  # the only ones of their reward
    assert np.allclose(group["arms"]["placebo"], group_advantages(scores * dealt, alone), rtol=1e-3)


def test_without_verdicts_a_reward_above_zero_is_right_and_the_page_says_so(tmp_path: Path) -> None:
    rows = [{"input": "1+1", "output": text, "score": score} for text, score in (("2", 0.1), ("3", -1.0))]
    index = contents(group_browser(dump(tmp_path, 1, rows)))["index"]
    assert index["groups"][0][3] == "10" and any("reward above 0" in told for told in index["remarks"])


def test_what_is_alike_is_one_cluster(tmp_path: Path) -> None:
    texts = ["add the tens", "add the tens", "add the tens first", "count by fives instead"]
    page = group_browser(dump(tmp_path, 1, verl_rows("1+1", texts, [1.0] * 4)))
    assert contents(page)["chunk-0"][0]["cluster"] == [0, 0, 0, 1]
    texts = ["carry the one over", "carry the one", "reverse every digit", "reverse every digit twice"]
    page = group_browser(dump(tmp_path, 1, verl_rows("1+1", texts, [1.0] * 4)))
    assert contents(page)["chunk-0"][0]["cluster"] == [0, 0, 1, 1]
    page = group_browser(dump(tmp_path, 1, verl_rows("1+1", ["add"] * 3, [1.0] * 3)))
    assert contents(page)["chunk-0"][0]["cluster"] == [0, 0, 0]


def test_the_page_of_a_run_links_to_the_pages_beside_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    notebook = nbformat.v4.new_notebook()
    write_page(notebook, run / "notebook.html", run)
    assert "Also in this run" not in (run / "notebook.html").read_text("utf-8")
    group_browser(dump(tmp_path, 1, verl_rows("1+1", ["2", "3"], [1.0, 0.0])), run / "groups & more.html")
    write_page(notebook, run / "notebook.html", run)
    text = (run / "notebook.html").read_text("utf-8")
    links = re.findall(r'<a href="([^"]*)"[^>]*>([^<]*)</a>', text)
    assert links == [("groups%20%26%20more.html", "groups &amp; more.html")]


def test_the_same_run_is_the_same_page(tmp_path: Path) -> None:
    dump(tmp_path, 1, verl_rows("1+1", ["2", "3"], [1.0, 0.0]))
    first = group_browser(tmp_path).read_bytes()
    assert group_browser(tmp_path).read_bytes() == first


def test_colours_are_those_of_the_figures() -> None:
    from hammerlib.plots.style import CYCLE as figures

    assert figures == CYCLE


def test_no_text_of_a_model_stands_in_the_page_as_html(tmp_path: Path) -> None:
    folder = tmp_path / "<img src=x onerror=alert(1)>"
    dump(folder, 1, verl_rows("</script><b>", HOSTILE, [1.0] * len(HOSTILE)))
    page = group_browser(folder)
    html = page.read_text("utf-8")
    for text in [*HOSTILE[:3], folder.name, "</script><b>"]:
        assert text not in html
    assert contents(page)["chunk-0"][0]["prompt"] == "</script><b>"
    assert not re.search(r"(?:src|href)=\"?https?:", html) and "connect-src" not in html
    assert "default-src 'none'" in html
    assert html.count("<script") == html.count("</script>") == 3  # index, one chunk, the page's own


# In a browser

needs_chromium = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")


def opened(page: Path, script: str = "", address: str = "", *, width: int = 1366) -> str:
    """The document after loading, and after a script of the test (allowed beside the page's own)."""
    shown = page
    if script:
        html = page.read_text("utf-8")
        shown = page.with_name(f"driven-{page.name}")
        free = re.sub(r"script-src 'sha256-[^']*'", "script-src 'unsafe-inline'", html)
        shown.write_text(free.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
    command += ["--virtual-time-budget=20000", f"--user-data-dir={page.parent / 'profile'}", "--dump-dom"]
    ended = subprocess.run(
        [*command, f"file://{shown}{address}"], capture_output=True, timeout=120, check=True
    )
    return ended.stdout.decode("utf-8", "replace")


DRIVER = """
(async () => {{
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", {{key, bubbles: true}}));
  const heading = () => document.querySelector("main h2").textContent;
  while (!document.body.dataset.ready) await wait(20);
  const told = [];
  {steps}
  document.body.dataset.told = JSON.stringify(told);
}})();
"""


def driven(page: Path, steps: str, address: str = "") -> list[Any]:
    from html import unescape

    dom = opened(page, DRIVER.format(steps=steps), address)
    return json.loads(unescape(re.search(r'data-told="([^"]*)"', dom)[1]))


@pytest.fixture
def three_groups(tmp_path: Path) -> Path:
    rows = verl_rows("mixed one", ["so 2", "so 3"], [1.0, 0.0]) + verl_rows(
        "all right", ["x", "y"], [1.0, 1.0]
    )
    dump(tmp_path, 1, rows + verl_rows("all wrong", ["needle", "z"], [0.0, 0.0]))
    return group_browser(tmp_path)


@pytest.mark.long
@needs_chromium
def test_hostile_texts_do_nothing_in_a_browser(tmp_path: Path) -> None:
    dump(tmp_path, 1, verl_rows(HOSTILE[1], HOSTILE, [1.0] * len(HOSTILE)))
    dom = opened(group_browser(tmp_path))
    body = re.search(r"<body[^>]*>", dom)[0]
    assert "data-ready" in body and "data-hit" not in body
    assert "&lt;img src=x onerror=" in dom and "<img" not in dom
    assert "null \\u0000" in dom and "\\u202egnp.exe\\u202c" in dom and "half \ufffd" in dom
    assert "\u05e9\u05dc\u05d5\u05dd" in dom  # a language that runs from right to left stays readable


@pytest.mark.long
@needs_chromium
def test_keys_filters_search_and_links_in_a_browser(three_groups: Path) -> None:
    steps = """
      told.push(heading());
      press("j"); await wait(200); told.push(heading(), location.hash);
      press("End"); await wait(200); told.push(heading());
      press("f"); await wait(200); told.push(document.getElementById("shown").textContent);
      press("f"); press("f"); await wait(200); told.push(document.getElementById("shown").textContent);
      press("f"); await wait(100);
      const search = document.getElementById("search");
      press("/"); told.push(document.activeElement === search);
      search.value = "needle"; search.dispatchEvent(new Event("input")); await wait(600);
      told.push(document.getElementById("shown").textContent);
      told.push(document.querySelectorAll("#list a").length);
    """
    first, second, address, last, mixed, wrong, focused, found, rows = driven(three_groups, steps)
    assert first.startswith("Group 1.1, step 1: 1 of 2 right")
    assert second.startswith("Group 1.2, step 1: 2 of 2 right") and address == "#group=1.2"
    assert last.startswith("Group 1.3") and mixed == wrong == found == "1 of 3 groups"
    assert focused is True and rows == 1


@pytest.mark.long
@needs_chromium
@pytest.mark.parametrize(("rewards", "opened_first"), [([1.0, 0.0], "Group 1.2"), ([1.0, 1.0], "Group 1.1")])
def test_the_first_mixed_group_is_opened_and_without_one_the_first(
    tmp_path: Path, rewards: list[float], opened_first: str
) -> None:
    dump(tmp_path, 1, verl_rows("hard", ["x", "y"], [0.0, 0.0]) + verl_rows("fair", ["2", "3"], rewards))
    assert driven(group_browser(tmp_path), "told.push(heading());")[0].startswith(opened_first)


@pytest.mark.long
@needs_chromium
def test_a_link_opens_its_group_and_a_wrong_one_says_so(three_groups: Path) -> None:
    assert driven(three_groups, "told.push(heading());", "#group=1.3")[0].startswith("Group 1.3")
    steps = 'told.push(document.querySelector("main").textContent);'
    assert driven(three_groups, steps, "#group=9.9")[0] == "No group 9.9 is on this page."


@pytest.mark.long
@needs_chromium
def test_five_thousand_groups_open_within_two_seconds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(3000)])
    for step in range(1, 51):
        rows = []
        for problem in range(100):
            texts = [" ".join(words[rng.integers(0, 3000, 60)]) for _ in range(8)]
            rows += verl_rows(f"problem {problem} of step {step}", texts, rng.integers(0, 2, 8).tolist())
        dump(tmp_path, step, rows)
    page = group_browser(tmp_path)
    assert len(contents(page)["index"]["groups"]) == 5000
    # Milliseconds of a real clock from the start of navigation until a group is drawn, best of three.
    assert min(milliseconds(page) for _ in range(3)) < 2000


def milliseconds(page: Path) -> int:
    """What the page says of its own start, in a browser whose time is not simulated."""
    report = "setInterval(() => { const t = document.body.dataset.ready; if (t) fetch(`/ready/${t}`); }, 20)"
    html = re.sub(r"<meta http-equiv[^>]*>", "", page.read_text("utf-8"))  # its policy forbids the report
    served = html.replace("</body>", f"<script>{report}</script></body>").encode()
    told: queue.Queue[int] = queue.Queue()

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/ready/"):
                told.put(int(self.path.rpartition("/")[2]))
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(served if self.path == "/page" else b"")

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    command += [f"--user-data-dir={page.parent / 'clock'}", f"http://127.0.0.1:{server.server_port}/page"]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return told.get(timeout=60)
    finally:
        browser.terminate()
        browser.wait()
        server.shutdown()
        server.server_close()
