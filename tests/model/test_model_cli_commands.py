"""Shell commands in messages: quoting, leading dashes, options."""

from __future__ import annotations

import shlex

import pytest

from qadapt.model import scalar
from qadapt.model.address import Address
from qadapt.model.cli_commands import cli_command, repeated_command, vector_command


@pytest.mark.parametrize("name", ["two words", "it's", 'a "b"', "$HOME", "a;b", "ä*", ""])
def test_names_are_quoted_for_a_shell(name: str) -> None:
    command = cli_command("inspect", "edge:./data", name)
    assert shlex.split(command) == ["qadapt", "inspect", "edge:./data", name]


def test_options_follow_the_arguments() -> None:
    command = cli_command("cost", "edge:./data", "a b", disk_price="0.1", price="", accept=None)
    assert command == "qadapt cost edge:./data 'a b' --disk-price 0.1"
    assert cli_command("alias", "u", "live", drop=True) == "qadapt alias u live --drop"
    assert cli_command("alias", "u", "live", "docs", drop=False) == "qadapt alias u live docs"


def test_an_argument_with_a_leading_dash_follows_two_dashes() -> None:
    address = Address.parse("edge:./data")
    command = vector_command("apply", address, "-docs", "text", scalar(), accept="client")
    assert command == (
        "qadapt apply --vector text --accept client -- edge:./data -docs "
        f"{shlex.quote(str(scalar()))}"
    )


def test_an_option_value_with_a_leading_dash_is_joined() -> None:
    address = Address.parse("edge:./data")
    assert vector_command("verify", address, "docs", "-v") == (
        "qadapt verify edge:./data docs --vector=-v"
    )


def test_repeated_words_get_options_before_two_dashes() -> None:
    typed = ["apply", "--", "edge:./data", "-docs", "binary"]
    assert repeated_command(typed, ["--yes"]) == "qadapt apply --yes -- edge:./data -docs binary"
    assert repeated_command(["apply", "p l.json"], ["--yes"]) == "qadapt apply 'p l.json' --yes"
