"""The comparison of servers: its arithmetic, its tables and its settings. No server is started here."""

from __future__ import annotations

import ast
import json
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from compare import archives, figures, install, machine, peers, tables
from compare.__main__ import parser
from compare.figures import Figure, Measured, Visit, order_of_round, summarized
from compare.quiet import Others, wait_for_quiet
from compare.rounds import Plan
from marwright.errors import MarwrightError
from marwright.workspace import Run

SCRIPTS = Path(__file__).parents[3] / "scripts" / "benchmarks"
CLIENTS = (1, 16)


def visit(number: int, rate: float, *, failed: int = 0, doubts: tuple[str, ...] = ()) -> Visit:
    loads = tuple(
        Measured(clients, rate * clients, p50_ms=1000 / rate, p99_ms=2000 / rate, failed=failed, doubts=doubts)
        for clients in CLIENTS
    )
    return Visit("mosec", number, start_s=1.0 + number, memory_mb={"rss": 300 + rate, "pss": 200.0}, loads=loads)


def row(*rates: float, **settings: object) -> tables.Row:
    summary = summarized([visit(number, rate) for number, rate in enumerate(rates)]) if rates else None
    return tables.Row("mosec", "int8", "two workers", summary, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "median", "spread"),
    [([5.0], 5.0, 0.0), ([90.0, 110.0, 100.0], 100.0, 0.1), ([1.0, 3.0], 2.0, 0.5), ([0.0, 0.0], 0.0, 0.0)],
)
def test_a_figure_is_the_median_and_half_the_range(values: list[float], median: float, spread: float) -> None:
    figure = Figure.of(values)

    assert figure.median == median
    assert figure.spread == pytest.approx(spread)


def test_rounds_are_summed_up_for_each_number_of_clients() -> None:
    summary = summarized([visit(0, 100), visit(1, 140, failed=3, doubts=("late",)), visit(2, 110, doubts=("late",))])

    assert summary.rounds == 3
    assert summary.rate == {1: Figure(110, 100, 140), 16: Figure(1760, 1600, 2240)}
    assert summary.p99_ms[1].median == pytest.approx(2000 / 110)
    assert summary.start_s == Figure(2.0, 1.0, 3.0)
    assert summary.failed == 6
    assert summary.doubts == ("late",)


def test_every_server_is_visited_once_a_round_and_not_always_after_the_same_one() -> None:
    names = ["a", "b", "c", "d", "e"]
    orders = [order_of_round(names, number) for number in range(3)]

    assert all(sorted(order) == names for order in orders)
    assert orders[0] == names
    assert len({order[0] for order in orders}) == 3
    followers = [set(pairwise(order)) for order in orders]
    assert not followers[0] & followers[1]
    assert order_of_round([], 1) == []


def test_the_table_has_a_cell_for_every_figure() -> None:
    table = tables.table([row(100.0, 120.0, 110.0, artifact_mb=23.94, own=True)], CLIENTS)
    head, rule, body = (line.strip("|").split(" | ") for line in table.splitlines())

    assert len(head) == len(rule) == len(body) == 9
    assert [cell.strip() for cell in body] == [
        *("**mosec**", "int8", "110 ±9%", "9.1 / 18.2", "1,760 ±9%", "9.1 / 18.2", "2.0", "410 / 200", "23.9")
    ]


def test_a_server_without_figures_stands_in_the_table_with_its_reason() -> None:
    table = tables.table([row(reason="mosec is not installed")], CLIENTS)

    assert "not measured: mosec is not installed" in table
    assert len({line.count("|") for line in table.splitlines()}) == 1


def test_failures_and_doubts_are_told() -> None:
    doubtful = tables.Row("mosec", "int8", "", summarized([visit(0, 100, failed=2, doubts=("it was late",))]))

    assert tables.doubts([row(100.0)]) == ""
    assert tables.doubts([doubtful]).splitlines() == ["- mosec: 4 requests failed.", "- mosec: it was late."]


def test_a_page_leaves_out_empty_sections() -> None:
    page = tables.page("Title", ["First."], {"Results": "table", "Doubts": ""})

    assert page == "# Title\n\nFirst.\n\n## Results\n\ntable\n"


def test_what_was_measured_can_be_written_as_json() -> None:
    written = json.loads(json.dumps(figures.as_json(summarized([visit(0, 100.123456)]))))

    assert written["rate"]["16"] == {"median": 1601.9753, "least": 1601.9753, "most": 1601.9753}
    assert written["doubts"] == []


@pytest.mark.parametrize(
    ("read", "answer"),
    [
        (peers.first_label, b'{"Tea": 0.9, "Milk": 0.1}'),
        (peers.first_label_in_list, b'[{"Tea": 0.9, "Milk": 0.1}]'),
        (peers.plain_label, b"Tea"),
    ],
)
def test_the_best_label_is_found_in_every_kind_of_answer(read: object, answer: bytes) -> None:
    assert read(answer) == "Tea"  # type: ignore[operator]


