r"""How the names of frames are read: which digits are the number of the frame, and what names its sequence.

A name is the stem of a file, without a given prefix and suffix. It is cut into runs of the digits 0-9 and the texts
around them. Names with the same texts belong together, and their number is *what varies*: the run of digits that
differs between the names in a folder. ``frankfurt_000000_000005_leftImg8bit`` is frame 5, not frame 8. What is before
the number tells recordings apart, in a flat folder as in a folder of a sequence. All sides are read in one way.

Where this leaves two readings, there is no guess. Such names are refused with two of them, in which the candidates are
marked:

- Several runs vary (``000000_cam0``), unless the last of them is the only one by which most sequences have several
  frames, and the others follow words that can name sequences (``take1_0007``, ``take2_0012``). What follows the number
  may hold digits that never vary, if letters are attached to them (``_v2``, ``@2x``).
- Most sequences that names tell apart have one frame (a hash at the end).
- The number is negative, a fraction, a date, a time of day, a timestamp, or written with separators or other digits.

Names of Cityscapes are known: ``{city}_{6 digits}_{6 digits}``, in a folder called as the city, or with its types.

A *pattern* settles all of this but timestamps: a regular expression whose one group is the number. What it matches
around the group belongs to neither number nor sequence; what it does not match names the sequence:

================  =================  =========================
pattern           name               read as
================  =================  =========================
``^(\d+)``        ``000007_cam2``    frame 7 of ``cam2``
``(\d+)$``        ``take3_000007``   frame 7 of ``take3``
``^(\d+)_.*``     ``000007_9f3ac1``  frame 7
``_f(\d+)``       ``ride_f12_seq2``  frame 12 of ``ride_seq2``
================  =================  =========================
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from typing import NamedTuple, NoReturn, Protocol, TypeVar

from flame_metric.data.name_parts import (
    SEPARATORS,
    WORDS_OF_FRAMES,
    Runs,
    Texts,
    cut_name,
    is_of_word,
    join_parts,
    mark_digits,
    texts_of,
    word_before,
)
from flame_metric.data.name_times import kind_of_time
from flame_metric.errors import ConfigError, DatasetError, shortened

__all__ = ["FrameName", "FrameNames", "NamedFolders", "split_name"]

_OTHER_DIGIT = re.compile(r"(?![0-9])\d")
_BRACKETS = "([{"
_MOST_DIGITS = 18
_FIRST_TIMESTAMP = 10**9  # a camera of 1000 Hz takes 11 days for as many frames
_MOST_CANDIDATES = 8
_MOST_CAMERAS = 12
_HEX_LETTERS = re.compile(r"(?!f$)[a-f]+", re.IGNORECASE)  # 1f0007 is frame 7 of 1
_CITY = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*_")
_CITYSCAPES_TYPES = re.compile(r"_(leftImg8bit|rightImg8bit|gtFine|gtCoarse|gtBboxCityPersons)")
_EXTENSIONS = frozenset(("mp4", "mp2", "jp2", "mj2", "h264", "h265", "x264", "x265"))  # a name of a video, before a dot
_CLOCKS, _UNITS = ("-", "_", ":", ".", " "), ("h", "hr", "m", "min", "ms")  # between the digits of a time of day
_OF_SEQUENCES = frozenset(
    (
        *("case", "clip", "drive", "ep", "episode", "patient", "run", "s", "scene", "seq", "sequence", "session"),
        *("shot", "subject", "take", "vid", "video"),
    )
)
_OF_CAMERAS = frozenset(("cam", "camera", "eye", "sensor", "view"))
_MINUS = ("\N{MINUS SIGN}", "\N{EN DASH}", "\N{FULLWIDTH HYPHEN-MINUS}")
_REMEDY = (
    "rename the files by their places in time (0000, 0001, ..), or score them in Python by their times: "
    "simulate_stream(.., arrivals_ms=..) gives the `schedule` of FlameMeter.update_sequence"
)


class _NamedFile(Protocol):
    @property
    def name(self) -> str:
        """The name in its folder."""

    def __fspath__(self) -> str:
        """Where it is."""


File = TypeVar("File", bound=_NamedFile)


class FrameName(NamedTuple):
    """What the name of a frame says.

    Attributes
    ----------
    recording : str
        What tells recordings apart; "" if nothing does.
    number : int
    around : (str, str)
        What stands before and after the number. Frames of one sequence share it.
    """

    recording: str
    number: int
    around: tuple[str, str]


class NamedFolders(NamedTuple):
    """The names of frames below a root.

    Attributes
    ----------
    where : str or path
        The root, for messages.
    what : str
        What the files are, for messages: ``"predictions"``, ``"labels"``.
    folders : mapping of str to mapping of str to file
        Folder -> name of the frame -> file; ``""`` is the root itself.
    """

    where: object
    what: str
    folders: Mapping[str, Mapping[str, _NamedFile]]

    def files(self) -> Iterator[tuple[str, str, _NamedFile]]:
        """Go through folder, name and file of all frames."""
        return ((folder, name, file) for folder, files in self.folders.items() for name, file in files.items())


def split_name(name: str, path: object) -> FrameName:
    """Split a name whose number is its last digits, as in data sets that are known by name.

    Parameters
    ----------
    name : str
    path : str or path
        Its file, for the message.

    Raises
    ------
    DatasetError
        If it holds no digits, or a number of more than 18.

    Examples
    --------
    >>> split_name("0016E5_07959", "0016E5_07959.png")
    FrameName(recording='0016E5', number=7959, around=('0016E5_', ''))
    """
    texts, runs = cut_name(name)
    if not runs:
        _refuse_no_digits(name, path)
    return _split_at(name, texts, runs, len(runs) - 1, path)


@dataclass(frozen=True)
class FrameNames:
    """One way to read the names of frames; :meth:`find` finds it.

    Attributes
    ----------
    places : mapping of tuple of str to int
        From the texts around the digits of a name to the place of the run that is the number.
    several : frozenset of str
        Folders that hold several recordings.
    pattern : re.Pattern, optional
        Reads names instead.
    """

    places: Mapping[Texts, int]
    several: frozenset[str] = frozenset()
    pattern: re.Pattern[str] | None = None

    @classmethod
    def find(cls, *sides: NamedFolders, pattern: str | None = None, option: str = "--frame-number {}") -> FrameNames:
        """Find how the names of all sides are read.

        Parameters
        ----------
        *sides : NamedFolders
        pattern : str, optional
            A regular expression with one group, the number.
        option : str
            How a message writes the option that gives it; ``{}`` stands for its value.

        Raises
        ------
        ConfigError
            If the pattern is not a regular expression with one group.
        DatasetError
            If a name holds no number, or names can be read in more than one way.

        Examples
        --------
        >>> from pathlib import Path
        >>> files = {name: Path(name + ".png") for name in ("a_000000_000004_x8", "a_000000_000005_x8")}
        >>> side = NamedFolders(Path("."), "labels", {"": files})
        >>> FrameNames.find(side).split("a_000000_000004_x8", files["a_000000_000004_x8"])
        FrameName(recording='a_000000', number=4, around=('a_000000_', '_x8'))
        >>> list(FrameNames.find(side, pattern="^a_([0-9]+)").sequences(side.folders))
        ['000004_x8', '000005_x8']
        """
        known: set[Texts] = set()
        if pattern is not None:
            found = cls({}, pattern=_compile(pattern, option))
        else:
            reader = _Reader(sides, option)
            found, known = cls(reader.places()), reader.cityscapes
        several: set[str] = set()
        lengths = []
        for side in sides:
            of_side: dict[str, Counter[str]] = {}
            numbers: dict[tuple[str, tuple[str, str]], list[str]] = {}
            for folder, name, file in side.files():
                recording, number, (before, after) = found.split(name, file)
                if abs(number) >= _FIRST_TIMESTAMP:
                    _refuse_time(file, f"{number} as its number", "a date or a timestamp")
                of_side.setdefault(folder, Counter())[recording] += 1 if texts_of(name) not in known else 2
                numbers.setdefault((folder, (before, after)), []).append(name[len(before) : len(name) - len(after)])
            several.update(folder for folder, there in of_side.items() if len(there) > 1 and folder)
            lengths.append(of_side)
            for (folder, (before, after)), digits in numbers.items() if pattern is None else ():
                if kind := kind_of_time(before, digits):
                    file = side.folders[folder][f"{before}{digits[0]}{after}"]
                    _refuse_time(file, f"{digits[0]} in its name", kind, option)
        if pattern is None:
            _check_lengths(sides, lengths, option)
        return cls(found.places, frozenset(several), found.pattern)

    def split(self, name: str, path: object) -> FrameName:
        """Return what a name says.

        Parameters
        ----------
        name : str
        path : str or path
            Its file, for messages.

        Raises
        ------
        DatasetError
            If it has no number, or one of more than 18 digits.
        """
        if self.pattern is not None:
            match = self.pattern.search(name)
            number = None if match is None else match[1]
            if match is None or number is None or not re.fullmatch(r"-?[0-9]+", number):
                raise DatasetError(
                    f"{path}: the pattern {self.pattern.pattern!r} finds no number in {name!r}, expected its group to "
                    "be digits",
                    path=str(path),
                )
            rest = (name[: match.start()].rstrip(SEPARATORS), name[match.end() :].strip(SEPARATORS))
            return FrameName("_".join(filter(None, rest)), _number(number, path), ("", ""))
        texts, runs = cut_name(name)
        return _split_at(name, texts, runs, self.places[texts], path)

    def sequences(self, folders: Mapping[str, Mapping[str, File]]) -> dict[str, dict[str, File]]:
        """Return files by sequence: its folder, or what tells recordings apart in a folder that holds several.

        Parameters
        ----------
        folders : mapping of str to mapping of str to file
            As one of the sides has them.

        Returns
        -------
        dict of str to dict of str to file
            In a flat folder, ``""`` is the sequence whose names are numbers.

        Raises
        ------
        DatasetError
            If two folders hold recordings of one name.
        """
        found: dict[str, dict[str, File]] = {}
        folder_of: dict[str, str] = {}
        for folder, files in folders.items():
            for name, file in files.items():
                sequence = folder
                if folder in self.several or not folder:
                    recording = self.split(name, file).recording
                    sequence = recording
                    if not recording.startswith(folder):  # a name that can be that of a folder, as run writes them
                        sequence = f"{folder}_{recording}" if recording else folder
                if folder_of.setdefault(sequence, folder) != folder:
                    raise DatasetError(
                        f"{file}: is of the sequence {sequence} by its name, as files in {folder_of[sequence]} are, "
                        "expected each sequence in one folder",
                        path=file,
                    )
                found.setdefault(sequence, {})[name] = file
        return found


# ── names ──


def _split_at(name: str, texts: Texts, runs: Runs, place: int, path: object) -> FrameName:
    before = join_parts(texts[: place + 1], runs[:place])
    after = name[len(before) + len(runs[place]) :]
    return FrameName(before.rstrip(SEPARATORS + _BRACKETS), _number(runs[place], path), (before, after))


def _number(digits: str, path: object) -> int:
    if len(digits) > _MOST_DIGITS:
        raise DatasetError(
            f"{path}: its name has a number of {len(digits):,} digits, expected a frame number of at most "
            f"{_MOST_DIGITS}; if it is a time, {_REMEDY}",
            path=str(path),
        )
    return int(digits)


def _refuse_no_digits(name: str, path: object) -> NoReturn:
    raise DatasetError(f"{path}: the frame name {name!r} has no digits, expected a frame number in it", path=str(path))


def _compile(pattern: str, option: str) -> re.Pattern[str]:
    given = option.partition(" ")[0]
    try:
        found = re.compile(pattern)
    except (re.error, TypeError, RecursionError, OverflowError) as error:
        raise ConfigError(f"{given} is {pattern!r:.200}, expected a regular expression: {error}") from None
    if found.groups != 1:
        raise ConfigError(
            f"{given} is {pattern!r:.200} with {found.groups} groups, expected one: the digits of the frame number, "
            r"such as '_(\d+)$'; write others as (?:..)"
        )
    return found


# ── what varies ──


class _Group:
    """The names of the same texts, of all sides: runs of digits by folder, each with a file."""

    def __init__(self, texts: Texts) -> None:
        self.texts = texts
        self.by_folder: dict[str, dict[Runs, _NamedFile]] = {}

    @property
    def number_of_runs(self) -> int:
        return len(self.texts) - 1

    def varying(self) -> list[int]:
        """Return which runs differ between names in a folder."""
        return [
            place
            for place in range(self.number_of_runs)
            if any(len({runs[place] for runs in names}) > 1 for names in self.by_folder.values() if len(names) > 1)
        ]

    def names(self) -> Iterator[tuple[Runs, _NamedFile]]:
        return chain.from_iterable(names.items() for names in self.by_folder.values())

    def values(self, place: int) -> set[str]:
        return {runs[place] for runs, _ in self.names()}

    def are_few(self, place: int) -> bool:
        """Whether the digits at a place are a few small numbers, without zeros before them."""
        values = self.values(place)
        return len(values) <= _MOST_CAMERAS and not any(len(digits) > 1 and digits[0] == "0" for digits in values)

    def carries(self, place: int, last: int) -> bool:
        """Whether one run counts on where the other is full, as 1_999 and 2_000, or 1-59 and 2-0, do."""
        pairs = {(runs[:place], int(runs[place]), runs[place + 1 : last], runs[last]) for runs, _ in self.names()}
        full = {"59", *("9" * len(digits) for digits in self.values(last))}
        return any(
            digits in full and (start, high + 1, between, zeros) in pairs
            for start, high, between, digits in pairs
            for zeros in ("0", "00", "0" * len(digits))
        )

    def zeros_vary(self, place: int) -> bool:
        """Whether unlike numbers that begin with a zero have unlike widths in a folder."""
        for names in self.by_folder.values():
            padded = {runs[place] for runs in names if runs[place][0] == "0" and len(runs[place]) > 1}
            different = {digits.lstrip("0") for digits in padded}
            if len({len(digits) for digits in padded}) > 1 and len(different) == len(padded):
                return True
        return False

    def gaps_vary(self, place: int) -> bool:
        """Whether numbers are not all equally far apart."""
        found = ({int(runs[place]) for runs in names} for names in self.by_folder.values())
        return any(len({later - earlier for earlier, later in pairwise(sorted(each))}) > 1 for each in found)

    def follows_folder(self) -> bool:
        """Whether the name of a folder, such as ``cam1``, ends within the first digits of all names in it."""
        before = self.texts[0]
        return any(
            folder.startswith(before) and all(runs[0] != own and runs[0].startswith(own) for runs in names)
            for folder, names in self.by_folder.items()
            if before and (own := folder.removeprefix(before)) and own.isdigit()
        )

    def widths_vary(self, place: int) -> bool:
        """Whether a run has more digits in some names of a folder than in others."""
        return any(len({len(runs[place]) for runs in names}) > 1 for names in self.by_folder.values())

    def most_have_several(self, place: int) -> bool:
        """Whether most sequences have more than one frame, if this run is the number."""
        lengths = Counter(
            (folder, runs[:place], runs[place + 1 :]) for folder, names in self.by_folder.items() for runs in names
        )
        return 2 * sum(length == 1 for length in lengths.values()) <= len(lengths)

    def example(self, places: Sequence[int]) -> tuple[list[Runs], list[_NamedFile]]:
        """Return two names of a folder that differ, if there are."""
        names = max(self.by_folder.values(), key=len)
        first = next(iter(names))
        others = [runs for runs in islice(names, 1, 5000) if any(runs[place] != first[place] for place in places)]
        chosen = [first, *others[:1]]
        return chosen, [names[runs] for runs in chosen]


class _Reader:
    """Finds the number in the names of all sides."""

    def __init__(self, sides: Sequence[NamedFolders], option: str) -> None:
        self._option = option
        self._groups: dict[Texts, _Group] = {}
        self.cityscapes: set[Texts] = set()
        kinds = [
            (side, folder, {self._add(folder, name, file) for name, file in files.items()})
            for side in sides
            for folder, files in side.folders.items()
        ]
        alone = {texts for texts, group in self._groups.items() if sum(map(len, group.by_folder.values())) == 1}
        for side, folder, there in kinds:
            if len(there) > 1 and 2 * len(there & alone) > len(side.folders[folder]):
                _refuse_single(side, folder, option)

    def _add(self, folder: str, name: str, file: _NamedFile) -> Texts:
        """Sort a name in, and return the texts by which it is."""
        texts, runs = cut_name(name)
        if not name.isascii() and _OTHER_DIGIT.search(name):
            self._refuse(file, "its name has digits other than 0-9", "frame numbers in 0-9", [name])
        if not runs:
            _refuse_no_digits(name, file)
        group = self._groups.setdefault(texts, _Group(texts))
        group.by_folder.setdefault(folder, {}).setdefault(runs, file)
        if texts not in self.cityscapes and _is_cityscapes(texts, runs, folder, file.name):
            self.cityscapes.add(texts)
        return texts

    def places(self) -> dict[Texts, int]:
        """Return the place of the number by the texts of a name."""
        found: dict[Texts, int] = {}
        unclear = []
        for texts, group in self._groups.items():
            varying = group.varying()
            if texts in self.cityscapes and all(len(runs[0]) == len(runs[1]) == 6 for runs, _ in group.names()):
                found[texts] = 1
            elif group.number_of_runs == 1:
                found[texts] = 0
                if word_before(texts[0]) in _OF_CAMERAS and group.are_few(0) and len(group.by_folder) > 1:
                    self._refuse_several(group, [0], "which look like numbers of cameras")
            elif varying:
                found[texts] = self._choose(group, varying)
            else:
                unclear.append(group)
        alike: dict[int, set[int]] = {}
        for texts, place in found.items():
            alike.setdefault(len(texts), set()).add(place)
        for group in unclear:  # one name in each folder: as others of so many runs are read
            places = alike.get(len(group.texts), set())
            found[group.texts] = min(places) if len(places) == 1 else group.number_of_runs - 1
        for texts, place in found.items():
            self._check(self._groups[texts], place)
        return found

    def _choose(self, group: _Group, varying: list[int]) -> int:
        last = varying[-1]
        if len(varying) > 1:
            self._check_clock(group, varying)
            few = varying if len(varying) <= _MOST_CANDIDATES else []
            named = all(_names_sequences(group.texts[place]) for place in varying[:-1])
            if not named or [place for place in few if group.most_have_several(place)] != [last]:
                self._refuse_several(group, varying)
            if group.carries(*varying[-2:]):
                self._refuse_several(group, varying[-2:], "which look like parts of one number", times=True)
        behind = [place for place in range(last + 1, group.number_of_runs) if not _is_type(group, place)]
        if behind:
            self._refuse_several(group, [*varying, *behind])
        word, others = word_before(group.texts[last]), [*group.texts[:last], *group.texts[last + 1 : -1]]
        of_frames = [text for text in others if word_before(text.rstrip(SEPARATORS)) in {"", *WORDS_OF_FRAMES}]
        if word in _OF_CAMERAS or (word in _OF_SEQUENCES and (of_frames or last < group.number_of_runs - 1)):
            self._refuse_several(group, list(range(group.number_of_runs)))
        return last

    def _check_clock(self, group: _Group, varying: list[int]) -> None:
        """Refuse fractions and times of day, of which two runs vary."""
        for place, other in pairwise(varying):
            if other - place != 1:
                continue
            if group.texts[other] in (".", ","):
                self._refuse_several(group, [place, other], "which look like fractions of a number", times=True)
            between = group.texts[other]
            digits = group.values(place) | group.values(other)
            clock = between in _CLOCKS and not _names_sequences(group.texts[place])
            if between.strip(SEPARATORS).lower() in _UNITS or (
                clock and all(len(each) == 2 and each < "60" for each in digits)
            ):
                self._refuse_several(group, [place, other], "which look like a date or a time of day", times=True)

    def _check(self, group: _Group, place: int) -> None:
        """Refuse a number that is part of another: behind a sign, a point or a separator."""
        before = group.texts[place]
        if before.endswith(_MINUS) or (before.endswith("-") and _is_open(before, place)):
            self._refuse_several(group, [place], "with a minus before it")
        if group.zeros_vary(place) or (not place and group.follows_folder()):
            self._refuse_several(group, [place], "that may be two numbers in a row")
        if not place:
            return
        short = all(len(digits) < 3 for digits in group.values(place))
        if before in (",", "'", "\N{RIGHT SINGLE QUOTATION MARK}") or (
            before == "."
            and (group.widths_vary(place) or (short and group.gaps_vary(place)))
            and not _is_extension(group, place - 1)
        ):
            self._refuse_several(group, [place - 1, place], "with a point or a separator in a number", times=True)
        if _HEX_LETTERS.fullmatch(before):
            self._refuse_several(group, [place - 1, place], "which look like parts of a hexadecimal number")
        shorter = self._groups.get((*group.texts[:place], *group.texts[place + 1 :]))
        if shorter is None or not before or any(letter.isalnum() for letter in before):
            return
        grouped = all(len(digits) == 3 for digits in group.values(place))
        if before == "." or (grouped and all(len(digits) < 4 for digits in shorter.values(place - 1))):
            names = [join_parts(each.texts, next(each.names())[0]) for each in (shorter, group)]
            found = "names hold numbers with and without a separator"
            self._refuse(next(group.names())[1], found, "frame numbers without one", names, times=True)

    def _refuse_several(self, group: _Group, places: Sequence[int], what: str = "", *, times: bool = False) -> NoReturn:
        examples, files = group.example(places)
        marked = [
            join_parts(group.texts, [f"[{run}]" if place in places else run for place, run in enumerate(runs)])
            for runs in examples
        ]
        if what:
            self._refuse(files[0], f"its name has digits {what}", "frame numbers from 0 on", marked, times=times)
        names = [join_parts(group.texts, runs) for runs in examples]
        patterns = (_pattern_for(group.texts, examples, place, names) for place in reversed(places))
        ways = [self._option.format(shlex.quote(pattern)) for pattern in patterns if pattern][:2]
        raise DatasetError(
            f"{files[0]}: any of the marked digits may be the frame number: {', '.join(marked)}; say which it is by "
            f"{' or '.join(ways) or self._give}, or leave a part of the names out by a prefix or suffix",
            path=files[0],
        )

    @property
    def _give(self) -> str:
        return self._option.partition(" ")[0]

    def _refuse(
        self, file: _NamedFile, found: str, wanted: str, names: Sequence[str], *, times: bool = False
    ) -> NoReturn:
        remedy = f"; if they are times, {_REMEDY}" if times else ""
        raise DatasetError(
            f"{file}: {found} ({shortened(names)}), expected {wanted}; {self._give} says which digits they are{remedy}",
            path=file,
        )


def _is_cityscapes(texts: Texts, runs: Runs, folder: str, file: str) -> bool:
    if len(runs) < 2 or texts[1] != "_" or not len(runs[0]) == len(runs[1]) == 6 or not _CITY.fullmatch(texts[0]):
        return False
    return folder == texts[0][:-1] or _CITYSCAPES_TYPES.search(file) is not None


def _is_type(group: _Group, place: int) -> bool:
    """Whether digits that never vary belong to a word that is not a frame's: ``v2``, ``720p``, ``8bit``."""
    padded = any(digits.startswith("0") and len(digits) > 1 for digits in group.values(place))
    return not padded and is_of_word(group.texts[place], group.texts[place + 1])


