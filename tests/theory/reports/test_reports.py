"""What verify writes beside its table: one table of several candidates, JUnit XML, LaTeX, pictures, values."""

import dataclasses
import itertools
import json
import xml.etree.ElementTree as ElementTree
from fractions import Fraction

import pytest

from theory import verify
from theory.candidates.loading import loads
from theory.decisions import values_of_a_parameter
from theory.decisions.conditions import CONDITIONS
from theory.decisions.decision import decide
from theory.decisions.intervals import Interval, joined
from theory.decisions.verdict import Verdict, unknown
from theory.formulas.latex import latex
from theory.laws.parsing import parse_law

HEAD = "from theory import tau\nimport sympy\n"


@pytest.fixture
def file(tmp_path):
    def write(name, source):
        path = tmp_path / name
        path.write_text(HEAD + source)
        return str(path)

    return write


@pytest.fixture
def three(file):
    """A candidate that is proved, one that is refuted, and one that is unknown."""
    return [
        file("proved.py", "C = 1 + 0 * tau"),
        file("refuted.py", "C = 1 + tau"),
        file("unknown.py", "C = sympy.erfc(tau)"),
    ]


def test_several_candidates_give_the_worst_exit_code_and_a_list_of_json(three, capsys):
    assert verify.main([three[0], three[0], "--json"]) == 0
    assert [report["verdict"] for report in json.loads(capsys.readouterr().out)] == ["PROVED", "PROVED"]
    assert verify.main([three[0], three[2], "--json"]) == 2
    capsys.readouterr()
    assert verify.main([*three, "--json"]) == 1
    assert [report["verdict"] for report in json.loads(capsys.readouterr().out)] == ["PROVED", "REFUTED", "UNKNOWN"]


