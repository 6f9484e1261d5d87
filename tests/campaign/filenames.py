"""Files with names that are bytes: commands that go through a folder do every file of it."""

from __future__ import annotations

import os
import shutil
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING

from .cases import Case, Ended, Kind, Step, contents, held, rng, save_data, save_model

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

NAME = "filename"
#: Stands in every odd name that is long enough, so that it is found whatever form the rest is shown in.
TOKEN = b"q7z"

_ODD: tuple[bytes, ...] = (
    b"caf\xe9", b"\xff\xfe", b"\x80", b"a\xc3", b"\xed\xa0\x80", b"\xf0\x9f", b"ok\xe9\xe8\xea", b"\xc0\xaf",
    b"\n", b"a\nb", b"\r", b"a\r\nb", b"\t", b"\x01", b"\x07bell", b"\x08\x08", b"\x1b[31mred\x1b[0m",
    b"\x1b]0;title\x07",
    b"\x1b[2J", b"\x7f", "\x85".encode(), "\x9b31m".encode(), b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e",
    b"\x1f",
    "\u2028".encode(), "\u2029".encode(), "a\u2028b\u2029c".encode(), "\u202egnp".encode(),
    "\u2066x\u2069".encode(),
    "\u200b".encode(), "\ufeff".encode(), "\u00ad".encode(), "\u00a0".encode(), "\u3000".encode(),
    b"'", b'"', b"`", b"it's", b'say "x"', b"$HOME", b"$(touch x)", b"`touch x`", b";rm -rf x", b"|cat",
    b"&", b"!x", b"#x",
    b"# comment", b"~", b"~root", b"%s", b"%d%n", b"{x}", b"{}", b"{0.__class__}", b"\\", b"\\n", b"a\\b",
    b"C:\\x",
    b"*", b"?", b"[a]", b"[", b"]", b"[!a]", b"**", b"a*b?c", b"-", b"--", b"-x", b"--out", b"--help",
    b"-rf", b"-i", b"@x", b"=",
    b"a=b", b",", b"a,b", b"a:b", b"http:", b"camera:0", b"hf-hub:x", b"local-dir:x", b".", b"..",
    b".hidden", b"...", b"a..b",
    b" ", b" lead", b"trail ", b"  ", b"a  b", b"nul", b"con", b"aux.", b"a.png", b"a.tar.gz", b"a.PNG",
    b"mask", b"_mask",
    b"a_mask", b"a_overlay", b"manifest.jsonl", b"null", b"true", b"0", b"007", b"1e5", b"NaN", b"-1",
    b"None",
    "图像 1".encode(), "ünï".encode(), unicodedata.normalize("NFD", "ünï").encode(), "\u05d0\u05d1".encode(),
    "\u0627\u0644".encode(), "🩻".encode(), "👩‍🔬".encode(), "ﬁ".encode(), "\u0131 İ ß ẞ".encode(),
    "Ω Ω".encode(),
    "e\u0301\u0302\u0303".encode(),
    "\U0001f1e9".encode(), "\ue000".encode(), "\U0010ffff".encode(), "\ufffd".encode(), "\ufffe".encode(),
    "ᄀ\u1161".encode(),
    b"<b>x</b>", b"<script>", b"&amp;", b"a&b", b"]]>", b"../x".replace(b"/", b"\xe2\x88\x95"), b"x" * 200,
    b"x" * 240,
    ("\u00e9" * 115).encode(),
)  # fmt: skip


def odd_name(number: int, chance: random.Random) -> bytes:
    """Return a name without suffix: first those that are known to be odd, then made up ones."""
    core = _ODD[number] if number < len(_ODD) else _made_up(chance)
    core = core.replace(b"/", b"").replace(b"\0", b"")
    room = 255 - len(b".png")
    if len(core) > room - len(TOKEN):
        return core[:room]
    return core + TOKEN if number % 3 else TOKEN + core if number % 2 else core + TOKEN


def _made_up(chance: random.Random) -> bytes:
    length = chance.choice([1, 3, 8, 60])
    if chance.random() < 0.5:
        return bytes(
            chance.choice([chance.randrange(1, 256), chance.randrange(1, 48)]) for _ in range(length)
        )
    kinds: Sequence[Callable[[], int]] = (
        lambda: chance.randrange(1, 0x300),
        lambda: chance.randrange(0x2000, 0x2070),
        lambda: chance.randrange(0x590, 0x780),
        lambda: chance.randrange(0xE000, 0x11000),
    )
    return "".join(chr(chance.choice(kinds)()) for _ in range(length)).encode("utf-8", "surrogatepass")


def case(number: int, seed: int) -> Case:
    """Return the case of a number: names go by threes, since each takes a dozen commands."""
    chance = rng(NAME, seed, number)
    name = odd_name(number, chance)
    told = ascii(os.fsdecode(name))
    named = _tokens(name)

    def prepare(here: Path) -> None:
        save_data(here / "data", name)
        shutil.copytree(here / "data/train/masks", here / "scored")

    weights = ("--model", "../../stock/weights", "--device", "cpu", "--outputs", "mask")
    word = os.fsdecode(b"data/train/images/" + name + b".png")
    steps = (
        Step(("predict", "data/train/images", *weights, "--out", "out"), "works", named, ("out",)),
        Step(("predict", "data/train/images", *weights, "--out", "out", "--resume"), "works", named,
             ("out",)),
        Step(("predict", word, *weights[:-1], "mask,coco", "--out", "alone"), "works", named,
        ("alone",)),
        Step(("data", "check", "data", "--fix", "fixed"), "works", (), ("fixed",)),
        Step(("data", "stats", "data"), "works"),
        Step(("data", "preview", "data", "--out", "sheet.png"), "works", (), ("sheet.png",)),
        Step(("evaluate", "--predictions", "scored", "--truth", "data/train/masks", "--resamples", "0",
        "--report", "report"),
             "works", named, ("report",)),
    )  # fmt: skip
    if number % 4:  # drawing takes as long as all else
        steps = tuple(step for step in steps if step.words[:2] != ("data", "preview"))
    # Datasets pass over what is hidden, as macOS leaves such files beside images; predict does not.
    hidden = name.startswith(b".")
    steps = tuple(replace(step, hidden=name if hidden else b"") for step in steps)
    return Case(told, steps, prepare, lambda here, ended: list(_check(here, ended, hidden=hidden)))


def _tokens(name: bytes) -> tuple[str, ...]:
    return (TOKEN.decode(),) if TOKEN in name else (ascii(os.fsdecode(name))[1:20],)


def _check(here: Path, ended: Sequence[Ended], *, hidden: bool) -> Iterator[str]:
    """Each file was done by each command, and once."""
    count = 3
    masks = [path for path in contents(held(here / "out")) if path.endswith(b"_mask.png")]
    if len(masks) != count:
        yield f"lost: {len(masks)} masks of {count} images"
    if b"3 were done before" not in ended[1].stdout:
        yield f"lost: --resume does not know again what was done: {ended[1].stdout[-100:]!a}"
    fixed = (
        [path for path in contents(held(here / "fixed")) if b"images/" in path]
        if (here / "fixed").exists()
        else []
    )
    if len(fixed) != 4 - hidden:
        yield f"lost: {len(fixed)} of 4 images, or 3, are in the repaired copy"
    if b": %d images" % (3 - hidden) not in ended[-1].stdout:
        yield f"lost: evaluate does not score what there is: {ended[-1].stdout[:100]!a}"


def stock(folder: Path) -> None:
    """Write the weights that segment."""
    save_model(folder / "weights")


KIND = Kind(NAME, 100, case, batch=10, stock=stock)
