"""Writes packages/text/src/fix-text/tables.json: the character tables by which ftfy recognises and undoes mojibake.

    python scripts/mojibake_tables.py

Needs ftfy (Apache-2.0, by Robyn Speer). Character classes come out as bodies of JavaScript regular expression
classes, in \\u escapes; the alternatives of ftfy's badness expression as JavaScript regular expressions.
"""

import json
import pathlib
import re

import ftfy
from ftfy import badness, chardata

OUT = pathlib.Path(__file__).parents[1] / "packages/text/src/fix-text/tables.json"
BMP = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000]
# What Python's \\s and \\w match in text; JavaScript's are other sets.
SPACE = r"\t-\r\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
WORD = r"[\p{L}\p{N}_]"


def escape(character):
    return f"\\u{ord(character):04x}"


def class_body(python_class):
    """The members of a Python character class body, as ranges of \\u escapes."""
    matcher = re.compile(f"[{python_class}]")
    codes = [ord(character) for character in BMP if matcher.match(character)]
    ranges = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(escape(chr(low)) + (f"-{escape(chr(high))}" if high > low else "") for low, high in ranges)


def tokens(verbose):
    """Splits a verbose Python expression into classes, escapes and characters, without layout and comments."""
    verbose = re.sub(r"(?m)^\s*#.*$", "", verbose)
    return [
        token
        for token in re.findall(r"\[(?:\\.|[^\]\\])*\]|\\.|.", verbose, re.S)
        if len(token) > 1 or not token.isspace()
    ]


def badness_rules(verbose):
    rules, rule = [], ""
    for token in tokens(verbose):
        if token == "|":
            rules.append(rule)
            rule = ""
        elif token.startswith("[^"):
            rule += f"[^{class_body(token[2:-1])}]"
        elif token.startswith("["):
            rule += f"[{class_body(token[1:-1])}]"
        elif token == r"\s":
            rule += f"[{SPACE}]"
        elif token == r"\w":
            rule += WORD
        elif token == ".":
            rule += r"[^\n]"
        elif token in "^?":
            rule += token
        else:
            assert len(token) == 1, token
            rule += escape(token)
    return [*rules, rule]


def encodings():
    for name in chardata.CHARMAP_ENCODINGS:
        yield {
            "name": name,
            "sloppy": name.startswith("sloppy"),
            "upperHalf": bytes(range(0x80, 0x100)).decode(name),
        }


def main():
    names = {"utf8_first_of_2", "utf8_first_of_3", "utf8_first_of_4", "utf8_continuation", "utf8_continuation_strict"}
    assert names == set(chardata.UTF8_CLUES)
    camel = {name: re.sub("_(.)", lambda match: match[1].upper(), name) for name in names}
    tables = {
        "source": f"ftfy {ftfy.__version__}, Apache-2.0; written by scripts/mojibake_tables.py",
        "encodings": list(encodings()),
        "ligatures": {chr(code): letters for code, letters in chardata.LIGATURES.items()},
        "utf8Clues": {camel[name]: class_body(body) for name, body in sorted(chardata.UTF8_CLUES.items())},
        "badness": badness_rules(badness.BADNESS_RE.pattern),
    }
    OUT.write_text(json.dumps(tables, ensure_ascii=True, indent=1) + "\n")


if __name__ == "__main__":
    main()