def test_one_table_has_a_line_for_each_candidate_and_law(three, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    verify.main([*three, "--table", "--distribution", "poisson:2", "--distribution", "constant:0"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    signs = {line[0].rpartition("/")[2]: line[-6:] for line in lines if line and "poisson:2" in line}
    assert signs["proved.py"] == ["✓"] * 6
    assert signs["refuted.py"] == ["✓", "✓", "✗", "✗", "✗", "✓"]
    assert signs["unknown.py"] == ["?"] * 6
    assert sum("constant:0" in line for line in lines) == 3


def test_one_table_keeps_the_names_of_the_conditions_whole_in_80_columns(three, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    verify.main([*three, "--table", "--distribution", "negative_binomial:3:1/4"])
    assert capsys.readouterr().out.split()[:8] == ["candidate", "law", *CONDITIONS]


@pytest.mark.parametrize(
    ("source", "condition", "laws", "end"),
    [
        ("b = sympy.Symbol('b')\nC = sympy.exp(-b * tau)\nparameters = {'b': (0, 2)}", "magnitude", ["poisson:8"],
            "with b = 1"),
        ("b = sympy.Symbol('b')\nC = 2 + b\nparameters = {'b': (0, 2)}", "amplitude", [], "with b = 1"),
        ("def step_size(tau, F):\n    return 2 - 2 * F\ncdf = 'inclusive'", "positive", [], "under constant:0"),
        ("C = tau", "positive", ["poisson:8"], "C(0) = 0, where the law has mass"),
    ],
)  # fmt: skip
def test_a_refutation_says_under_which_law_and_with_which_parameters(source, condition, laws, end):
    report = decide(loads(HEAD + source), [parse_law(law) for law in laws], repair=False)
    assert report[condition].verdict is Verdict.REFUTED
    assert report[condition].because.endswith(end)


def test_junit_has_a_test_for_each_condition_and_none_that_is_not_proved_passes(three, tmp_path):
    path = tmp_path / "verdicts.xml"
    verify.main([*three, "--junit", str(path)])
    root = ElementTree.parse(path).getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("18", "4", "6")
    outcomes = [
        {case.get("name"): [child.tag for child in case] for case in suite.findall("testcase")} for suite in root
    ]
    assert set(map(str, outcomes[0].values())) == {"[]"}
    assert outcomes[1]["decreasing under every law"] == ["failure"]
    assert set(map(str, outcomes[2].values())) == {"['error']"}
    assert root.find(".//failure").get("message")


def test_junit_can_hold_any_message(file, tmp_path):
    path = tmp_path / "verdicts.xml"
    name = "a<&>\x01.py"
    (tmp_path / name).write_text(HEAD + "C = sympy.Function('<&\\x02>')(tau)")
    verify.main([str(tmp_path / name), "--junit", str(path)])
    root = ElementTree.parse(path).getroot()
    assert root.find("testsuite").get("name").endswith("a<&>\N{REPLACEMENT CHARACTER}.py")


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("C = 1 / (1 + tau)", r"\frac{1}{1 + \tau}"),
        ("C = (-2) ** tau", r"\left(-2\right)^{\tau}"),
        ("C = (2 / 3) ** tau", r"\left(\frac{2}{3}\right)^{\tau}"),
        ("C = 3 * 5**tau / (2 * sympy.pi)", r"\frac{3 \cdot 5^{\tau}}{2 \, \pi}"),
        ("C = sympy.exp(-tau) ** 2 - tau / 7", r"e^{-2 \, \tau} - \frac{1}{7} \, \tau"),
        ("C = sympy.factorial(tau + 1)", r"\left(1 + \tau\right)!"),
        ("C = tau * (tau - 2)", r"\tau \, \left(\tau - 2\right)"),
        ("C = sympy.sqrt(tau + 1)", r"\sqrt{1 + \tau}"),
        (
            "C = sympy.Piecewise((1, tau < 3), (1 / tau, True))",
            r"\begin{cases} 1 & \text{if } \tau < 3 \\ \frac{1}{\tau} & \text{otherwise} \end{cases}",
        ),
        ("C = sympy.Symbol('beta_max')\nparameters = {'beta_max': 1}", r"\beta_{\mathrm{max}}"),
        ("def step_size(tau, F):\n    return 1 + (1 - 2 * F)", r"2 - 2 \, F(\tau)"),
    ],
)
def test_latex_keeps_what_binds_to_what(source, written):
    assert latex(loads(HEAD + source).formula) == written


def test_latex_is_printed_without_deciding(file, capsys):
    assert verify.main([file("one.py", "C = 1 + tau"), "--latex"]) == 0
    assert capsys.readouterr().out == "C(\\tau) = 1 + \\tau\n"
    assert verify.main([file("one.py", "C = sympy.erfc(tau)"), "--latex"]) == 3
    assert "no formula" in capsys.readouterr().err


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_a_picture_is_drawn(three, tmp_path, ending, magic):
    path = tmp_path / f"C.{ending}"
    verify.main([*three, "--plot", str(path)])
    assert path.read_bytes().startswith(magic)


def test_the_picture_shows_c_and_its_means(file):
    picture = pytest.importorskip("theory.reports.picture")
    candidate = loads(HEAD + "C = 1 / (1 + tau)")
    ((question, label),) = picture._questions(candidate, [])
    staleness, values = picture._curve(question)
    assert label.endswith("1/(1 + τ)")
    assert values == pytest.approx([1 / (1 + tau) for tau in staleness])
    means = dict(zip(picture.WORKERS, picture._means(candidate, "geometric", 20.0), strict=True))
    assert means[1] == 1
    assert means[2] == pytest.approx(2**-1 / (1 - 2**-1) * 0.6931471805599453)  # p/(1-p)·log(1/p)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--plot", "C.gif"], ".png, .svg, .pdf"),
        (["--plot", "C.png"], "--set beta=VALUE"),
        (["--latex", "--plot", "C.png"], "--latex does not make"),
        (["--for-which", "beta", "--junit", "j.xml"], "--for-which does not make"),
        (["--for-which", "beta", "--latex"], "do not go together"),
        (["--for-which", "gamma"], "beta; got 'gamma'"),
        (["--for-which", "beta", "--set", "beta=1"], "--set beta=LOW,HIGH"),
        (["--junit", "nowhere/j.xml"], "--junit nowhere/j.xml: cannot be written"),
        (["--plot", "nowhere/C.png"], "--plot nowhere/C.png: cannot be written"),
        (["one.py", "--certificate", "c.json"], "one candidate, got 2"),
        (["--set", "gamma=1"], "gamma"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_work(file, options, named, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = file("one.py", "C = sympy.exp(-sympy.Symbol('beta') * tau)\nparameters = {'beta': (0, 1)}")
    monkeypatch.setattr(verify, "decide", None)
    assert verify.main([path, *options]) == 3
    assert named in capsys.readouterr().err


def test_a_parameter_is_set_in_the_candidates_that_have_it(file, capsys):
    one = file("one.py", "C = sympy.exp(-sympy.Symbol('b') * tau)\nparameters = {'b': (-1, 1)}")
    other = file("other.py", "C = 1 + 0 * tau")
    verify.main([one, other, "--set", "b=1", "--json"])
    verdicts = [one["conditions"]["decreasing"]["verdict"] for one in json.loads(capsys.readouterr().out)]
    assert verdicts == ["PROVED", "PROVED"]
    assert verify.main([one, other, "--set", "c=1"]) == 3
    assert "got 'c'" in capsys.readouterr().err


def values(capsys, *arguments):
    assert verify.main([*arguments, "--json"]) == 0
    return {(one["condition"], one["law"]): one for one in json.loads(capsys.readouterr().out)["values"]}


def test_for_which_values_a_condition_holds(file, capsys):
    path = file("one.py", "C = 2 * sympy.exp(-sympy.Symbol('b') * tau)\nparameters = {'b': (-1, None)}")
    found = values(capsys, path, "--for-which", "b", "--distribution", "geometric:1/2")
    under = "geometric:1/2"
    assert found["positive", under]["proved"] == [{"low": "-1", "high": None, "low_open": True, "high_open": True}]
    assert found["decreasing", under]["proved"] == [{"low": "0", "high": None, "low_open": False, "high_open": True}]
    assert all(eval(value) < 0 for value in found["decreasing", under]["refuted"])
    # E[C] = 1/(1 - exp(-b)/2) is 1 for no b, and infinite up to b = -log 2.
    assert found["magnitude", under]["proved"] == []
    assert found["magnitude", under]["mean_passes_1"] == []


def test_where_the_mean_passes_1_is_enclosed(file, capsys):
    path = file("one.py", "C = sympy.Symbol('b') / (1 + tau)\nparameters = {'b': (1, 2)}")
    found = values(capsys, path, "--for-which", "b", "--distribution", "geometric:1/2")
    ((low, high),) = found["magnitude", "geometric:1/2"]["mean_passes_1"]
    low, high = (int(end.split("/")[0]) / int(end.split("/")[1]) for end in (low, high))
    assert low < 1 / 0.6931471805599453 < high  # E[1/(1+T)] = log 2 there
    assert high - low < 1e-4


def test_what_a_second_look_does_not_believe_is_not_said_to_hold(file, capsys, monkeypatch):
    def disbelieved(report, *, limit_s):
        nothing = [(law, unknown("not believed")) for law in report.laws]
        return dataclasses.replace(
            report, decisions=tuple(dataclasses.replace(one, findings=tuple(nothing)) for one in report.decisions)
        )

    monkeypatch.setattr(verify, "confirmed", disbelieved)
    path = file("one.py", "C = sympy.Symbol('b') + 0 * tau\nparameters = {'b': (1, 2)}")
    assert [one["proved"] for one in values(capsys, path, "--for-which", "b").values()] == [[]] * 6


@pytest.mark.parametrize("options", [["--json"], ["--json", "--for-which", "b"]])
def test_what_a_file_prints_is_no_part_of_the_json(file, capsys, options):
    path = file("one.py", "print('said')\nC = sympy.Symbol('b') + 0 * tau\nparameters = {'b': (1, 2)}")
    verify.main([path, *options])
    printed = capsys.readouterr()
    json.loads(printed.out)
    assert "said" in printed.err


def test_what_a_file_prints_is_no_part_of_the_latex(file, capsys):
    assert verify.main([file("one.py", "print('said')\nC = 1 + tau"), "--latex"]) == 0
    assert capsys.readouterr().out == "C(\\tau) = 1 + \\tau\n"


def test_a_distortion_is_not_drawn_as_a_function_of_the_staleness(file, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(verify, "decide", None)
    assert verify.main([file("g.py", "def distortion(u):\n    return u"), "--plot", str(tmp_path / "g.png")]) == 3
    assert "this is a distortion" in capsys.readouterr().err


def test_intervals_are_joined_only_where_the_number_between_them_is_in_one():
    def between(low, high, low_open=True, high_open=True):
        return Interval(Fraction(low), Fraction(high), low_open, high_open)

    assert len(joined([between(0, 1), between(1, 2)])) == 2
    for middle in ([between(1, 1, False, False)], [between(0, 1, True, False)], [between(1, 2, False)]):
        (whole,) = joined([between(0, 1), *middle, between(1, 2)])
        assert whole == between(0, 2)


def test_a_search_ends_after_ten_limits_and_says_what_it_has_not_looked_at(file, capsys, monkeypatch):
    """Of a candidate whose proofs on intervals fail, it would look at hundreds of values."""
    seconds = itertools.count()
    monkeypatch.setattr(values_of_a_parameter, "_clock", lambda: next(seconds))  # each look takes one
    path = file("one.py", "C = sympy.exp(-sympy.Symbol('b') * tau)\nparameters = {'b': (-1, 2)}")
    found = values(capsys, path, "--for-which", "b", "--limit-s", "0.5")
    assert len({*found["decreasing", "every law"]["refuted"]}) <= 5
    assert found["decreasing", "every law"]["unknown"]
    capsys.readouterr()
    verify.main([path, "--for-which", "b", "--limit-s", "0.5"])
    assert "UNKNOWN at" in capsys.readouterr().out
