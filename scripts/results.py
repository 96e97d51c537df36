"""Write what was measured into a page: a block between two comments is the output of a command.

    <!-- measured: python scripts/bench_coding.py --rounds 9 -->
    <!-- measured: shl annex --only planted --out out > out/sections/planted.md # 1 3 -->
    ...
    <!-- end of measured -->

Behind > stands the file that the command writes.  Its tables are taken, or those whose numbers,
from 1, stand behind #.  Output without a table is shown as it is.  Each block ends with the day and
the machine.

    python scripts/results.py docs/results/speed.md                # the blocks of a page
    python scripts/results.py docs/results/speed.md bench_coding   # run those of this name again
    python scripts/results.py docs/results/speed.md bench_coding --printed FILE   # what it printed
"""

import argparse
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

from rounds import machine

BLOCK = re.compile(
    r"(?P<begin><!-- measured: (?P<what>[^\n]+?) -->\n)"
    r"(?P<text>.*?)(?P<end><!-- end of measured -->)",
    re.DOTALL,
)


def main(arguments=None):
    """List the blocks of a page, or measure those whose command holds a word."""
    args = parse(arguments)
    page = args.page.read_text()
    found = [match["what"] for match in BLOCK.finditer(page)]
    if args.word is None:
        print("\n".join(found))
        return
    chosen = [what for what in found if args.word in what]
    if not chosen or (args.printed and len(chosen) > 1):
        sys.exit(f"{len(chosen)} blocks of {args.page} have {args.word!r} in their command")
    for what in chosen:
        output = args.printed.read_text() if args.printed else measure(what)
        page = replace(page, what, output)
        args.page.write_text(page)


def parse(arguments):
    """The flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path)
    parser.add_argument("word", nargs="?")
    parser.add_argument("--printed", type=Path, metavar="FILE", help="take this, and run nothing")
    return parser.parse_args(arguments)


def measure(what):
    """What a command prints, or the file it writes."""
    command, _, file = what.partition(" # ")[0].partition(" > ")
    words = shlex.split(command)
    program = (
        [sys.executable] if words[0] == "python" else [str(Path(sys.executable).parent / "shl")]
    )
    ran = subprocess.run([*program, *words[1:]], check=True, stdout=subprocess.PIPE, text=True)
    return Path(file).read_text() if file else ran.stdout


def replace(page, what, output):
    """The page with a new output in a block."""
    tables = re.findall(r"(?:^\|.*\n?)+", output, re.MULTILINE)
    chosen = what.partition(" # ")[2].split()
    if chosen:
        tables = [tables[int(number) - 1] for number in chosen]
    text = "\n\n".join(map(str.strip, tables)) or f"```text\n{output.strip()}\n```"
    day = time.strftime("%d %B %Y")
    block = f"\n{text}\n\n({day}; {machine()}.)\n\n"
    return BLOCK.sub(
        lambda match: match["begin"] + block + match["end"] if match["what"] == what else match[0],
        page,
    )


if __name__ == "__main__":
    main()
