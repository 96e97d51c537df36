"""Check the words of README, docs and messages: long sentences, and words that the glossary
replaces.

    python scripts/prose.py [PAGE ...]
    python scripts/prose.py --messages      # lists every error and warning of the package

It prints a line for each place and ends with 1 if there is one.  Code, tables and links are left
out.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_WORDS = 30  # of a sentence
WARNERS = ("warnings.warn", "warn_user", "logger.warning")
GLOSSARY = {  # patterns, and what to write instead
    r"as (it|they) comes?\b": "default parameters",
    r"of (one's|your) own\b": "user-defined",
    r"(goes|go|went) on (where|from|with|bit)": "resumes",
    r"\bis warned of\b": "`fit` issues a warning",
    r"\bheeds?\b|\bheeded\b": "uses",
    r"\bdead atoms?\b": "unused atom",
    r"\bgives? way\b": "is replaced",
    r"\bgaps?\b(?! between)": "missing values",
    r"\bwhere there (is|are)\b": "if there is",
    r"\b(picks?|picked|hears?|heard)\b": "select",
    r"\bevents (a|per) sample\b": "non-zero coefficients per sample",
    r"\b(refuses?|refused)\b": "reject, raise",
    r"\bwants an?\b|\bknows no\b|\bstays as it is\b": "say it plainly",
}


def paragraphs(text):
    """Return the paragraphs of a Markdown page, without code, tables, links and comments."""
    text = re.sub(r"^(---\n.*?\n---\n)", "", text, flags=re.DOTALL)
    text = re.sub(r"^ *(```|~~~).*?^ *\1", "\n\n", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"<!--.*?-->|<[^>]+>", "\n\n", text, flags=re.DOTALL)
    text = re.sub(r"^(    |\||#|\{|:).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\{[\w:+-]+\}`[^`]*`|`[^`]*`|\$[^$]*\$", "X", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"^ *([-*]|\d+\.) ", "\n\n", text, flags=re.MULTILINE)
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]


def messages():
    """Yield (place, text) of each error and warning of the package; X is a value in it."""
    for path in sorted((ROOT / "shl").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_warning = isinstance(node, ast.Call) and ast.unparse(node.func) in WARNERS
            call = node if is_warning else getattr(node, "exc", None)
            for part in getattr(call, "args", ()):
                if isinstance(part, (ast.Constant, ast.JoinedStr)):
                    values = getattr(part, "values", [part])
                    words = [getattr(value, "value", "X") for value in values]
                    yield (
                        f"{path.relative_to(ROOT)}:{call.lineno}",
                        "".join(word if isinstance(word, str) else "X" for word in words),
                    )


def faults(paragraph):
    """Yield what is wrong with a paragraph."""
    for sentence in re.split(r"(?<=[.!?:;])[*_)]* +(?=[^a-z.])|(?<=[:;]) +", paragraph):
        if (n_words := len(sentence.split())) > MOST_WORDS:
            yield f"{n_words} words: {sentence[:80]}..."
        for pattern, better in GLOSSARY.items():
            if found := re.search(pattern, sentence, re.IGNORECASE):
                yield f"{found[0]!r} ({better}): {sentence[:80]}"


def main(arguments):
    """Print the faults of pages and messages; return 1 if there are any."""
    if arguments == ["--messages"]:
        print(*map(": ".join, messages()), sep="\n")
        return 0
    pages = [Path(page).resolve() for page in arguments] or pages_of_the_project()
    texts = [
        (str(page.relative_to(ROOT)), paragraph)
        for page in pages
        for paragraph in paragraphs(page.read_text(encoding="utf-8"))
    ]
    texts += [] if arguments else messages()
    lines = [f"{place}: {fault}" for place, text in texts for fault in faults(text)]
    print(*lines, sep="\n")
    return int(bool(lines))


def pages_of_the_project():
    """Return the pages that people read first."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
