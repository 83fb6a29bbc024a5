"""Addresses: all forms, errors, and masked keys."""

from __future__ import annotations

import copy
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from slow import examples

from qadapt.errors import AddressError
from qadapt.model.address import Address, Secret
from qadapt.model.address_text import with_option

# text: store, transport, location
FORMS = {
    "edge:DIR": ("edge", None, "DIR"),
    "edge:./my data/x": ("edge", None, "./my data/x"),
    r"edge:C:\data": ("edge", None, r"C:\data"),
    "edge:C:/data": ("edge", None, "C:/data"),
    "qdrant+http://host:6333": ("qdrant", "http", "host:6333"),
    "qdrant+https://host:1234": ("qdrant", "https", "host:1234"),
    "qdrant+grpc://host:6334": ("qdrant", "grpc", "host:6334"),
    "qdrant+https://host:443/prefix": ("qdrant", "https", "host:443/prefix"),
    "qdrant:DIR": ("qdrant", None, "DIR"),
    "qdrant::memory:": ("qdrant", None, ":memory:"),
    "milvus+http://host:19530": ("milvus", "http", "host:19530"),
    "milvus:FILE.db": ("milvus", None, "FILE.db"),
    "weaviate+http://host:8080": ("weaviate", "http", "host:8080"),
    "weaviate+https://host:443": ("weaviate", "https", "host:443"),
    "qdrant+http://[::1]:6333": ("qdrant", "http", "[::1]:6333"),
    "other+http://host:5432": ("other", "http", "host:5432"),
    "other+http://host": ("other", "http", "host"),
    "my-store.v2:somewhere": ("my-store.v2", None, "somewhere"),
}


@pytest.mark.parametrize("text", FORMS)
def test_forms(text: str) -> None:
    address = Address.parse(text)
    assert (address.store, address.transport, address.location) == FORMS[text]
    assert address.key is None and address.collection is None and address.options == {}
    assert str(address) == text
    assert Address.parse(str(address)) == address == Address.parse(address)
    assert Address.parse(f"  {text}\n") == address


@pytest.mark.parametrize("text", FORMS)
def test_collection_behind_a_hash(text: str) -> None:
    address = Address.parse(f"{text}#my%20articles%23%C3%A9")
    assert address.collection == "my articles#é"
    assert Address.parse(str(address)) == address
    assert replace(address, collection=None) == Address.parse(text)
    assert address.identity == Address.parse(text).identity


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("qdrant+http://h", 6333),
        ("qdrant+https://h", 6333),
        ("qdrant+grpc://h", 6334),
        ("milvus+http://h", 19530),
        ("milvus+https://h", 443),
        ("weaviate+http://h", 8080),
        ("weaviate+https://h", 443),
        ("qdrant+http://[::1]", 6333),
        ("pgvector+http://h", None),
    ],
)
def test_default_ports(text: str, port: int | None) -> None:
    address = Address.parse(text)
    assert address.port == port
    assert address.host in ("h", "::1")
    if port is not None:
        assert address == Address.parse(f"{text}:{port}")
        assert address.url.endswith(f":{port}")


def test_options() -> None:
    address = Address.parse("weaviate+http://h?grpc=50051&tenant=a%26b#Art")
    assert address.options == {"grpc": "50051", "tenant": "a&b"}
    assert address.collection == "Art"
    assert str(address) == "weaviate+http://h:8080?grpc=50051&tenant=a%26b#Art"
    assert Address.parse("weaviate+http://h").options == {}


def test_url_host_port_path() -> None:
    address = Address.parse("QDRANT+GRPC://Example.com:7")
    assert (address.url, address.host, address.port) == (
        "http://example.com:7",
        "example.com",
        7,
    )
    assert Address.parse("qdrant+https://h/p/").url == "https://h:6333/p"
    assert Address.parse("edge:~/x").path == Path.home() / "x"
    for ask in ("url", "host", "port"):
        with pytest.raises(AddressError, match="not the address of a server"):
            getattr(Address.parse("edge:x"), ask)
    for text in ("qdrant::memory:", "qdrant+http://h"):
        with pytest.raises(AddressError, match="not the address of a folder"):
            _ = Address.parse(text).path


