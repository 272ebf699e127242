"""Requests that nobody should send, as strategies for hypothesis (MacIver et al. 2019)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import quote_from_bytes

from hypothesis import strategies as st

MARK = "zanzibar-4711"
"""Stands in many of the texts; it must not be found in a log."""
LONGEST_TEXT = 100_000
LARGEST_BODY = 10_000_000
BOUNDARY = "marwright-boundary"


@dataclass(frozen=True)
class Case:
    """One request. ``body`` is ``unit`` repeated ``times`` times, so that a large one is short to print."""

    method: str
    path: str
    content_type: str | None
    unit: bytes
    times: int = 1

    @property
    def body(self) -> bytes:
        """The bytes that are sent."""
        return self.unit * self.times

    @property
    def is_form(self) -> bool:
        """Whether the frontend decodes the body itself."""
        kind = (self.content_type or "").strip().lower()
        return kind.startswith(("multipart/form-data", "application/x-www-form-urlencoded"))


_strange = st.sampled_from(
    [
        *(
            "",
            " ",
            "\x00",
            "a\x00b",
            "\r\nX-Injected: 1\r\n\r\n",
            "\x1b[2J",
            "\x7f",
            "\ufeff",
            "\uffff",
            "\ud800",
            "\udfff\ud800",
        ),
        *(
            "שלום עולם",
            "مرحبا بالعالم",
            "\u202eevil\u202c",
            "\u2066\u2067\u2068",
            "👩‍👩‍👧‍👦",
            "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
            "e" + "\u0301" * 300,
            "ﷺ",
            "İıſK",
        ),
        *(
            "[CLS]",
            "[SEP] [PAD] [MASK]",
            "##ing",
            "{{7*7}}",
            "'; DROP TABLE x; --",
            "../../etc/passwd",
            "%s%n",
            "NaN",
            "null",
        ),
    ]
)
_texts = st.one_of(
    st.text(max_size=60),
    st.text(st.characters(codec=None, categories=["Cs", "Cc", "Cf", "Co", "Mn", "So"]), max_size=40),
    _strange,
    _strange.map(lambda text: f"{MARK} {text}"),
    st.text(max_size=20).map(lambda text: f"{text}{MARK}{text}"),
    st.builds(
        lambda text, times: text * (times // len(text)), st.text(min_size=1, max_size=8), st.sampled_from([500, 5_000])
    ),
)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**30, max_value=10**40),
    st.floats(),
    st.sampled_from([float("nan"), float("inf"), float("-inf"), -0.0, 1e308, 0, -1, 2**31, 2**63, 2**64]),
    _texts,
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(_texts, inner, max_size=4)),
    max_leaves=12,
)
_instances = st.one_of(st.fixed_dictionaries({"text": _texts}, optional={"top_k": _scalars}), _texts, _values)
_numbers_of_labels = st.one_of(st.integers(-2, 9), _values)
_confidences = st.one_of(st.floats(-0.1, 1.1), _values)
_ids = st.one_of(_texts, st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=140), _values)
_shaped = st.one_of(
    st.fixed_dictionaries(
        {"text": _texts},
        optional={"top_k": _numbers_of_labels, "min_confidence": _confidences, "request_id": _ids},
    ),
    st.fixed_dictionaries(
        {"instances": st.one_of(st.lists(_instances, max_size=6), _values)},
        optional={"top_k": _values, "min_confidence": _confidences, "request_id": _ids, "text": _values},
    ),
    st.dictionaries(
        st.sampled_from(["text", "instances", "top_k", "request_id", "data", "body", ""]), _values, max_size=5
    ),
    st.builds(
        lambda instance, count: {"instances": [instance] * count}, _instances, st.sampled_from([63, 64, 65, 500])
    ),
    _values,
)


@st.composite
def _json(draw: st.DrawFn) -> bytes:
    """JSON of strange values, now and then cut, doubled or with a byte changed."""
    written = json.dumps(draw(_shaped), ensure_ascii=draw(st.booleans())).encode("utf-8", errors="surrogatepass")
    match draw(st.integers(0, 9)):
        case 0:
            return written[: draw(st.integers(0, len(written)))]
        case 1:
            at = draw(st.integers(0, len(written) - 1))
            return written[:at] + draw(st.binary(min_size=1, max_size=2)) + written[at + 1 :]
        case 2:
            return written + draw(st.sampled_from([written, b",", b"\x00", b"\xff", b"}", b" \n"]))
        case 3:
            return draw(st.sampled_from([b"\xef\xbb\xbf", b"\xff\xfe", b"\x00"])) + written
        case _:
            return written


_odd_json = st.sampled_from(
    [
        *(b"", b" ", b"NaN", b"-Infinity", b"[[]]", b'"tea"', b"1", b"{", b"}", b'{"text": }', b'{"text": "\\ud800"}'),
        *(
            b'{"text": "\\uZZZZ"}',
            b'{"text": "tea", "text": 5}',
            b'{"text": "tea", "top_k": 1e400}',
            b"{'text': 'tea'}",
        ),
        b'{"text": "tea", "request_id": "a\\r\\nX-Injected: 1"}',
        b'{"text": "tea", "top_k": ' + b"9" * 5_000 + b"}",
    ]
)
_content_types = st.one_of(
    st.sampled_from(
        [
            *(None, "", "application/json", "application/json; charset=utf-8", "application/json; charset=utf-16"),
            *("APPLICATION/JSON", "application/vnd.api+json", "text/plain", "text/plain; charset=latin-1", "text/json"),
            *("application/octet-stream", "image/png", "application/json, text/plain", ";;;", "/", "x" * 2_000),
        ]
    ),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=30),
)
_parts = st.builds(
    lambda disposition, headers, value, end: (
        f"--{BOUNDARY}\r\n{disposition}{headers}\r\n".encode() + value + f"\r\n--{BOUNDARY}{end}".encode()
    ),
    st.sampled_from(
        [
            *('Content-Disposition: form-data; name="data"\r\n', 'Content-Disposition: form-data; name="body"\r\n'),
            *('Content-Disposition: form-data; name="top_k"\r\n', 'Content-Disposition: form-data; name=""\r\n'),
            *("Content-Disposition: form-data\r\n", "", 'Content-Disposition: attachment; filename="../x"\r\n'),
            'Content-Disposition: form-data; name="data"; filename="x.json"\r\n',
        ]
    ),
    st.sampled_from(
        [
            *("", "Content-Type: application/json\r\n", "Content-Type: text/plain; charset=nonsense\r\n"),
            *("Content-Transfer-Encoding: base64\r\n", "Content-Length: 99999999\r\n", "Content-Type: ;;\r\n"),
        ]
    ),
    st.one_of(st.binary(max_size=40), _texts.map(lambda text: text.encode("utf-8", errors="surrogatepass")), _json()),
    st.sampled_from(["--\r\n", "--", "\r\n", "", "-"]),
)
_FIELDS = (b"data", b"body", b"text", b"top_k", b"min_confidence", b"request_id")
_fields = st.one_of(
    _json(),
    st.binary(max_size=80),
    st.lists(
        st.tuples(
            st.sampled_from([*_FIELDS, b"", b"%zz", b"%ff"]),
            st.one_of(
                st.binary(max_size=30).map(lambda value: quote_from_bytes(value).encode()),
                st.sampled_from([b"tea", b"%", b"%zz", b"%00", b"%ff%fe", b"5", b"99999999999", f"{MARK}%g".encode()]),
            ),
        ).map(b"=".join),
        max_size=4,
    ).map(b"&".join),
)
_methods = st.sampled_from([*["POST"] * 6, "PUT", "PATCH", "GET", "DELETE", "HEAD", "OPTIONS", "TRACE", "PURGE"])


def _paths(path: str) -> st.SearchStrategy[str]:
    return st.sampled_from(
        [
            *[path] * 8,
            f"{path}/1.0",
            f"{path}/9.9",
            f"{path}/",
            f"{path}?data=tea",
            f"{path}?%ff=%zz",
            f"{path}x",
            "/predictions",
        ]
    )


def ordinary_sizes(path: str) -> st.SearchStrategy[Case]:
    """Cases of up to some kilobytes for a path that answers predictions."""
    json_case = st.builds(
        Case, st.just("POST"), st.just(path), st.just("application/json"), st.one_of(_json(), _json(), _odd_json)
    )
    any_case = st.builds(
        Case, _methods, _paths(path), _content_types, st.one_of(_json(), _odd_json, st.binary(max_size=200))
    )
    text_case = st.builds(
        Case,
        st.just("POST"),
        st.just(path),
        st.sampled_from(["text/plain", "text/plain; charset=utf-8", None, "application/octet-stream"]),
        st.one_of(st.binary(max_size=100), _texts.map(lambda text: text.encode("utf-8", errors="surrogatepass"))),
    )
    form_case = st.builds(Case, st.just("POST"), st.just(path), st.just("application/x-www-form-urlencoded"), _fields)
    multipart_case = st.builds(
        Case,
        st.just("POST"),
        st.just(path),
        st.sampled_from(
            [
                *[f"multipart/form-data; boundary={BOUNDARY}"] * 4,
                "multipart/form-data",
                "multipart/form-data; boundary=",
            ]
        ),
        st.one_of(_parts, st.lists(_parts, max_size=3).map(b"".join), st.binary(max_size=60)),
    )
    return st.one_of(json_case, json_case, json_case, any_case, text_case, form_case, multipart_case)


def large(path: str) -> st.SearchStrategy[Case]:
    """Deep nesting, texts of 100,000 characters, and bodies up to 10 MB."""
    json_type, text_type = st.just("application/json"), st.sampled_from(["text/plain", "application/octet-stream"])
    post, to = st.just("POST"), st.just(path)
    deep = st.builds(
        lambda opened, inner, closed, depth: opened * depth + inner + closed * depth,
        *(st.sampled_from([b"[", b'{"text":', b'{"instances":[', b'[{"a":']), st.sampled_from([b"1", b"", b'"tea"'])),
        *(st.sampled_from([b"]", b"}", b"]}", b"}]", b""]), st.sampled_from([900, 1_100, 30_000, 100_000])),
    )
    long_text = st.builds(
        lambda text: json.dumps({"text": text * (LONGEST_TEXT // len(text))}, ensure_ascii=False).encode(
            "utf-8", "surrogatepass"
        ),
        st.one_of(
            _strange.filter(bool),
            st.text(min_size=1, max_size=12),
            st.sampled_from(["a", "tea ", "שלום ", "👩‍👧", "\x00", "字"]),
        ),
    )
    many = st.builds(
        lambda text, count: json.dumps({"instances": [text] * count}).encode(),
        *(st.sampled_from(["", "tea", "a " * 500]), st.sampled_from([64, 65, 5_000, 30_000])),
    )
    sizes = st.sampled_from([200_000, 1_000_000, 1_048_577, 3_000_000, LARGEST_BODY])
    repeated = st.builds(
        lambda content_type, unit, size: Case("POST", path, content_type, unit, size // len(unit)),
        *(st.one_of(json_type, text_type), st.binary(min_size=1, max_size=20), sizes),
    )
    return st.one_of(
        st.builds(Case, post, to, json_type, deep),
        st.builds(Case, post, to, json_type, long_text),
        st.builds(Case, post, to, json_type, many),
        repeated,
    )
