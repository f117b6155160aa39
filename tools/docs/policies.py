"""Renders docs/policies.md from the policies and from their levels in each environment."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from langfuse_policies.catalogue import TOPICS
from langfuse_policies.engine.policy import Policy, Topic
from langfuse_policies.levels import configured, level

CHECKOUT: Final = Path(__file__).parents[2]
CONFIG: Final = CHECKOUT / "policies" / "config"
ENVIRONMENTS: Final = ("prod", "staging", "dev")
OFFICIAL_CHART: Final = Path(__file__).parent / "official-chart.json"

INTRODUCTION = """# Policies

The checks of the two policy packs in `policies/`. `make docs` generates this page from the policies in
`policies/langfuse_policies/rules/` and from the levels in `policies/config/`. The packs work on every Kubernetes stack;
policies marked *Langfuse* report nothing where Langfuse is not deployed.

```
make policy STACK=prod          # preview a stack with both packs, at the levels of its profile
make policy-state STACK=prod    # check the state of a deployed stack, in which every value is known
```

To use the packs in another project, with levels of your own:

```
pulumi preview --policy-pack policies/security    --policy-pack-config policies/config/prod.json \\
               --policy-pack policies/reliability --policy-pack-config policies/config/prod.json
```

Without a configuration every policy is advisory. A configuration sets `"POLICY": "mandatory"`, `"advisory"`,
`"disabled"`, or `"remediate"` where the policy can be remediated; `"all"` sets the level of every policy without an
entry of its own. Settings are in the same entry as the level:
`"POLICY": {"enforcementLevel": "mandatory", "seconds": 180}`.

**Unknown values.** In a preview, some values depend on resources that do not exist yet. The policies check every known
field; `security-not-checked` and `reliability-not-checked` list the paths of the others. During `pulumi up` the same
policies run again when the values are known, before the resource is created.

**Waivers** are in `policies/waivers.yaml`. Each names a policy, a pattern for `STACK/KIND/NAME`, a reason, an owner and
the last day on which it holds. A waiver that matches a finding is reported; an expired or unused waiver is a violation;
a malformed one is an error. `LANGFUSE_POLICIES_WAIVERS` sets another file.

**Limits.** Pulumi does not pass the option `retainOnDelete` to policies: `tests/unit/stores` check it for every
resource that holds data. An admission controller with access to the registry can verify the signature of an image; a
preview can't.

Findings contain paths, never values, because policies receive secrets in plain text.
"""


def render() -> str:
    """The reference as Markdown."""
    levels = {environment: _levels(environment) for environment in ENVIRONMENTS}
    chart: dict[str, Any] = json.loads(OFFICIAL_CHART.read_text())
    sections = [INTRODUCTION, _chart(chart)]
    for topic in TOPICS:
        sections += _topic(topic, levels, chart["findings"])
    return "\n".join(sections)


def _levels(environment: str) -> Mapping[str, str]:
    return {policy: level(entry) for policy, entry in configured(CONFIG / f"{environment}.json").items()}


def _chart(chart: Mapping[str, Any]) -> str:
    broken = sum(1 for found in chart["findings"].values() if found)
    return f"""## The official chart

The same policies on what the official Helm chart {chart["chart"]} (application {chart["application"]}) renders at its
default values, {chart["objects"]} objects: **{broken} of {len(chart["findings"])} policies object**.
Policies on options of Pulumi are left out.
"""


def _topic(topic: Topic, levels: Mapping[str, Mapping[str, str]], chart: Mapping[str, int]) -> Iterator[str]:
    yield f"## {topic.title}\n\nPack `{topic.pack}`.\n"
    yield "| Policy | What holds | Severity | prod / staging / dev |\n| --- | --- | --- | --- |"
    for policy in topic.policies:
        by_environment = " / ".join(levels[environment][policy.id] for environment in ENVIRONMENTS)
        yield f"| [`{policy.id}`](#{policy.id}) | {policy.title} | {policy.severity.value} | {by_environment} |"
    yield ""
    for policy in topic.policies:
        yield from _policy(policy, chart)


def _policy(policy: Policy, chart: Mapping[str, int]) -> Iterator[str]:
    yield f"### {policy.id}\n\n{policy.why}\n\n*Fix:* {policy.fix}\n"
    notes = ["the whole stack" if policy.scope == "stack" else "each resource"]
    notes += ["Langfuse"] if policy.langfuse else []
    notes += ["can be remediated"] if policy.remedy else []
    if found := chart.get(policy.id):
        notes.append(f"official chart: {found} finding{'s' if found > 1 else ''}")
    yield f"*{'; '.join(notes)}.*" + (f" Also in: {', '.join(policy.also_in)}." if policy.also_in else "") + "\n"
    if policy.settings:
        yield "| Setting | Default | Meaning |\n| --- | --- | --- |"
        for key, schema in policy.settings.schema().items():
            yield f"| `{key}` | `{json.dumps(schema['default'])}` | {schema['description']} |"
        yield ""
