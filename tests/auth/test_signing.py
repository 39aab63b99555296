"""Signatures against AWS's own signer: what it signs is accepted, and nothing else."""

import hashlib
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from amondawa.auth.signing import SKEW_S, Request, is_right, read_claim, sign
from amondawa.errors import Unauthorized

KEY, SECRET, REGION = "KEYKEYKEYKEYKEYKEYKE", "secret", "us-west-2"
HOST = "gateway:5000"


def signed_by_aws(method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Request:
    """Sign as botocore does and return what a server would see."""
    asked = AWSRequest(method, f"http://{HOST}{target}", data=body, headers={"Host": HOST, **(headers or {})})
    SigV4Auth(Credentials(KEY, SECRET), "amondawa", REGION).add_auth(asked)
    path, _, query = target.partition("?")
    return Request(method, path, query, list(asked.headers.items()))


def now_s() -> float:
    return datetime.now(UTC).timestamp()


def accepted(request: Request, body: bytes = b"", secret: str = SECRET) -> bool:
    claim = read_claim(request, REGION, now_s())
    return is_right(claim, request, hashlib.sha256(body).hexdigest(), secret.encode())


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/api/v1/shop/metricnames",
        "/api/v1/shop/metric/a%20b%2Fc",
        "/api/v1/shop/metric/a+b:c",
        "/api/query?start=1h-ago&m=sum:sys.cpu%7Bhost=*%7D",
        "/api/query?m=b&m=a&start=1&b&c=",
        "/q?x=%2B&y=+",
    ],
)
def test_what_aws_signs_is_accepted(target: str):
    assert accepted(signed_by_aws("POST", target, b"body"), b"body")


def test_a_header_may_be_signed_or_not():
    assert accepted(signed_by_aws("GET", "/", headers={"Content-Type": "text/plain", "X-Amondawa-Domain": "shop"}))
    request = signed_by_aws("GET", "/")
    assert accepted(request._replace(headers=[*request.headers, ("X-Proxy", "p")]))


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r._replace(method="DELETE"),
        lambda r: r._replace(path="/api/v1/bank/datapoints"),
        lambda r: r._replace(path="/api//v1/shop/datapoints"),
        lambda r: r._replace(path="/api/v1/shop/./datapoints"),
        lambda r: r._replace(path="/api/v1/bank/../shop/datapoints"),
        lambda r: r._replace(path="/api/v1/bank/%2e%2e/shop/datapoints"),
        lambda r: r._replace(path="/api/v1%2Fshop/datapoints"),
        lambda r: r._replace(query="a=1&b=%2B"),
        lambda r: r._replace(query="a=1"),
        lambda r: r._replace(query="a=1&b=+&c=2"),
        lambda r: r._replace(headers=[(n, "other" if n.lower() == "content-type" else v) for n, v in r.headers]),
        lambda r: r._replace(headers=[("Content-Type", "another"), *r.headers]),
    ],
)
def test_whatever_is_changed_in_a_signed_request_is_noticed(change):
    request = signed_by_aws("POST", "/api/v1/shop/datapoints?b=+&a=1", b"body", {"Content-Type": "application/json"})
    assert accepted(request, b"body")
    assert not accepted(change(request), b"body")


@pytest.mark.parametrize("target", ["/a%23b", "/a?b=1%23&c=2"])
def test_whatever_is_changed_into_a_fragment_is_noticed(target: str):
    request = signed_by_aws("GET", target)
    assert accepted(request)
    changed = request._replace(path=request.path.replace("%23", "#"), query=request.query.replace("%23", "#"))
    with pytest.raises(Unauthorized, match="no fragment"):
        read_claim(changed, REGION, now_s())


def test_another_body_or_secret_is_noticed():
    request = signed_by_aws("POST", "/", b"body")
    assert not accepted(request, b"Body")
    assert not accepted(request, b"body", "Secret")


def with_header(request: Request, name: str, value: str) -> Request:
    return request._replace(headers=[*((n, v) for n, v in request.headers if n.lower() != name.lower()), (name, value)])


def authorization(request: Request) -> str:
    return next(value for name, value in request.headers if name == "Authorization")


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text[:60],
        lambda text: text[:-1],
        lambda text: text.replace("Signature=", "signature="),
        lambda text: text.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        lambda text: text.replace("us-west-2", "eu-west-1"),
        lambda text: text.replace("/amondawa/", "/dynamodb/"),
        lambda text: text.replace("aws4_request", "aws4_reques"),
        lambda text: text.replace("host;", ""),
        lambda text: text.replace("host;x-amz-date", "x-amz-date;host"),
        lambda text: text.replace("host;", "host;host;"),
        lambda text: text.replace("host;", "host;missing;"),
        lambda text: text + ", Signature=" + "0" * 64,
        lambda text: text + ", " + "x" * 1_000_000,
        lambda text: "",
    ],
)
def test_a_header_that_is_not_well_formed_is_refused_before_any_secret_is_needed(edit):
    request = signed_by_aws("GET", "/")
    broken = with_header(request, "Authorization", edit(authorization(request)))
    with pytest.raises(Unauthorized):
        read_claim(broken, REGION, now_s())


@pytest.mark.parametrize("name", ["X-Amondawa-Domain", "X-Amz-Security-Token"])
def test_a_header_that_decides_what_is_done_must_be_signed(name: str):
    request = signed_by_aws("GET", "/")
    with pytest.raises(Unauthorized, match="must be signed"):
        read_claim(with_header(request, name, "bank"), REGION, now_s())


@pytest.mark.parametrize("away_s", [-SKEW_S - 5, SKEW_S + 5, -86_400, 86_400 * 400])
def test_an_old_or_a_future_date_is_refused(away_s: float):
    with pytest.raises(Unauthorized, match="15 minutes"):
        read_claim(signed_by_aws("GET", "/"), REGION, now_s() + away_s)


@pytest.mark.parametrize("date", ["", "yesterday", "20261399T000000Z", "20261123T231500+0100"])
def test_what_is_no_date_is_refused(date: str):
    with pytest.raises(Unauthorized):
        read_claim(with_header(signed_by_aws("GET", "/"), "X-Amz-Date", date), REGION, now_s())


@pytest.mark.parametrize("value", ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "00"])
def test_a_body_that_is_not_signed_is_refused(value: str):
    request = signed_by_aws("GET", "/", headers={"X-Amz-Content-SHA256": value})
    with pytest.raises(Unauthorized, match="SHA-256"):
        read_claim(request, REGION, now_s())


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8)


@settings(max_examples=60)
@given(st.lists(st.tuples(texts, texts), max_size=4), st.lists(texts, max_size=3), st.binary(max_size=20))
def test_our_signature_is_the_one_of_aws(pairs: list[tuple[str, str]], words: list[str], body: bytes):
    path = "/" + "/".join(word.replace("/", "") for word in words if word.strip("./ "))
    asked = AWSRequest("POST", f"http://{HOST}{path}", data=body, params=pairs, headers={"Host": HOST}).prepare()
    parts = urlsplit(asked.url)
    request = Request("POST", parts.path, parts.query, [("Host", HOST)])
    moment = now_s()
    own = sign(request, body, KEY, SECRET, REGION, moment)
    assert accepted(request._replace(headers=[*request.headers, *own.items()]), body)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    assert accepted(signed_by_aws("POST", target, body), body)
