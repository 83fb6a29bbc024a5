"""Rules for keys: which variables may be read, and which connections may carry a key."""

from __future__ import annotations

import warnings

import pytest

import qadapt as qa
from qadapt.errors import AddressError, ConsentRequiredError, InsecureTransportWarning
from qadapt.model.address import Address
from qadapt.model.credentials import is_loopback
from qadapt.model.masking import mask
from qadapt.used_keys import remember

KEY = "qwertz-4711"


@pytest.mark.parametrize("place", ["qdrant+http://db.example", "qdrant+grpc://10.0.0.5:6334"])
def test_a_key_is_not_sent_unencrypted_to_another_machine(place: str) -> None:
    address = Address.parse(place)
    environ = {"QDRANT_API_KEY": KEY}
    with pytest.raises(AddressError, match="refusing to send a key") as caught:
        address.secret(environ)
    assert "qdrant+https://" in str(caught.value) and "--insecure" in str(caught.value)
    assert KEY not in str(caught.value)
    assert address.secret({}) is None  # without a key there is nothing to protect
    with pytest.warns(InsecureTransportWarning, match="unencrypted"):
        assert address.secret({**environ, "QADAPT_INSECURE": "1"}) == KEY
    with pytest.raises(AddressError, match="QADAPT_INSECURE must be 0 or 1"):
        address.secret({**environ, "QADAPT_INSECURE": "yes"})


@pytest.mark.parametrize(
    "place",
    [
        "qdrant+https://db.example",
        "qdrant+http://localhost",
        "qdrant+http://127.0.0.1",
        "qdrant+http://127.8.8.8:6333",
        "qdrant+grpc://[::1]",
    ],
)
def test_a_key_is_sent_over_tls_and_to_this_machine(place: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Address.parse(place).secret({"QDRANT_API_KEY": KEY}) == KEY


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("LocalHost.", True),
        ("db.localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("::ffff:10.0.0.1", False),
    ],
)
def test_loopback(host: str, own: bool) -> None:
    assert is_loopback(host) is own


def test_a_file_may_name_only_key_variables_of_the_store() -> None:
    environ = {"AWS_SECRET_ACCESS_KEY": KEY, "QDRANT_API_KEY": "own key", "QADAPT_API_KEY": "x"}
    text = "qdrant+https://evil.example?key_env=AWS_SECRET_ACCESS_KEY"
    assert Address.parse(text).secret(environ) == KEY  # typed by the user
    with pytest.raises(ConsentRequiredError) as caught:
        Address.from_file(text).secret(environ)
    assert "AWS_SECRET_ACCESS_KEY" in str(caught.value) and "evil.example:6333" in str(caught.value)
    assert "--allow-key-env AWS_SECRET_ACCESS_KEY" in str(caught.value.hint)
    assert Address.from_file(text, ["AWS_SECRET_ACCESS_KEY"]).secret(environ) == KEY
    with pytest.raises(ConsentRequiredError):
        Address.from_file(text, ["ANOTHER"]).secret(environ)
    own = "qdrant+https://h?key_env=QDRANT_API_KEY"
    assert Address.from_file(own).secret(environ) == "own key"
    # A variable of another store.
    with pytest.raises(ConsentRequiredError):
        Address.from_file("milvus+https://h?key_env=QDRANT_API_KEY").secret(environ)


def test_a_used_key_is_masked_in_server_responses() -> None:
    remember('s3cr"et/4711')
    remember("abc")
    text = 'key s3cr"et/4711 refused; {"k": "s3cr\\"et/4711"}; s3cr%22et%2F4711; abc, abcde'
    assert mask(text) == 'key *** refused; {"k": "***"}; ***; ***, abcde'


@pytest.mark.parametrize(
    "text",
    [
        "milvus:/etc/passwd: the file name must end in .db",
        "edge:/etc/passwd: the path is a file",
        "'/srv/my-token': not a folder",
        r"C:\keys\db.secret: access denied",
    ],
)
def test_words_after_a_path_are_not_masked(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "passwd: hunter2",
        "user/password:hunter2",
        "/etc/passwd=hunter2",
        "{'api_key': 'hunter2'}",
        "/etc/app.conf: password: hunter2",
        "/etc/app.conf, token: hunter2",
    ],
)
def test_values_of_secret_options_are_masked_next_to_paths(text: str) -> None:
    assert "hunter2" not in mask(text)


@pytest.mark.parametrize("key", ["schlüssel-1234", "abc\n", " abc", "abc ", "a\x1fb"])
@pytest.mark.parametrize("store", ["qdrant", "weaviate", "elasticsearch", "clickhouse", "chroma"])
def test_a_key_that_no_header_can_contain_is_refused(
    store: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QADAPT_API_KEY", key)
    with pytest.raises(AddressError, match="HTTP header") as caught:
        qa.open(f"{store}+http://localhost:9")
    assert key not in str(caught.value)
    assert "copy the key again" in str(caught.value.hint)