def test_identity_is_the_store_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def same(*texts: str) -> bool:
        return len({Address.parse(text).identity for text in texts}) == 1

    assert same(
        "qdrant+http://h",
        "qdrant+http://H:6333#a",
        "qdrant+http://key@h:6333",
        "qdrant+http://h?key_env=NAME",
        "qdrant+http://h/?api_key=1",
    )
    assert same("weaviate+http://h", "weaviate+http://h?grpc=50051&timeout=3")
    assert not same("qdrant+http://h", "qdrant+http://h:6335")
    assert not same("milvus+http://h?database=a", "milvus+http://h?database=b")
    assert same("qdrant::memory:", "qdrant::memory:#c")
    assert same("edge:x/../data", "edge:data", f"edge:{Path.cwd() / 'data'}")
    before = Address.parse("edge:data").identity
    monkeypatch.chdir(Path(__file__).parent)
    assert Address.parse("edge:data").identity != before
    assert Path(before.removeprefix("edge:")).is_absolute()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("localhost:6333", "did you mean qdrant+http://localhost:6333?"),
        ("127.0.0.1:19530", "did you mean milvus+http://127.0.0.1:19530?"),
        ("http://localhost:6333", "did you mean qdrant+http://localhost:6333?"),
        ("https://x.example:8080", "did you mean weaviate+https://x.example:8080?"),
        ("grpc://h:6334", "did you mean qdrant+grpc://h:6334?"),
        ("qdrant://h:6333", "did you mean qdrant+http://h:6333?"),
        ("milvus://h", "did you mean milvus+http://h?"),
        ("qdrant:localhost:6333", "did you mean qdrant+http://localhost:6333?"),
        ("qdrant", "did you mean qdrant+http://localhost?"),
        ("edge://data", "did you mean edge:/data?"),
        ("./data", "did you mean edge:./data?"),
        (r"C:\data", r"did you mean edge:C:\data?"),
        ("", "for example qdrant+http://localhost:6333"),
        ("edge:", "the location is empty"),
        ("qdrant+http://", "the location is empty"),
        ("qdrant+http://h:0", "the port must be from 1 to 65535"),
        ("qdrant+http://h:65536", "the port must be from 1 to 65535"),
        ("qdrant+http://h:abc", "the default is 6333"),
        ("qdrant+http://h:", "the port must be from 1 to 65535"),
        ("qdrant+http://h:٣", "the port must be from 1 to 65535"),
        ("qdrant+http://::1:6333", "[::1]:6333 for IPv6"),
        ("qdrant+http://[::g]:6333", "not a valid host"),
        ("qdrant+http://[::1]x", "not a valid host"),
        ("qdrant+http://a b", "not a valid host"),
        ("qdrant+tcp://h", "known: qdrant+http, qdrant+https, qdrant+grpc"),
        ("qdrant+http:h", "'//' is missing"),
        ("qdrant+http://h#", "the collection after '#' is empty"),
        ("qdrant+http://h?grpc", "name=value"),
        ("qdrant+http://h?a=1&a=2", "is given twice"),
        ("qdrant+http://h?api_key=", "api_key is empty"),
        ("qdrant+http://:@h", "the key before '@' is empty"),
        ("qdrant+http://a@h?token=b", "more than one key"),
        ("qdrant+http://h?key_env=not-a-name", "?key_env=MY_KEY"),
        ("edge:a%00b", "NUL"),
        ("edge:%ff", "write % itself as %25"),
        ("edge:\ud800", "not valid Unicode"),
        ("edge:" + "x" * 9000, "longer than"),
    ],
)
def test_mistakes(text: str, says: str) -> None:
    with pytest.raises(AddressError) as caught:
        Address.parse(text)
    assert says in str(caught.value)
    assert caught.value.hint or "Unicode" in says


def test_an_address_made_of_parts() -> None:
    address = Address("qdrant", "https", "h:1", {"api_key": "abc", "a": "b"})
    assert address.options == {"a": "b"} and address.secret({}) == "abc"
    assert address == Address("qdrant", "https", "h:1", {"a": "b"}, key="abc")
    assert address != Address("qdrant", "https", "h:1", {"a": "b"}, key="abd")
    assert hash(address) == hash(copy.deepcopy(address))
    assert pickle.loads(pickle.dumps(address)) == address  # workers need the key
    assert isinstance(address.key, Secret) and address.key != "abc"
    assert replace(address, collection="c").secret({}) == "abc"