def test_peers_are_chosen_by_name() -> None:
    assert [peer.name for peer in peers.chosen(["marwright", "mosec"])] == ["mosec", "marwright"]
    assert peers.chosen([]) == list(peers.PEERS)
    assert len({peer.name for peer in peers.PEERS}) == len(peers.PEERS)
    with pytest.raises(MarwrightError, match="--peers nginx: there are fastapi"):
        peers.chosen(["nginx", "mosec"])


def test_a_peer_without_its_package_or_its_model_says_so(tmp_path: Path) -> None:
    run = Run(tmp_path / "goods")
    run.teacher.checkpoint.mkdir(parents=True)
    mosec = next(peer for peer in peers.PEERS if peer.name == "mosec")
    absent = peers.Peer(**{**vars(mosec), "needs": ("json", "no_such_package")})

    assert absent.missing(run) == "no_such_package is not installed"
    assert peers.Peer(**{**vars(mosec), "needs": ("json",)}).missing(run) is None
    (pruned,) = (peer for peer in peers.PEERS if peer.weights == "student-pruned")
    assert pruned.missing(run) == "goods has no student-pruned"
    run.candidates.run("student-pruned").model("pruned").checkpoint.mkdir(parents=True)
    assert pruned.missing(run) is None


def test_every_request_of_a_peer_is_json_with_the_text() -> None:
    for peer in peers.PEERS:
        assert "tea" in json.dumps(json.loads(peer.template.replace("%s", '"tea"')))


def test_the_plan_knows_how_long_it_takes() -> None:
    assert Plan(rounds=3, seconds=8).minutes(10) == pytest.approx(20)


def test_the_defaults_of_the_command_line_are_those_of_the_plan() -> None:
    given = parser().parse_args([])

    assert (given.rounds, given.seconds) == (Plan().rounds, Plan().seconds)
    assert tuple(int(count) for count in given.clients.split(",")) == Plan().clients


@pytest.mark.parametrize("text", [archives.STOCK, archives.EXAMPLE])
def test_torchserve_understands_the_settings_of_foreign_archives(text: str) -> None:
    settings = yaml.safe_load(text)

    numbers = {name: value for name, value in settings.items() if name != "deviceType"}
    assert all(isinstance(value, int) and value > 0 for value in numbers.values())
    assert settings.get("minWorkers") == settings.get("maxWorkers")


@pytest.mark.parametrize("name", ["talk_handler.py", "example_handler.py"])
def test_a_handler_file_has_one_class_as_torchserve_demands(name: str) -> None:
    tree = ast.parse((SCRIPTS / "compare" / name).read_text(encoding="utf-8"))

    assert sum(isinstance(node, ast.ClassDef) for node in tree.body) == 1


def test_the_extra_names_what_the_peers_need() -> None:
    wanted = " ".join(install.wanted())

    assert all(package in wanted for peer in peers.PEERS for package in peer.needs)


def test_versions_and_machine_are_told() -> None:
    found = machine.versions(["pytest", "no-such-package"])
    told = machine.described(machine.machine(), found)

    assert list(found) == ["pytest"]
    assert f"pytest {found['pytest']}" in told
    assert "cores" in told


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    from compare.picture import draw

    rows = [row(100.0, 120.0), row(reason="absent"), row(300.0, own=True)]
    draw(rows, CLIENTS, tmp_path / "servers.png", "title")

    assert (tmp_path / "servers.png").read_bytes().startswith(b"\x89PNG")


def test_the_products_of_a_module_are_those_of_its_real_tokens() -> None:
    import numpy as np

    from compare.products import Products
    from marwright.encoder.shape import EncoderShape, LayerShape

    shape = EncoderShape(
        vocabulary=50, hidden=16, head_size=8, layers=(LayerShape(2, 32), LayerShape(2, 32)), positions=20, labels=3
    )
    mask = np.ones((2, 12), dtype=np.int64)
    mask[1, 4:] = 0  # 12 + 4 real tokens
    products = Products(shape, mask)

    whole_layer = 16 * (16 * 48 + 16 * 16 + 2 * 16 * 32)
    last_layer = 16 * 16 * 32 + 2 * (2 * 16 * 16 + 2 * 16 * 32)
    assert products.operations == whole_layer + last_layer + 2 * 16 * 16
    assert products.seconds() > 0


def test_other_programs_on_the_machine_are_a_doubt() -> None:
    assert Others(0.02).doubt is None
    assert Others(0.5).doubt == "other programs took up to 50% of a core"


def test_nobody_waits_without_patience() -> None:
    wait_for_quiet(0)
