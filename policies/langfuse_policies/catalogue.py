"""All rules, in the order in which they are documented and run."""

from langfuse_policies import (
    apiversions,
    availability,
    budgets,
    capacity,
    confinement,
    cronjobs,
    labels,
    members,
    namespaces,
    pods,
    privileges,
    probes,
    references,
)
from langfuse_policies.rules import by_id

TOPICS = [
    pods.rules,
    privileges.rules,
    confinement.rules,
    namespaces.rules,
    labels.rules,
    references.rules,
    apiversions.rules,
    capacity.rules,
    probes.rules,
    availability.rules,
    budgets.rules,
    members.rules,
    cronjobs.rules,
]

RULES = by_id(TOPICS)
