"""A JSON reader as forgiving as Gson's lenient JsonReader, which reads every body that KairosDB takes.

Lenient means: single quotes, bare words as strings and names, comments, `;` for `,`, `=` and `=>` for `:`, an empty array
element as null. Numbers keep their text, so that 1e5 can still be told from 1.5e5. The reader pulls one token at a time:
what stood before a syntax error has been delivered by then.

Source: suites ingest and ingest_errors; the grammar of Gson 2.2.
"""

from __future__ import annotations

import re
from enum import Enum

from amondawa.protocols.kairosdb.tokens import (
    BadEscape,
    Element,
    EndOfInput,
    JsonSyntaxError,
    MalformedJson,
    Number,
    Token,
)

MAX_DEPTH = 200
"""Arrays and objects inside one another; more is refused."""


class _Scope(Enum):
    """Where the reader stands within the innermost array or object."""

    EMPTY_DOCUMENT = 0
    DOCUMENT = 1
    EMPTY_ARRAY = 2
    ARRAY = 3
    EMPTY_OBJECT = 4
    OBJECT = 5
    NAME_READ = 6


_BLANK = re.compile(r"[ \n\r\t]*")
_WORD = re.compile(r"[^/\\;#={}\[\]:, \t\f\r\n]+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_LONG = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_LONGS = 1 << 63
_UP_TO_QUOTE = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}
_HEX = re.compile(r"[0-9a-fA-F]{4}")
_ESCAPES = {"t": "\t", "b": "\b", "n": "\n", "r": "\r", "f": "\f"}
_KEYWORDS = {"true": Token.BOOLEAN, "false": Token.BOOLEAN, "null": Token.NULL}
_SEEN_IN_PART = (Token.STRING, Token.NUMBER)
"""Tokens of which Gson has read a part, or nothing, when it says where they stand."""
_SURROGATE = re.compile("[\ud800-\udfff]")


