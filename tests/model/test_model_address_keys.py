"""Keys of addresses: their sources and masking."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from slow import examples

from qadapt.errors import AddressError, SpecError
from qadapt.model.address import Address, mask
from qadapt.model.serializable import _adapter
from qadapt.model.spec import parse_spec
from qadapt.used_keys import MASK


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("milvus+https://root:Milvus@h", "root:Milvus"),
        ("qdrant+https://abc@h", "abc"),
        ("qdrant+https://:abc@h", "abc"),
        ("qdrant+https://a%40b%2Fc@h", "a@b/c"),
        ("qdrant+https://h?api_key=a+b%26", "a+b&"),
        ("qdrant+https://h?API-KEY=abc", "abc"),
        ("qdrant+https://h?apikey=abc", "abc"),
        ("qdrant+https://h?key=abc", "abc"),
        ("milvus+https://h?token=abc", "abc"),
        ("milvus+https://h?user=root&password=abc", "root:abc"),
        ("plug:x?client_secret=abc", "abc"),
    ],
)
def test_key_in_the_address(text: str, key: str) -> None:
    address = Address.parse(text)
    assert address.secret({"QADAPT_API_KEY": "other"}) == key
    assert MASK in str(address) and key not in str(address)
    assert not {"api_key", "token", "key", "password"} & set(address.options)
    again = Address.parse(str(address))
    assert str(again) == str(address)
    assert again.secret({"QADAPT_API_KEY": "other"}) == "other"
    with pytest.raises(AddressError, match="masked when the address was saved") as caught:
        again.secret({})
    assert "QADAPT_API_KEY" in str(caught.value)


def test_order_of_key_sources() -> None:
    environ = {
        "QADAPT_API_KEY": "ours",
        "QDRANT_API_KEY": "qdrant's",
        "MILVUS_TOKEN": "milvus's",
        "WEAVIATE_API_KEY": "weaviate's",
        "MINE": "mine",
    }
    assert Address.parse("qdrant+https://h?key_env=MINE").secret(environ) == "mine"
    assert Address.parse("qdrant+https://h").secret(environ) == "ours"
    del environ["QADAPT_API_KEY"]
    for store in ("qdrant", "milvus", "weaviate"):
        assert Address.parse(f"{store}+https://h").secret(environ) == f"{store}'s"
    assert Address.parse("edge:x").secret(environ) is None
    assert Address.parse("qdrant+https://h").secret({"QDRANT_API_KEY": ""}) is None
    for missing in ({}, {"MINE": ""}):
        with pytest.raises(AddressError, match="'MINE'"):
            Address.parse("qdrant+https://h?key_env=MINE").secret(missing)


def test_secret_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QADAPT_API_KEY", "from outside")
    assert Address.parse("qdrant+https://h").secret() == "from outside"
    monkeypatch.delenv("QADAPT_API_KEY")
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    assert Address.parse("qdrant+https://h").secret() is None


# Letters that occur nowhere else in the addresses, so that every leak is detected.
_KEYS = st.text("ZQXJ279!$*+@:/?#&=% é\"'\\", min_size=6, max_size=20)


_PLACES = st.sampled_from(
    [
        "qdrant+https://{key}@h:1",
        "milvus+https://user:{key}@h:1/p#c",
        "qdrant+https://:{key}@h",
        "qdrant+https://h?api_key={key}",
        "milvus+https://h?a=b&token={key}#c",
        "weaviate+https://h?key={key}&grpc=50051",
        "milvus+https://h?user=u&password={key}",
        "plug:dir?password={key}",
        "edge:./d?secret={key}#c",
    ]
)


def _quoted(text: str) -> str:
    return "".join(
        char if char.isalnum() and char.isascii() else "".join(f"%{b:02X}" for b in char.encode())
        for char in text
    )


@settings(max_examples=examples(150), deadline=None)
@given(_KEYS, _PLACES)
@example("ZZZZZZ", "qdrant+https://{key}@h:1")
def test_a_key_is_never_shown(key: str, place: str) -> None:
    assume(key.strip() == key and sum(char.isalnum() for char in key) >= 4)
    written = _quoted(key)
    text = place.format(key=written)
    address = Address.parse(text)
    found = address.secret({})
    assert found is not None and found.removeprefix("user:").removeprefix("u:") in (
        key,
        key.removeprefix(":"),
    )
    shown = [
        str(address),
        repr(address),
        f"{address} {address!r} {address!s}",
        "%s" % address,  # noqa: UP031
        address.identity,
        repr([address]),
        repr(asdict(address)),
        str(address.options),
        json.dumps(_adapter(Address).dump_python(address, mode="json")),
        mask(f"cannot reach {text}: no answer"),
        mask(json.dumps({"url": text})),
    ]
    if address.transport:
        shown += [address.url, address.host]
    with pytest.raises(TypeError):
        json.dumps(asdict(address))
    if address.collection is None:
        spec = parse_spec(json.dumps(_spec(text)))
        assert spec.stores[0].store.secret({}) == found
        shown += [repr(spec), spec.to_json(), str(spec.to_dict())]
    for output in shown:
        assert key not in output
        assert written not in output


def _spec(address: str) -> dict[str, object]:
    return {"store": address, "collections": {"a": {"quantization": "binary"}}}


@settings(max_examples=examples(150), deadline=None)
@given(
    st.text("ZQXJ279", min_size=6, max_size=12),
    st.sampled_from(
        [
            "qdrant+https://{key}@h:port",
            "qdrant+http://u:{key}@",
            "qdrant+https://u:{key}/x@h",
            "qdrant+https://u:1/{key}@h",
            "qdrant+https://u:1?{key}@h",
            "qdrant+https://u:1#{key}@h",
            "qdrant+http://u:{key} x@h y",
            "http://u:{key}@h:6333",
            "qdrant://u:{key}@h",
            "root:{key}@h:6333",
            "{key}@h:6333",
            "qdrant:u:{key}@h:6333",
            "edge://u:{key}@h",
            "qdrant+tcp://{key}@h",
            "qdrant+http:{key}@h",
            "qdrant+https://h:99999?api_key={key}",
            "qdrant+https://h:99999?token={key}&a=b",
            "qdrant+https://h?api_key={key}&api_key={key}",
            "qdrant+https://h?api_key={key}&token={key}",
            "qdrant+https://u@h?api_key={key}",
            "qdrant+https://h?key_env=-{key}",
            "localhost:6333?api_key={key}",
            "edge:?password={key}",
            "edge:%ff?key={key}",
        ]
    ),
)
def test_an_error_never_shows_a_key(key: str, place: str) -> None:
    text = place.format(key=key)
    with pytest.raises(AddressError) as caught:
        Address.parse(text)
    assert key not in str(caught.value) and key not in repr(caught.value)
    with pytest.raises(SpecError) as in_spec:
        parse_spec(json.dumps(_spec(text)))
    assert key not in str(in_spec.value)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("get http://u:p@h:1/x failed", "get http://***@h:1/x failed"),
        ("http://h/?api_key=abc&x=1 and http://g", "http://h/?api_key=***&x=1 and http://g"),
        ("POST ?token=abc#frag", "POST ?token=***#frag"),
        ("{'api-key': 'a b', 'x': 1}", "{'api-key': '***', 'x': 1}"),
        (r'{"token": "a\" b", "x": 1}', '{"token": "***", "x": 1}'),
        ("token=b'a b' x", "token='***' x"),
        ('token="abc', "token=***"),
        ("key=***, x", "key=***, x"),
        ('{"password": "abc", "x": 1}', '{"password": "***", "x": 1}'),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("sent Bearer abc.def to h", "sent Bearer *** to h"),
        ("QDRANT_API_KEY=abc", "QDRANT_API_KEY=***"),
        ("api_key='abc', host='h'", "api_key='***', host='h'"),
        ("unknown key: topic", "unknown key: topic"),
        ("primary_key=id partition_key=p", "primary_key=id partition_key=p"),
        ("?key_env=NAME", "?key_env=NAME"),
        ("http://h:6333/collections failed", "http://h:6333/collections failed"),
        ("mail me@example.com", "mail me@example.com"),
    ],
)
def test_mask(text: str, masked: str) -> None:
    assert mask(text) == masked
    assert mask(masked) == masked
