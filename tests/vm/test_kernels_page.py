"""docs/kernels.md says what docs/kernels.json says, and no test in it has gone."""

from __future__ import annotations

from tests.vm.kernel_image import ROOT
from tests.vm.kernel_results import read_results
from tests.vm.kernels_page import PAGE, make_page
from tests.vm.selection import GROUPS


def test_the_page_is_made_of_the_results() -> None:
    assert PAGE.read_text() == make_page(read_results()), "python -m tests.vm.kernels_page makes it anew"


def test_the_selected_files_are_there() -> None:
    assert [test for group in GROUPS for test in group.tests if not (ROOT / test.partition("::")[0]).exists()] == []