def _names_sequences(before: str) -> bool:
    """Whether the text before digits that vary can say that they number sequences: it ends with a word for it."""
    word = word_before(before.rstrip(SEPARATORS))
    return bool(word) and word not in WORDS_OF_FRAMES and word not in _UNITS


def _is_open(before: str, place: int) -> bool:
    """Whether nothing is before a hyphen at the end of a text that it could separate from what follows, or a time."""
    if before == "-":
        return not place
    return not (before[-2].isalnum() or before[-2] == ")") or word_before(before[:-1]) in ("t", "time")


def _is_extension(group: _Group, place: int) -> bool:
    """Whether digits end the extension of a video in a name, such as ``clip.mp4.0001``."""
    before = group.texts[place].rpartition(".")
    return bool(before[1]) and all(f"{before[2]}{digits}".lower() in _EXTENSIONS for digits in group.values(place))


def _pattern_for(texts: Texts, examples: Sequence[Runs], place: int, names: Sequence[str]) -> str | None:
    """Return a short pattern that finds the run at a place of some names."""
    before, after = re.escape(texts[place]), re.escape(texts[place + 1])
    tried = [r"(\d+)$", r"^(\d+)", before + r"(\d+)", r"(\d+)" + after, before + r"(\d+)" + after]
    for pattern in tried:
        found = [re.search(pattern, name) for name in names]
        starts = [len(join_parts(texts[: place + 1], runs[:place])) for runs in examples]
        if all(match is not None and match.start(1) == start for match, start in zip(found, starts, strict=True)):
            return pattern
    return None


