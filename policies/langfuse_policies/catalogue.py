"""All rules, in the order in which they are documented and run."""

from langfuse_policies import pods
from langfuse_policies.rules import by_id

TOPICS = [pods.rules]

RULES = by_id(TOPICS)