@settings(max_examples=examples(150), deadline=None)
@given(
    st.sampled_from(["edge", "qdrant", "plug"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20),
    st.dictionaries(
        st.text("abc", min_size=1, max_size=3),
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
        max_size=2,
    ),
    st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
)
@example("edge", "localhost:6333", {}, None)
@example("edge", "é:80", {}, None)
@example("plug", "80", {}, None)
@example("plug", "//x", {}, None)
@example("edge", " x ", {}, " ")
def test_any_path_survives(
    store: str, location: str, options: dict[str, str], collection: str | None
) -> None:
    address = Address(store, None, location, options, collection)
    assert Address.parse(str(address)) == address


def test_paths_stay_readable() -> None:
    for path in ("/tmp/a b/c-d_e.db", r"C:\my data\x", "./été/日本", f"..{os.sep}x"):
        assert str(Address("edge", None, path)) == f"edge:{path}"


def test_the_reopen_address_has_options_and_a_masked_key() -> None:
    text = "weaviate+http://localhost:8080?grpc=50060&key_env=MY_KEY"
    address = Address.parse(text + "#Docs")
    assert Address.parse(address.reopen) == Address.parse(text)
    assert "grpc" not in address.identity
    written = Address.parse("weaviate+https://s3cret@example.com:443?grpc=50060")
    assert "s3cret" not in written.reopen
    assert Address.parse(written.reopen).secret({"WEAVIATE_API_KEY": "other"}) == "other"
    assert Address.parse("edge:data").reopen == Address.parse("edge:data").identity


@pytest.mark.parametrize(
    ("canonical", "spellings"),
    [
        (
            "qdrant+http://localhost:6333",
            "qdrant+http://127.0.0.1 qdrant+http://[::1]:6333/ QDRANT+HTTP://LocalHost. "
            "qdrant+http://[0:0:0:0:0:0:0:1] qdrant+http://[::ffff:127.0.0.1] qdrant+http://127.1 "
            "qdrant+http://0.0.0.0 qdrant+grpc://localhost qdrant+grpc://127.0.0.1:6334?timeout=3 "
            "qdrant+http://localhost?grpc=6334 qdrant+http://key@localhost:6333#c",
        ),
        ("qdrant+http://h:7000", "qdrant+grpc://h:7001?rest=7000 qdrant+http://H:7000/"),
        (
            "milvus+http://h:19530",
            "milvus+grpc://h milvus+http://H:19530/default milvus+http://h?database=default "
            "milvus+http://h?consistency=Strong milvus+http://h?user=me&password=x",
        ),
        ("milvus+http://h:19530?database=a", "milvus+http://h/a milvus+http://h?database=a"),
        (
            "weaviate+http://localhost:8080",
            "weaviate+http://127.0.0.1?grpc=50051 weaviate+http://[::1]",
        ),
        *(
            (
                f"{name}+http://localhost:9200",
                f"{name}+http://127.0.0.1 {name}+http://[::1]:9200/ {name}+http://me:x@LOCALHOST "
                f"{name}+http://localhost:9200?timeout=3",
            )
            for name in ("elasticsearch", "opensearch")
        ),
    ],
)
def test_each_spelling_of_a_server_has_one_identity(canonical: str, spellings: str) -> None:
    assert Address.parse(canonical).identity == canonical
    for text in spellings.split():
        assert Address.parse(text).identity == canonical, text


def test_an_option_that_is_no_text_is_an_invalid_address() -> None:
    """``--id`` with bytes that are not UTF-8: the command line reported a bug of qadapt."""
    for address in ("edge:/data#a", "qdrant+http://h?timeout=3"):
        with pytest.raises(AddressError):
            Address.parse(with_option(address, "id", "\udcff"))
    assert with_option("sqlite-vec:a.db#t", "id", "a b") == "sqlite-vec:a.db?id=a%20b#t"


def test_each_spelling_of_a_path_has_one_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real 50%").mkdir()
    (tmp_path / "link").symlink_to("real 50%")
    monkeypatch.chdir(tmp_path)
    for store in ("edge", "milvus", "qdrant"):
        real = Address(store, None, str(tmp_path / "real 50%" / "x.db"))
        for place in ("link/x.db", "./link/../link//x.db", f"{tmp_path}/link/x.db/"):
            assert Address(store, None, place).identity == real.identity
        assert Address.parse(real.identity).path == real.path
        assert Address.parse(real.reopen).path == real.path


def test_different_stores_have_different_identities() -> None:
    texts = [
        "qdrant+http://h",
        "qdrant+https://h",
        "qdrant+http://h:1",
        "qdrant+http://h/p",
        "qdrant+http://127.0.0.2",
        "weaviate+http://h",
        "weaviate+https://h",
        "milvus+http://h",
        "milvus+http://h/a",
        "edge:h",
        "milvus:h",
    ]
    assert len({Address.parse(text).identity for text in texts}) == len(texts)


def test_a_key_of_a_wrapped_client_is_not_in_its_address() -> None:
    address = Address("qdrant", "https", "user:hush@Host:6333/p")
    for shown in (str(address), repr(address), address.identity, address.reopen, address.location):
        assert "hush" not in shown
    assert address.secret({}) == "user:hush"