# ── what numbers say ──


def _refuse_time(file: _NamedFile, found: str, kind: str, option: str | None = None) -> NoReturn:
    way = "" if option is None else f" ({option.partition(' ')[0]} says that it is one)"
    raise DatasetError(
        f"{file}: has {found}, which looks like {kind}, expected a frame number{way}; {_REMEDY}", path=file
    )


def _check_lengths(sides: Sequence[NamedFolders], lengths: Sequence[Mapping[str, Counter[str]]], option: str) -> None:
    """Refuse names that make a sequence of almost every frame; ``lengths``: frames by folder and recording."""
    longest: dict[str, int] = {}
    for by_recording in chain.from_iterable(of_side.values() for of_side in lengths):
        longest.update({name: max(frames, longest.get(name, 0)) for name, frames in by_recording.items()})
    for side, of_side in zip(sides, lengths, strict=True):
        told_apart = [name for there in of_side.values() if len(there) > 1 for name in there]
        if 2 * sum(longest[name] == 1 for name in told_apart) <= len(told_apart):
            continue
        _refuse_single(side, next(folder for folder, there in of_side.items() if len(there) > 1), option)


def _refuse_single(side: NamedFolders, folder: str, option: str) -> NoReturn:
    names = list(islice(side.folders[folder], 2))
    marked = [mark_digits(name) for name in names]
    first, *others = (texts_of(name)[0] for name in names)
    pattern = f"^{re.escape(first)}(\\d+).*" if [first] == others else r"^.*?(\d+).*"
    raise DatasetError(
        f"{side.where}: by their names, most {side.what} are sequences of one frame, as {' and '.join(marked)} are "
        "(digits are marked), expected videos; say which digits are the frame number, and what names no sequence, such "
        f"as by {option.format(shlex.quote(pattern))}",
        path=str(side.where),
    )
