"""Java's regular expressions, brought into the spelling of the `regex` module; what Java refuses is refused in its words.

Both real servers are Java programs, and their clients write Java's patterns. Most are spelt alike; what differs is: classes
of characters that are ASCII only, `\\Q…\\E`, `\\p{Alpha}` and its like, nested classes and `&&`, inline flags, some escapes,
and all that the module would take although Java does not (fuzzy matches, recursion, named lists).
"""

from __future__ import annotations

import regex

from amondawa.errors import BadRequest

_PUNCTUATION = "!-/:-@\\[-`{-~"
_POSIX = {
    "Lower": "a-z",
    "Upper": "A-Z",
    "ASCII": "\\x00-\\x7f",
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Alnum": "a-zA-Z0-9",
    "Punct": _PUNCTUATION,
    "Graph": "!-~",
    "Print": " -~",
    "Blank": " \\t",
    "Cntrl": "\\x00-\\x1f\\x7f",
    "XDigit": "0-9a-fA-F",
    "Space": " \\t-\\r",
    "javaLowerCase": "\\p{Ll}",
    "javaUpperCase": "\\p{Lu}",
    "javaWhitespace": "\\s",
    "javaLetter": "\\p{L}",
    "javaDigit": "\\p{Nd}",
    "javaLetterOrDigit": "\\p{L}\\p{Nd}",
}
_SHORT = {
    "d": "0-9",
    "w": "a-zA-Z0-9_",
    "s": " \\t-\\r",
    "h": " \\t\\xa0\\u1680\\u180e\\u2000-\\u200a\\u202f\\u205f\\u3000",
    "v": "\\n-\\r\\x85\\u2028\\u2029",
}
_PLACES = {"b": "\\b", "B": "\\B", "A": "\\A", "G": "\\G", "z": "\\Z", "Z": "(?=\\r?\\n?\\Z)", "R": "\\R", "X": "\\X"}
_SAME = "tnrfa"
_FLAGS = "idmsuxU"
_KEPT_FLAGS = "imsx"


class BadPattern(BadRequest):
    """A pattern that Java refuses, in the words of its exception."""

    def __init__(self, what: str, pattern: str, index: int) -> None:
        where = f" near index {index}" if index >= 0 else ""
        caret = "\n" + " " * index + "^" if index >= 0 else ""
        super().__init__(f"{what}{where}\n{pattern}{caret}", value=pattern)


def translate(pattern: str) -> str:
    """Return a Java pattern as the `regex` module spells it (version 1 behaviour).

    Raises:
        BadPattern: Java refuses it.
    """
    return _Translation(pattern).run()


