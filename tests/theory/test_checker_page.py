"""What docs/checker.md says is what the checker does."""

import re
from pathlib import Path

from theory import table
from theory.candidates.loading import loads
from theory.decisions.conditions import CONDITIONS
from theory.laws import parsing

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "checker.md").read_text()


def test_the_table_of_rules_is_what_the_checker_says_and_all_are_decided():
    written = re.search(r"<!-- table -->\n(.*?)<!-- end of table -->", PAGE, re.DOTALL)[1]
    assert table.markdown(table.reports()) == written
    assert "?" not in written


def test_the_page_names_every_condition_and_every_law():
    assert all(f"| `{name}` |" in PAGE for name in CONDITIONS)
    assert all(f"`{':'.join([name, *arguments])}`" in PAGE for name, (arguments, _) in parsing.LAWS.items())


def test_the_candidates_of_the_page_are_candidates():
    candidates = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "to_rule" not in block]
    assert len(candidates) == 2
    assert all(loads(source).formula is not None for source in candidates)
