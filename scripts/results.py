"""Write what was measured into a page: a block between two comments is the output of a command.

    <!-- measured: python scripts/bench_race.py race --seconds 10 30 60 -->
    <!-- measured: python scripts/bench_coding.py speed -->
    <!-- measured: shl annex --only planted --out out > out/sections/planted.md # 1 3 -->
    ...
    <!-- end of measured -->

Behind > stands the file that a command writes.  Its tables are taken, or those whose numbers, from
1, stand behind #.  Output without a table is shown as it is.  The day and the machine stand below.

    python scripts/results.py docs/results/speed.md                # the commands of a page
    python scripts/results.py docs/results/speed.md bench_race     # run those of this name again
    python scripts/results.py docs/results/speed.md bench_race --printed FILE   # what it printed
"""

import argparse
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

from rounds import machine

PLACE = re.compile(  # of a page, for what a command measures
    r"<!-- measured: (?P<command>[^\n]+?) -->\n(?P<block>.*?)<!-- end of measured -->", re.DOTALL
)


def main(arguments=None):
    """List the commands of a page, or measure those in which a word stands."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path)
    parser.add_argument("word", nargs="?")
    parser.add_argument("--printed", type=Path, metavar="FILE", help="take this, and run nothing")
    args = parser.parse_args(arguments)
    found = [match["command"] for match in PLACE.finditer(args.page.read_text(encoding="utf-8"))]
    if args.word is None:
        print("\n".join(found))
        return
    chosen = [command for command in found if args.word in command]
    if not chosen or (args.printed and len(chosen) > 1):
        sys.exit(f"{len(chosen)} commands of {args.page} have {args.word!r} in them")
    for command in chosen:
        output = args.printed.read_text(encoding="utf-8") if args.printed else measure(command)
        block = as_block(output, command.partition(" # ")[2].split())
        text = args.page.read_text(encoding="utf-8")  # which a command may have changed
        place = next(match for match in PLACE.finditer(text) if match["command"] == command)
        start, stop = place.span("block")
        args.page.write_text(text[:start] + block + text[stop:], encoding="utf-8")


def measure(command):
    """What a command prints, or the file it writes."""
    command, _, file = command.partition(" # ")[0].partition(" > ")
    name, *words = shlex.split(command)
    program = sys.executable if name == "python" else str(Path(sys.executable).with_name(name))
    ran = subprocess.run([program, *words], check=True, stdout=subprocess.PIPE, text=True)
    return Path(file).read_text(encoding="utf-8") if file else ran.stdout


def as_block(output, chosen):
    """The tables of an output, or all of it where it has none; the day and the machine."""
    tables = re.findall(r"(?:^\|.*\n?)+", output, re.MULTILINE)
    tables = [tables[int(number) - 1] for number in chosen] or tables
    tables += re.findall(r"^The machine was busy.*", output, re.MULTILINE)
    text = "\n\n".join(map(str.strip, tables)) or f"```text\n{output.strip()}\n```"
    return f"\n{text}\n\n({time.strftime('%d %B %Y')}; {machine()}.)\n\n"


if __name__ == "__main__":
    main()
