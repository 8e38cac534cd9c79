"""Options typed as ``name=value``, as values of the types that a function takes."""

import difflib
import inspect
import os
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

_BOOL = {"true": True, "yes": True, "false": False, "no": False}
_NONE = type(None)
_UNION = (Union, types.UnionType)


def options_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Options of a function that can be typed, each with its type.

    Those are its keyword-only arguments of type bool, int, float, str, path, ``Literal`` of these, a sequence of int or
    str, and unions. Of a class, those of its constructor and of the constructors above it, to which it passes
    options on.
    """
    return {name: kind for name, kind in keywords_of(function).items() if _words(kind)}


def keywords_of(function: Callable[..., Any]) -> dict[str, Any]:
    """All keyword-only arguments of a function, or of a class as :func:`options_of` sees it, each with its type."""
    owners: list[Any] = [function]
    if inspect.isclass(function):
        owners = [c.__init__ for c in function.__mro__ if "__init__" in vars(c) and c is not object]
    found: dict[str, Any] = {}
    for owner in owners:
        for name, parameter in inspect.signature(owner, eval_str=True).parameters.items():
            if parameter.kind is parameter.KEYWORD_ONLY:
                found.setdefault(name, parameter.annotation)
    return found


def parse(settings: Sequence[str], known: Mapping[str, Any], *, of: str) -> dict[str, Any]:
    """Values of words such as ``camera=right`` or ``aus=1,2,4``.

    Parameters
    ----------
    settings : sequence of str
    known : mapping of str to type
        As :func:`options_of` gives it.
    of : str
        Whose options, for messages: "the reader of disfa".

    Raises
    ------
    ValueError
        A word without ``=``, an unknown name (with the nearest known one and all of them), a name twice, or a value
        of another type than the option's.
    """
    values: dict[str, Any] = {}
    for word in settings:
        name, equals, text = (part.strip() for part in word.partition("="))
        if not equals or not name:
            raise ValueError(f"--set {word}: expected name=value; {of} has {', '.join(known) or 'no options'}")
        refuse_unknown([name], known, of=of)
        if name in values:
            raise ValueError(f"--set {name} is given twice; give it once")
        try:
            values[name] = _value(text, known[name])
        except ValueError:
            raise ValueError(f"--set {name}: expected {' or '.join(_words(known[name]))}, found {text!r}") from None
    return values


def refuse_unknown(names: Sequence[str], known: Sequence[str] | Mapping[str, Any], *, of: str) -> None:
    """Check that all names are known.

    Raises
    ------
    ValueError
        The first that is not, the nearest known name if there is one near, and all known names.
    """
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
            guess = f"; did you mean {near[0]}?" if near else ";"
            raise ValueError(f"{of} has no option {name}{guess} it has {', '.join(known) or 'none'}")


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", _NONE: "none"}


def _members(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in _UNION else (kind,)


def _words(kind: Any) -> list[str]:
    """A type in words, alternative by alternative; empty for one that cannot be typed."""
    words: list[str] = []
    for member in _members(kind):
        if get_origin(member) is Literal:
            words += map(str, get_args(member))
        elif get_origin(member) is Sequence and get_args(member)[0] in (int, str):
            words.append("numbers such as 1,2,4" if get_args(member)[0] is int else "words such as a,b")
        elif member in _WORDS:
            words.append(_WORDS[member])
        elif member is not os.PathLike:  # given as text
            return []
    return words


def _value(text: str, kind: Any) -> Any:
    # anything is text, and one number is also a sequence of numbers: these come last
    for member in sorted(_members(kind), key=lambda m: 2 if m is str else get_origin(m) is Sequence):
        found = _matched(text, member)
        if found:
            return found[0]
    raise ValueError(text)


def _matched(text: str, kind: Any) -> list[Any]:
    """The value as a list of one, or an empty list when the text is none of this type."""
    if get_origin(kind) is Literal:
        return [value for value in get_args(kind) if str(value) == text]
    if get_origin(kind) is Sequence:
        parts = [_matched(part.strip(), get_args(kind)[0]) for part in text.strip(",").split(",")]
        return [tuple(part[0] for part in parts)] if all(parts) else []
    if kind is _NONE:
        return [None] if text.lower() == "none" else []
    if kind is bool:
        return [_BOOL[text.lower()]] if text.lower() in _BOOL else []
    if kind in (int, float):
        try:
            return [kind(text)]
        except ValueError:
            return []
    return [text] if kind is str and text else []
