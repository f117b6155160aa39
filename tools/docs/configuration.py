"""Renders `docs/configuration.md`, the reference of all keys, from the models that validate stack files."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from pydantic import BaseModel, JsonValue

from components.schema.base import Model
from components.schema.environment import PROJECT, Settings
from components.settings.clusters import CLUSTERS, DEFAULT
from components.settings.profiles import PROFILES
from components.settings.scales import LOADS, SCALES
from tools.docs.fields import COMPUTED, Key, discriminator, is_set, keys, required_keys, stack_file_default, type_text

Path = tuple[str, ...]

INTRODUCTION = f"""# Configuration

This page lists every key of a stack file. `make docs` generates it from the models in `components/schema/`.

A stack file states only what differs from its profile (`{PROJECT}:profile`, or the name of the stack) and from its
scale (`{PROJECT}:scale`, or the scale of the profile). Unknown keys and wrong values are refused before anything is
changed.

```yaml
config:
  {PROJECT}:host: langfuse.example.com
  {PROJECT}:web:
    replicas: 3
```

The command `pulumi config set --path '{PROJECT}:web.replicas' 3` has the same effect.

[`docs/examples/every-key.yaml`](examples/every-key.yaml) shows every key in place. Editors with the YAML language
server complete and check stack files by `stacks/schema.json`, which the first line of each stack file names.
"""


def render() -> str:
    """The reference as Markdown."""
    top = list(keys(Settings))
    shared = _parts()
    plain = [((key.name,), key) for key in top if not key.models]
    sections = [INTRODUCTION, "## Top-level keys\n\n" + _table(plain, ())]
    for key in top:
        if key.models:
            sections += _section(key, shared)
    sections.append("## Parts\n\nParts that are used by several keys.\n")
    required = required_keys()
    for model in shared:
        sections.append(_part(model, shared, required.get(model.__name__)))
    return "\n".join([*sections, _clusters(), _scales()])


def _section(key: Key, shared: Sequence[type[BaseModel]]) -> Iterator[str]:
    heading = f"## `{PROJECT}:{key.name}`\n" + (f"\n{key.description}\n" if key.description else "")
    path = (key.name, *_inside(key))
    if len(key.models) == 1:
        yield f"{heading}\n{_doc(key.models[0])}\n\n" + _table(_leaves(key.models[0], path, shared), path)
        return
    yield heading
    for model in key.models:
        name, value = discriminator(model) or ("", model.__name__)
        fitting = [profile for profile in PROFILES if stack_file_default(profile, (*path, name)) == value]
        default = f" (default in {', '.join(fitting)})" if fitting else ""
        title = f"### `{name}: {value}`{default}\n\n{_doc(model)}\n\n"
        rows = [(at, field) for at, field in _leaves(model, path, shared) if at != (*path, name)]
        yield title + _table(rows, path)


def _part(model: type[BaseModel], shared: Sequence[type[BaseModel]], required: set[str] | None) -> str:
    """The section of a model that several keys use, without the keys of its base class."""
    choice = discriminator(model)
    above = [base for base in model.__bases__ if base in shared]
    text = f"### {model.__name__}\n\n" + (f"`{choice[0]}: {choice[1]}`. " if choice else "") + _doc(model)
    text += "".join(f" It also has the keys of {_link(base)}." for base in above) + "\n\n"
    inherited = {key.name for base in above for key in keys(base)}
    lines = [
        _row(
            at,
            key,
            _own_default(key)
            if required is None or not key.required or key.name in required
            else "[by scale](#scales)",
        )
        for at, key in _leaves(model, (), shared)
        if at[0] not in inherited and at[0] != (choice or [None])[0]
    ]
    return text + _markdown(["Key", "Value", "Default", "Meaning"], lines)


def _leaves(model: type[BaseModel], path: Path, shared: Sequence[type[BaseModel]]) -> Iterator[tuple[Path, Key]]:
    """The keys of a model with their paths. Keys of a model that only one key uses are shown with this key."""
    for key in keys(model):
        at = (*path, key.name)
        if not key.models or all(part in shared for part in key.models):
            yield at, key
            continue
        if key.container:
            yield (
                at,
                replace(key, annotation=list[dict[str, object]]),
            )  # a row for the list itself; its items have rows of their own
        for part in key.models:
            yield from _leaves(part, (*at, *_inside(key)), shared)


def _inside(key: Key) -> Path:
    """The part of a path that stands for any item of a list or map."""
    return {"list": ("[]",), "map": ("<name>",)}.get(key.container, ())


def _table(rows: Iterable[tuple[Path, Key]], path: Path) -> str:
    lines = [_row(at[len(path) :], key, _default(at, key)) for at, key in rows]
    return _markdown(["Key", "Value", "Default", "Meaning"], lines)


def _row(at: Path, key: Key, default: str) -> Sequence[str]:
    meaning = key.description or " ".join(map(_doc, key.models[:1]))
    return [f"`{'.'.join(at).replace('.[]', '[]')}`", _kind(key), default, meaning]


def _markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows) + "\n"


def _kind(key: Key) -> str:
    if not key.models:
        return type_text(key.annotation)
    return " or ".join(map(_link, key.models))


def _link(model: type[BaseModel]) -> str:
    return f"[{model.__name__}](#{model.__name__.lower()})"


def _own_default(key: Key) -> str:
    return "**required**" if key.required else _shown(key.default) if is_set(key.default) else ""


def _default(at: Path, key: Key) -> str:
    if at in COMPUTED:
        return COMPUTED[at]
    if all(_lookup(scale, at) is not None for scale in SCALES.values()):
        return "[by scale](#scales)"
    if at[0] == "cluster" and any(_lookup(preset, at[1:]) is not None for preset in CLUSTERS.values()):
        own = "" if _lookup(CLUSTERS[DEFAULT], at[1:]) is not None else _own_default(key)
        return f"{own}; [by preset](#clusters)" if own else "[by preset](#clusters)"
    by_profile = {profile: stack_file_default(profile, at) for profile in PROFILES}
    texts = {
        profile: _own_default(key) if value is None or key.models else _shown(value)
        for profile, value in by_profile.items()
    }
    most, _ = Counter(texts.values()).most_common(1)[0]
    others = [f"{profile}: {text}" for profile, text in texts.items() if text != most]
    return "; ".join([most, *others])


def _clusters() -> str:
    """The table of all values that the preset of a cluster sets."""
    paths = dict.fromkeys(path for preset in CLUSTERS.values() for path in _paths(preset))
    rows = [
        [f"`{name}`", *(_shown(value) if (value := _lookup(preset, path)) is not None else "" for path in paths)]
        for name, preset in CLUSTERS.items()
    ]
    table = _markdown(["", *(f"`{'.'.join(path)}`" for path in paths)], rows)
    return (
        f"## Clusters\n\nThe values that `{PROJECT}:cluster.preset` sets. Each value can also be set by\n"
        f"itself. An empty field is the default of the key.\n\n{table}"
    )


def _scales() -> str:
    """The table of all values that a scale sets."""
    names = list(SCALES)
    rows = [
        ["Events per second", *(f"{LOADS[name].events_per_second:g}" for name in names)],
        ["Retained days", *(str(LOADS[name].retained_days) for name in names)],
    ]
    rows += [
        [f"`{'.'.join(path)}`", *(_shown(_lookup(SCALES[name], path)) for name in names)]
        for path in _paths(SCALES[names[0]])
    ]
    return (
        f"## Scales\n\nThe values that `{PROJECT}:scale` sets, and the load that each scale is meant for. Each value\n"
        "can also be set by itself. `python -m operations sizing` chooses a scale for a load and shows the\n"
        "calculation.\n\n" + _markdown(["", *(f"`{name}`" for name in names)], rows)
    )


def _paths(tree: JsonValue, path: Path = ()) -> Iterator[Path]:
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from _paths(value, (*path, name))
    else:
        yield path


def _lookup(tree: JsonValue, path: Path) -> JsonValue:
    for part in path:
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def _parts() -> list[type[BaseModel]]:
    """Models with their own section: those used by several keys, those that extend another model, and their bases."""
    found: Counter[type[BaseModel]] = Counter()

    def walk(model: type[BaseModel]) -> None:
        for key in keys(model):
            for part in key.models:
                bases = [base for base in part.__mro__[:0:-1] if issubclass(base, Model) and base is not Model]
                found.update([*bases, *bases, part, *bases[:1]])
                walk(part)

    for key in keys(Settings):
        for model in key.models:
            walk(model)
    return [model for model, places in found.items() if places > 1]


def _doc(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _shown(value: object) -> str:
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"