class JsonReader:
    """Pull tokens from a text.

    Args:
        text: the whole document; a byte order mark in front is skipped.
        lenient: whether the freedoms above are granted; may be changed between tokens.

    Attributes:
        bare: whether the last string that was peeked at is a word without quotes.
    """

    def __init__(self, text: str, lenient: bool = True) -> None:
        self.lenient = lenient
        self.bare = False
        self._text = text
        self._at = 1 if text.startswith("\ufeff") else 0
        self._scopes = [_Scope.EMPTY_DOCUMENT]
        self._token: Token | None = None
        self._seen_at = 0
        self._value = ""

    # tokens -------------------------------------------------------------------------------------------------------

    def peek(self) -> Token:
        """Return the kind of the next token without taking it."""
        if self._token is None:
            self._token = self._next_token()
            if self._token not in _SEEN_IN_PART:
                self._seen_at = self._at
        return self._token

    def has_next(self) -> bool:
        """Say whether the innermost array or object has another element."""
        return self.peek() not in (Token.END_ARRAY, Token.END_OBJECT)

    def begin(self, token: Token) -> None:
        """Enter an array or object."""
        self._expect(token)
        if len(self._scopes) > MAX_DEPTH:
            raise JsonSyntaxError(f"nested deeper than {MAX_DEPTH} levels{self._where()}")
        self._scopes.append(_Scope.EMPTY_ARRAY if token is Token.BEGIN_ARRAY else _Scope.EMPTY_OBJECT)
        self._token = None

    def end(self, token: Token) -> None:
        """Leave an array or object."""
        self._expect(token)
        self._scopes.pop()
        self._token = None

    def name(self) -> str:
        """Take the name of the next member of an object."""
        self._expect(Token.NAME)
        return self._take()

    def scalar(self) -> str | bool | None:
        """Take a string, Number, boolean or null.

        Raises:
            JsonSyntaxError: an array or object stands here.
        """
        token = self.peek()
        if token is Token.NULL:
            self._token = None
            return None
        if token is Token.BOOLEAN:
            return self._take() == "true"
        if token is Token.NUMBER:
            return Number(self._take())
        if token is Token.STRING:
            return self._take()
        raise self._unexpected("a string")

    def element(self) -> Element:
        """Take a whole value; of a name given twice in an object the last one counts."""
        token = self.peek()
        if token is Token.BEGIN_ARRAY:
            self.begin(token)
            items: list[Element] = []
            while self.has_next():
                items.append(self.element())
            self.end(Token.END_ARRAY)
            return items
        if token is Token.BEGIN_OBJECT:
            self.begin(token)
            members: dict[str, Element] = {}
            while self.has_next():
                name = self.name()
                members[name] = self.element()
            self.end(Token.END_OBJECT)
            return members
        return self.scalar()

    def fail(self, wanted: str) -> JsonSyntaxError:
        """Return the error that says what was wanted instead of the token that is next."""
        return self._unexpected(wanted)

    def fail_number(self, wanted: str, text: str) -> JsonSyntaxError:
        """Return the error that says what was wanted instead of the number that was taken last."""
        return JsonSyntaxError(f"java.lang.NumberFormatException: Expected {wanted} but was {text}{self._where()}")

    # inside -------------------------------------------------------------------------------------------------------

    def _take(self) -> str:
        self._token = None
        return self._value

    def _expect(self, token: Token) -> None:
        if self.peek() is not token:
            raise self._unexpected(token.value)

    def _unexpected(self, wanted: str) -> JsonSyntaxError:
        return JsonSyntaxError(
            f"java.lang.IllegalStateException: Expected {wanted} but was {self.peek().value}{self._where(self._seen_at)}"
        )

    def _where(self, at: int | None = None) -> str:
        at = self._at if at is None else at
        line = self._text.count("\n", 0, at)
        column = at - (self._text.rfind("\n", 0, at) + 1) + 1
        return f" at line {line + 1} column {column}"

    def _bad(self, what: str) -> MalformedJson:
        return MalformedJson(what + self._where())

    def _need_lenient(self) -> None:
        if not self.lenient:
            raise self._bad("Use JsonReader.setLenient(true) to accept malformed JSON")

    def _character(self) -> str:
        """Skip blanks and comments; take one character.

        Raises:
            EndOfInput: there is none.
        """
        text = self._text
        while True:
            found = _BLANK.match(text, self._at)
            self._at = found.end() if found else self._at
            if self._at >= len(text):
                raise EndOfInput("End of input" + self._where())
            one = text[self._at]
            self._at += 1
            if one not in "#/":
                return one
            self._need_lenient()
            if one == "#" or text.startswith("/", self._at):
                line_end = text.find("\n", self._at)
                self._at = len(text) if line_end < 0 else line_end + 1
            elif text.startswith("*", self._at):
                self._end_of_comment()
            else:
                return one

    def _end_of_comment(self) -> None:
        close = self._text.find("*/", self._at + 1)
        if close < 0:
            self._at = max(self._at + 1, len(self._text) - 1)
            raise self._bad("Unterminated comment")
        self._at = close + 2

    def _next_token(self) -> Token:
        scope = self._scopes[-1]
        if scope is _Scope.EMPTY_ARRAY:
            self._scopes[-1] = _Scope.ARRAY
        elif scope is _Scope.ARRAY:
            if self._separator("]", "Unterminated array"):
                return Token.END_ARRAY
        elif scope in (_Scope.EMPTY_OBJECT, _Scope.OBJECT):
            return self._next_name(scope)
        elif scope is _Scope.NAME_READ:
            self._scopes[-1] = _Scope.OBJECT
            self._colon()
        elif scope is _Scope.EMPTY_DOCUMENT:
            self._scopes[-1] = _Scope.DOCUMENT
        else:
            try:
                self._character()
            except EndOfInput:
                return Token.END_DOCUMENT
            self._need_lenient()
            self._at -= 1
        return self._next_value(scope)

    def _separator(self, close: str, problem: str) -> bool:
        """Take what stands between two elements; say whether it was the closing bracket."""
        one = self._character()
        if one == close:
            return True
        if one == ";":
            self._need_lenient()
        elif one != ",":
            raise self._bad(problem)
        return False

    def _colon(self) -> None:
        one = self._character()
        if one == "=":
            self._need_lenient()
            if self._text.startswith(">", self._at):
                self._at += 1
        elif one != ":":
            raise self._bad("Expected ':'")

    def _next_name(self, scope: _Scope) -> Token:
        self._scopes[-1] = _Scope.NAME_READ
        if scope is _Scope.OBJECT and self._separator("}", "Unterminated object"):
            return Token.END_OBJECT
        one = self._character()
        if one == "}":
            if scope is _Scope.EMPTY_OBJECT:
                return Token.END_OBJECT
            raise self._bad("Expected name")
        if one in "\"'":
            if one == "'":
                self._need_lenient()
            self._value = self._quoted(one)
        else:
            self._need_lenient()
            self._at -= 1
            word = _WORD.match(self._text, self._at)
            if word is None:
                raise self._bad("Expected name")
            self._at = word.end()
            self._value = word.group()
        return Token.NAME

    def _next_value(self, scope: _Scope) -> Token:
        one = self._character()
        if one == '"' or one == "'":
            if one == "'" or len(self._scopes) == 1:
                self._need_lenient()
            self._seen_at = self._at
            self._value = self._quoted(one)
            self.bare = False
            return Token.STRING
        if one == "[":
            return Token.BEGIN_ARRAY
        if one == "{":
            return Token.BEGIN_OBJECT
        if one == "]" and scope is _Scope.EMPTY_ARRAY:
            return Token.END_ARRAY
        if one in "];,":
            if scope not in (_Scope.EMPTY_ARRAY, _Scope.ARRAY):
                raise self._bad("Unexpected value")
            self._need_lenient()
            self._at -= 1
            return Token.NULL
        self._at -= 1
        self._seen_at = self._at
        if len(self._scopes) == 1:
            self._need_lenient()
        return self._bare()

    def _bare(self) -> Token:
        """Take a keyword, a number, or a bare word that counts as a string."""
        word = _WORD.match(self._text, self._at)
        if word is None:
            raise self._bad("Expected value")
        text = word.group()
        keyword = _KEYWORDS.get(text.lower())
        if keyword is not None:
            self._at = word.end()
            self._value = text.lower()
            return keyword
        if _NUMBER.fullmatch(text):
            self._at = word.end()
            self._value = text
            if _LONG.fullmatch(text) and -_LONGS <= int(text) < _LONGS:
                self._value = str(int(text))
                self._seen_at = self._at
            return Token.NUMBER
        self._need_lenient()
        self._at = word.end()
        self._value = text
        self.bare = True
        return Token.STRING

    def _quoted(self, quote: str) -> str:
        """Take the rest of a quoted string."""
        text = self._text
        plain = _UP_TO_QUOTE[quote]
        pieces = []
        while True:
            found = plain.match(text, self._at)
            if found is not None:
                pieces.append(found.group())
                self._at = found.end()
            if self._at >= len(text):
                raise self._bad("Unterminated string")
            self._at += 1
            if text[self._at - 1] == quote:
                whole = "".join(pieces) if len(pieces) > 1 else pieces[0]
                return _join_surrogates(whole)
            pieces.append(self._escape())

    def _escape(self) -> str:
        """Take what follows a backslash."""
        if self._at >= len(self._text):
            raise self._bad("Unterminated escape sequence")
        one = self._text[self._at]
        self._at += 1
        if one != "u":
            return _ESCAPES.get(one, one)
        code = _HEX.match(self._text, self._at)
        if code is None:
            raise BadEscape(f"java.lang.NumberFormatException: \\u{self._text[self._at : self._at + 4]}")
        self._at = code.end()
        return chr(int(code.group(), 16))


def _join_surrogates(text: str) -> str:
    """Make characters of escaped surrogate pairs; a half alone becomes a replacement character."""
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def read_document(text: str) -> Element:
    """Read one value that must be the whole text, leniently; nothing at all is null.

    Raises:
        JsonSyntaxError: not JSON, or something stands behind the value.
    """
    reader = JsonReader(text)
    try:
        reader.peek()
    except EndOfInput:
        return None
    except MalformedJson as error:
        raise caused(error) from error
    try:
        value = reader.element()
        reader.lenient = False
        if value is not None:
            reader.peek()
        return value
    except (EndOfInput, MalformedJson) as error:
        raise caused(error) from error


def caused(error: EndOfInput | MalformedJson) -> JsonSyntaxError:
    """Return what Gson makes of an error while it fills an object."""
    name = "java.io.EOFException" if isinstance(error, EndOfInput) else "com.google.gson.stream.MalformedJsonException"
    return JsonSyntaxError(f"{name}: {error}")