class _Translation:
    """One pattern on its way; `_at` is the next character to look at."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._open = 0
        self._repeatable = False
        self._out: list[str] = []

    def run(self) -> str:
        """Translate everything."""
        steps = {"\\": self._escape, "[": self._class, "(": self._group, ")": self._end_group, "{": self._count}
        while char := self._peek():
            if char in steps:
                steps[char]()
            elif char in "*+?":
                self._repeat(char)
            else:
                self._emit(char, 1, char != "|")
        if self._open:
            raise self._bad("Unclosed group", self._at)
        return "".join(self._out)

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._pattern[at] if at < len(self._pattern) else ""

    def _emit(self, text: str, length: int, repeatable: bool = True) -> None:
        self._out.append(text)
        self._at += length
        self._repeatable = repeatable

    def _bad(self, what: str, index: int) -> BadPattern:
        return BadPattern(what, self._pattern, index)

    # repetitions ------------------------------------------------------------------------------------------------------

    def _repeat(self, char: str) -> None:
        if not self._repeatable:
            raise self._bad(f"Dangling meta character '{char}'", self._at)
        self._emit_repetition(char)

    def _emit_repetition(self, text: str) -> None:
        """Emit a repetition with the sign behind it that makes it reluctant or possessive."""
        sign = self._peek(len(text))
        text += sign if sign and sign in "+?" else ""
        self._emit(text, len(text), repeatable=False)

    def _count(self) -> None:
        """Read `{n}`, `{n,}` or `{n,m}`."""
        found = regex.compile(r"\{([0-9]+)(,([0-9]*))?").match(self._pattern, self._at)
        if found is None or not self._repeatable:
            raise self._bad("Illegal repetition", self._at - 1)
        end = found.end()
        if self._pattern[end : end + 1] != "}":
            raise self._bad("Unclosed counted closure", end)
        if max(int(found[1]), int(found[3] or 0)) >= 2**31 or (found[3] and int(found[3]) < int(found[1])):
            raise self._bad("Illegal repetition range", end)
        self._emit_repetition(self._pattern[self._at : end + 1])

    # groups -----------------------------------------------------------------------------------------------------------

    def _group(self) -> None:
        self._open += 1
        if self._peek(1) != "?":
            self._emit("(", 1, repeatable=False)
        elif self._peek(2) and self._peek(2) in ":=!>":
            self._emit(self._pattern[self._at : self._at + 3], 3, repeatable=False)
        elif self._peek(2) == "<":
            self._named_group()
        else:
            self._flags()

    def _named_group(self) -> None:
        """Read the beginning of `(?<name>`, `(?<=` or `(?<!`."""
        found = regex.compile(r"\(\?<(?:[=!]|[a-zA-Z][a-zA-Z0-9]*>)").match(self._pattern, self._at)
        if found is None:
            raise self._bad("Unknown look-behind group", self._at + 3)
        self._emit(found[0], len(found[0]), repeatable=False)

    def _flags(self) -> None:
        """Read `(?flags)` or `(?flags:`; those that the module has no use for are left out."""
        at = self._at + 2
        while at < len(self._pattern) and self._pattern[at] in _FLAGS + "-":
            at += 1
        end = self._pattern[at : at + 1]
        if end not in (")", ":"):
            raise self._bad("Unknown inline modifier", at)
        on, _, off = self._pattern[self._at + 2 : at].partition("-")
        kept = "".join(flag for flag in on if flag in _KEPT_FLAGS)
        dropped = "".join(flag for flag in off if flag in _KEPT_FLAGS)
        text = f"(?{kept}{'-' if dropped else ''}{dropped}{end}"
        self._open -= end == ")"
        self._emit("" if text == "(?)" else text, at + 1 - self._at, repeatable=False)

    def _end_group(self) -> None:
        if not self._open:
            raise self._bad("Unmatched closing ')'", self._at - 1)
        self._open -= 1
        self._emit(")", 1)

    # escapes ----------------------------------------------------------------------------------------------------------

    def _escape(self) -> None:
        """Read an escape outside of a class."""
        char = self._peek(1)
        if char in _PLACES:
            self._emit(_PLACES[char], 2)
        elif char == "k":
            self._reference()
        elif char in "123456789" and char:
            self._emit("\\" + char, 2)
        elif char == "Q":
            text, length = self._quoted()
            self._emit(regex.escape(text, special_only=True), length)
        else:
            text, length = self._one_escape()
            self._emit(f"[{text}]" if len(text) > 2 and text[0] != "[" else text, length)

    def _reference(self) -> None:
        found = regex.compile(r"\\k<([a-zA-Z][a-zA-Z0-9]*)>").match(self._pattern, self._at)
        if found is None:
            raise self._bad("\\k is not followed by '<' for named capturing group", self._at + 1)
        self._emit(f"(?P={found[1]})", len(found[0]))

    def _quoted(self) -> tuple[str, int]:
        """Return the text of `\\Q…\\E` and its length in the pattern."""
        end = self._pattern.find("\\E", self._at + 2)
        text = self._pattern[self._at + 2 : end] if end >= 0 else self._pattern[self._at + 2 :]
        return text, len(text) + (4 if end >= 0 else 2)

    def _one_escape(self) -> tuple[str, int]:
        """Return what one escape stands for, as it may stand in a class, and its length in the pattern."""
        char = self._peek(1)
        if not char:
            raise self._bad("Unexpected internal error", self._at + 1)
        if char in "pP":
            return self._property()
        if char.lower() in _SHORT:
            return f"[{'^' if char.isupper() else ''}{_SHORT[char.lower()]}]", 2
        if char in "0xuce":
            return self._coded(char)
        if char.isascii() and char.isalnum() and char not in _SAME:
            raise self._bad("Illegal/unsupported escape sequence", self._at + 1)
        return "\\" + char, 2

    def _property(self) -> tuple[str, int]:
        found = regex.compile(r"\\[pP](?:\{([^}]*)\}|([A-Z]))").match(self._pattern, self._at)
        if found is None:
            raise self._bad("Unclosed character family", len(self._pattern) - 1)
        name, negated = found[1] or found[2] or "", found[0][1] == "P"
        if name in _POSIX:
            return f"[{'^' if negated else ''}{_POSIX[name]}]", len(found[0])
        text = f"\\{found[0][1]}{{{name}}}"
        try:
            regex.compile(text)
        except regex.error as error:
            raise self._bad(f"Unknown character property name {{{name}}}", self._at + len(found[0]) - 1) from error
        return f"[{text}]", len(found[0])

    def _coded(self, kind: str) -> tuple[str, int]:
        """Read a character by its code: octal, hexadecimal, control, or escape itself."""
        if kind == "e":
            return "\\x1b", 2
        forms = {"0": r"0([0-3]?[0-7]{1,2})", "x": r"x(?:\{([0-9a-fA-F]+)\}|([0-9a-fA-F]{2}))", "c": r"c(.)"}
        found = regex.compile(forms.get(kind, r"u([0-9a-fA-F]{4})")).match(self._pattern, self._at + 1)
        texts = {"0": "octal", "x": "hexadecimal", "u": "Unicode", "c": "control"}
        if found is None:
            raise self._bad(f"Illegal {texts[kind]} escape sequence", self._at + 2)
        code = next(group for group in found.groups() if group is not None)
        value = ord(code) ^ 64 if kind == "c" else int(code, 8 if kind == "0" else 16)
        if value > 0x10FFFF:
            raise self._bad("Hexadecimal codepoint is too big", self._at + 2)
        return regex.escape(chr(value), special_only=True), 1 + len(found[0])

    # classes ----------------------------------------------------------------------------------------------------------

    def _class(self) -> None:
        """Read a class of characters with those nested in it."""
        depth = 0
        empty = False
        while True:
            char = self._peek()
            if not char:
                raise self._bad("Unclosed character class", len(self._pattern) - 1)
            if char == "]" and not empty:
                depth -= 1
                self._emit("]", 1)
                if not depth:
                    return
            elif char == "[":
                depth += 1
                negated = self._peek(1) == "^"
                self._emit("[^" if negated else "[", 1 + negated)
                empty = True
                continue
            else:
                self._member(char)
            empty = False

    def _member(self, char: str) -> None:
        """Read one character, escape or `&&` of a class; what the module alone understands loses its meaning."""
        if char == "\\":
            if self._peek(1) == "Q":
                quoted, length = self._quoted()
                self._emit("".join("\\-" if one == "-" else _in_class(one) for one in quoted), length)
                return
            text, length = self._one_escape()
            self._emit(text, length)
        elif char == "&" and self._peek(1) == "&":
            self._emit("&&", 2)
        elif char == "-":
            self._emit("\\-" if self._out[-1] in ("-", "\\-") or self._peek(1) == "-" else "-", 1)
        else:
            self._emit(_in_class(char), 1)


def _in_class(char: str) -> str:
    """Spell one literal character of a class."""
    return "\\" + char if char in "]|~:&^\\[" else char
