"""Stack files with one fault each, and unusual valid ones."""

import json
from typing import Any, NamedTuple

import pytest

from components.settings.load import SettingsError, parse
from tests.unit.configuration import refusal, settings

Config = dict[str, Any]
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
BUCKETS = {name: f"example-{name}" for name in ("events", "media", "exports", "backups")}
EXTERNAL_STORE: Config = {"mode": "external", "region": "eu-central-1", "buckets": BUCKETS}
EXISTING = {"credentials": {"source": "existing", "secret": "langfuse-credentials"}}
LICENSED = {"license": {"key": {"source": "existing", "secret": "licence", "key": "KEY"}}}
PROVIDER = {"clientId": "x", "clientSecret": {"source": "existing", "secret": "sso", "key": "GOOGLE"}}
STORE = {
    "mode": "external",
    "region": "eu-central-1",
    "buckets": {purpose: f"example-{purpose}" for purpose in ("events", "media", "exports", "backups")},
}
OFF_SITE = {"endpoint": "https://s3.example.com", "bucket": "copies", "secret": "off-site"}


NO_ROUTE: Config = {"kind": "none"}


class Fault(NamedTuple):
    """A configuration with one fault, and what the error says."""

    config: Config
    key: str
    says: str
    stack: str = "dev"


def without(tree: Config, *keys: str) -> Config:
    return {key: value for key, value in tree.items() if key not in keys}


FAULTS = [
    # Unknown keys.
    Fault({"hots": "x"}, "hots", 'is not a known key; did you mean "host"?'),
    Fault({"zzz": "x"}, "zzz", "is not a known key; the keys here are profile, scale, host, version, namespace"),
    Fault({"postgres": {"storge": "5Gi"}}, "postgres.storge", 'is not a known key; did you mean "storage"?'),
    Fault({"postgres": {"storage": "lots"}}, "postgres.storage", 'is not a Kubernetes quantity; write it like "50Gi"'),
    Fault({"postgres": {"storage": "50 GiB"}}, "postgres.storage", 'did you mean "50Gi"?'),
    Fault({"host": ""}, "host", "is not a host name"),
    Fault({"version": "4.16"}, "version", "use an exact release"),
    Fault({"backups": {"postgresSchedule": "0 25 * * *"}}, "backups.postgresSchedule", 'has "25" as hour'),
    Fault({"backups": {"postgresSchedule": "5-1 2 * * *"}}, "backups.postgresSchedule", 'has "5-1" as minute'),
    Fault({"Web": {"replicas": 2}}, "Web", 'is not a known key; did you mean "web"?'),
    Fault({"object_store": {"storage": "1Gi"}}, "object_store", 'did you mean "objectStore"?'),
    Fault({"postgresql": {"storage": "1Gi"}}, "postgresql", 'did you mean "postgres"?'),
    Fault({"stack": "prod"}, "stack", "is not a known key"),
    Fault({"web": {"replica": 2}}, "web.replica", 'did you mean "replicas"?'),
    Fault({"web": {"concurrency": 5}}, "web.concurrency", "is not a known key; the keys here are replicas"),
    Fault({"web": {"resources": {"memroy": "1Gi"}}}, "web.resources.memroy", 'did you mean "memory"?'),
    Fault({"web": {"resources": {"cpu_limit": "2"}}}, "web.resources.cpu_limit", 'did you mean "cpuLimit"?'),
    Fault(
        {"web": {"autoscaling": {"minReplicas": 1, "maxReplicas": 2, "cpu": 50}}},
        "web.autoscaling.cpu",
        "is not a known key; the keys here are minReplicas, maxReplicas, cpuPercent",
    ),
    Fault({"postgres": {"instances": 3}}, "postgres.instances", "is not a known key; the keys here are mode"),
    Fault({"postgres": {"host": "a.example"}}, "postgres.host", "is not a known key"),
    Fault({"postgres": {"mode": "cloudnativepg", "replicas": 3}}, "postgres.replicas", "is not a known key"),
    Fault({"redis": {"mode": "sentinel", "nodes": 3}}, "redis.nodes", "is not a known key"),
    Fault({"objectStore": {"bucket": "x"}}, "objectStore.bucket", "is not a known key"),
    Fault({"backups": {"postgreSchedule": "0 2 * * *"}}, "backups.postgreSchedule", '"postgresSchedule"?'),
    Fault({"credentials": {"values": {"pepper": {"source": "generated"}}}}, "credentials.values.pepper", "known key"),
    Fault({"signIn": {"providers": {"facebook": {}}}}, "signIn.providers.facebook", "is not a known key"),
    Fault(
        {"extraEnv": {"LANGFUSE_LOG_FORMAT": {"valueFrom": "x"}}}, "extraEnv.LANGFUSE_LOG_FORMAT.valueFrom", "known key"
    ),
    Fault({"clients": {"Gateway": {"kind": "sdk"}}}, "clients.Gateway", "is not the name of a client"),
    Fault({"clients": {"a-external": {"kind": "sdk"}}}, "clients.a-external", "is not the name of a client"),
    Fault({"clients": {"app": {}}}, "clients.app.kind", "is required"),
    Fault({"clients": {"app": {"kind": "java"}}}, "clients.app.kind", "\"java\" must be one of 'litellm', 'dify'"),
    Fault({"clients": {"app": {"kind": "sdk", "namspace": "x"}}}, "clients.app.namspace", 'did you mean "namespace"?'),
    Fault({"clients": [{"name": "app"}]}, "clients", "must be a map of keys"),
    Fault(
        {"clients": {"app": {"kind": "sdk", "environment": "langfuse-prod"}}},
        "clients.app.environment",
        'begins with "langfuse", which Langfuse removes',
    ),
    Fault(
        {"clients": {"app": {"kind": "sdk", "environment": "Production EU"}}},
        "clients.app.environment",
        "is not an environment of Langfuse",
    ),
    Fault(
        {"clients": {"app": {"kind": "sdk", "publicKey": {"source": "generated", "epoch": 2}}}},
        "clients.app.secretKey.epoch",
        "1 differs from the epoch of publicKey (2)",
    ),
    # Wrong types.
    Fault({"web": 3}, "web", "3 must be a map of keys"),
    Fault({"web": ["replicas"]}, "web", '["replicas"] must be a map of keys'),
    Fault({"web": None}, "web", "null must be a map of keys"),
    Fault({"web": "{replicas: 3}"}, "web", "must be a map of keys"),
    Fault({"web": {"replicas": "three"}}, "web.replicas", '"three" must be a whole number'),
    Fault({"web": {"replicas": 2.5}}, "web.replicas", "2.5 must be a whole number"),
    Fault({"web": {"replicas": True}}, "web.replicas", "true must be a whole number"),
    Fault({"web": {"replicas": None}}, "web.replicas", "null must be a whole number"),
    Fault({"web": {"resources": "4Gi"}}, "web.resources", '"4Gi" must be a map of keys'),
    Fault({"postgres": {"storage": 50}}, "postgres.storage", "50 must be text: put it in quotes"),
    Fault({"web": {"resources": {"cpu": 2}}}, "web.resources.cpu", "2 must be text: put it in quotes"),
    Fault({"protect": "maybe"}, "protect", '"maybe" must be true or false'),
    Fault({"protect": "yes"}, "protect", '"yes" must be true or false'),
    Fault({"ingress": {"tls": "true"}}, "ingress.tls", '"true" must be true or false'),
    Fault({"network": {"webClients": "istio-system"}}, "network.webClients", '"istio-system" must be a list'),
    Fault({"network": {"webClients": [8]}}, "network.webClients.0", "8 must be text"),
    Fault({"patches": {"kind": "Deployment"}}, "patches", "must be a list"),
    Fault({"extraEnv": ["A=b"]}, "extraEnv", "must be a map of keys"),
    # Numbers out of range.
    Fault({"web": {"replicas": 0}}, "web.replicas", "0 must be at least 1"),
    Fault({"web": {"replicas": 101}}, "web.replicas", "101 must be at most 100"),
    Fault({"worker": {"concurrency": 0}}, "worker.concurrency", "0 must be at least 1"),
    Fault({"backups": {"retentionDays": 0}}, "backups.retentionDays", "0 must be at least 1"),
    Fault({"objectStore": {"exportsDays": -1}}, "objectStore.exportsDays", "-1 must be at least 1"),
    Fault(
        {"web": {"autoscaling": {"minReplicas": 1, "maxReplicas": 4, "cpuPercent": 100}}},
        "web.autoscaling.cpuPercent",
        "100 must be at most 95",
    ),
    Fault({"clickhouse": {"replicas": 2}}, "clickhouse.replicas", "2 must be one of 1 or 3"),
    Fault({"clickhouse": {"keepers": 2}}, "clickhouse.keepers", "2 must be one of 1 or 3"),
    Fault({"objectStore": {"nodes": 3}}, "objectStore.nodes", "3 must be one of 1 or 4"),
    Fault(
        {**EXISTING, "postgres": {"mode": "external", "host": "a.example", "port": 70000}},
        "postgres.port",
        "70000 must be at most 65535",
    ),
    Fault(
        {**LICENSED, **EXISTING, "firstStart": {"projectRetentionDays": 1}},
        "firstStart.projectRetentionDays",
        "1 must be at least 3",
    ),
    Fault({"signIn": {"sessionMinutes": 5}}, "signIn.sessionMinutes", "5"),
    # Unknown choices.
    Fault({"profile": "production"}, "profile", '"production" is not a profile; choose one of dev, preview'),
    Fault({}, "profile", '"qa" is not a profile; choose one of dev', stack="qa"),
    Fault({"scale": "huge"}, "scale", '"huge" is not a scale; choose one of small, medium, large, xlarge'),
    Fault({"ingress": {"kind": "nginx"}}, "ingress.kind", "\"nginx\" must be one of 'istio', 'gateway-api'"),
    Fault({"application": {"logLevel": "verbose"}}, "application.logLevel", "\"verbose\" must be one of 'trace'"),
    Fault({"postgres": {"mode": "rds"}}, "postgres.mode", "\"rds\" must be one of 'managed', 'cloudnativepg'"),
    Fault({"redis": {"mode": "cluster"}}, "redis.mode", "\"cluster\" must be one of 'managed', 'sentinel'"),
    Fault({"objectStore": {"mode": "s3"}}, "objectStore.mode", "\"s3\" must be one of 'managed', 'external'"),
    Fault({"ingestion": {"phase": "v4"}}, "ingestion.phase", "\"v4\" must be one of 'legacy', 'dual'"),
    Fault(
        {"credentials": {"values": {"salt": {"source": "vault"}}}},
        "credentials.values.salt.source",
        "\"vault\" must be one of 'generated'",
    ),
    # Missing values.
    Fault({"postgres": {"mode": "external"}}, "postgres.host", "is required: set it in the stack file"),
    Fault({"clickhouse": {"mode": "external"}}, "clickhouse.host", "is required"),
    Fault({**EXISTING, "redis": {"mode": "external"}}, "redis.host", "is required with topology single"),
    Fault(
        {**EXISTING, "redis": {"mode": "external", "topology": "cluster"}},
        "redis.nodes",
        'is required with topology cluster; list "host:port"',
    ),
    Fault(
        {**EXISTING, "redis": {"mode": "external", "topology": "sentinel", "nodes": ["a.example:26379"]}},
        "redis.masterName",
        "is required with topology sentinel",
    ),
    Fault({**EXISTING, "objectStore": without(EXTERNAL_STORE, "region")}, "objectStore.region", "is required"),
    Fault({**EXISTING, "objectStore": without(EXTERNAL_STORE, "buckets")}, "objectStore.buckets", "is required"),
    Fault(
        {**EXISTING, "objectStore": {**EXTERNAL_STORE, "buckets": without(BUCKETS, "media")}},
        "objectStore.buckets.media",
        "is required",
    ),
    Fault({"web": {"autoscaling": {"minReplicas": 2}}}, "web.autoscaling.maxReplicas", "is required"),
    Fault(
        {"credentials": {"values": {"salt": {"secret": "a", "key": "b"}}}},
        "credentials.values.salt.source",
        "is required: it decides which other keys exist",
    ),
    Fault({"credentials": {"source": "existing"}}, "credentials.secret", "is required with source existing"),
    Fault(
        {"credentials": {"source": "external-secrets"}},
        "credentials.secretStore",
        "is required with source external-secrets",
    ),
    # Malformed text.
    Fault({"host": "https://langfuse.example.com/"}, "host", 'did you mean "langfuse.example.com"?'),
    Fault({"host": "langfuse.example.com:443"}, "host", 'did you mean "langfuse.example.com"?'),
    Fault({"host": "lang_fuse.example.com"}, "host", "is not a host name"),
    Fault({"host": "Langfuse.example.com"}, "host", "use lower-case letters"),
    Fault({"host": "a" * 64 + ".example.com"}, "host", "is not a host name"),
    Fault({"host": ".".join(["abcdefghi"] * 26)}, "host", "is not a host name"),
    Fault({"host": "langfuse..example.com"}, "host", "is not a host name"),
    Fault({"version": "4"}, "version", "use an exact release"),
    Fault({"version": "latest"}, "version", "use an exact release"),
    Fault({"version": "v4.16.0"}, "version", 'did you mean "4.16.0"?'),
    Fault({"version": "2.95.1"}, "version", "use 3.x or 4.x"),
    Fault({"namespace": "Langfuse"}, "namespace", "is not a Kubernetes name"),
    Fault({"namespace": "langfuse_prod"}, "namespace", "is not a Kubernetes name"),
    Fault({"namespace": "a" * 64}, "namespace", "at most 63"),
    Fault({"namespace": "default"}, "namespace", "belongs to the cluster"),
    Fault({"namespace": "kube-langfuse"}, "namespace", "belongs to the cluster"),
    Fault({"namespace": "istio-system"}, "namespace", "belongs to the cluster"),
    Fault({"createNamespace": "no"}, "createNamespace", '"no" must be true or false'),
    Fault({"ingress": {"gateway": "public"}}, "ingress.gateway", "is not `namespace/name` of a Gateway"),
    Fault({"postgres": {"storage": "50GB"}}, "postgres.storage", 'did you mean "50Gi"?'),
    Fault({"postgres": {"storage": "50 Gi"}}, "postgres.storage", "is not a Kubernetes quantity"),
    Fault({"postgres": {"storage": "-5Gi"}}, "postgres.storage", "is negative"),
    Fault({"postgres": {"storage": "50"}}, "postgres.storage", "add the unit"),
    Fault({"redis": {"storage": "500m"}}, "redis.storage", 'did you mean "500Mi"?'),
    Fault({"web": {"resources": {"cpu": "4Gi"}}}, "web.resources.cpu", "is not a number of cores"),
    Fault({"web": {"resources": {"cpu": "0"}}}, "web.resources.cpu", "is not a number of cores"),
    Fault({"backups": {"postgresSchedule": "daily"}}, "backups.postgresSchedule", "a schedule has 5"),
    Fault({"backups": {"clickhouseSchedule": "61 2 * * *"}}, "backups.clickhouseSchedule", "takes 0 to 59"),
    Fault({"backups": {"clickhouseSchedule": "0 2 0 * *"}}, "backups.clickhouseSchedule", "takes 1 to 31"),
    Fault({"backups": {"clickhouseSchedule": "0 2 * * 7"}}, "backups.clickhouseSchedule", "takes 0 to 6"),
    Fault({"backups": {"clickhouseSchedule": "0 2 30 2 *"}}, "backups.clickhouseSchedule", "never comes"),
    Fault({"backups": {"postgresSchedule": "0 2 31 4,6,9,11 *"}}, "backups.postgresSchedule", "never comes"),
    Fault({"backups": {"postgresSchedule": "@daily"}}, "backups.postgresSchedule", "has 1 field, a schedule has 5"),
    Fault({"backups": {"clickhouseSchedule": "0 2 29 2 *"}}, "backups.clickhouseSchedule", "back up more often"),
    Fault({"firstStart": {"ownerEmail": "nobody"}}, "firstStart.ownerEmail", "is not a valid email address"),
    Fault({"firstStart": {"organization": ""}}, "firstStart.organization", "must not be empty"),
    Fault({"clickhouse": {"version": "latest"}}, "clickhouse.version", "is not an exact release"),
    Fault({"postgres": {"version": "17"}}, "postgres.version", "is not an exact release"),
    Fault(
        {**EXISTING, "postgres": {"mode": "external", "host": "a.example", "ca": "/etc/ca.pem"}},
        "postgres.ca",
        "is not PEM",
    ),
    Fault(
        {**EXISTING, "redis": {"mode": "external", "topology": "cluster", "nodes": ["a.example"]}},
        "redis.nodes",
        '"a.example" is not "host:port"',
    ),
    Fault(
        {**EXISTING, "objectStore": {**EXTERNAL_STORE, "endpoint": "s3.example.com"}},
        "objectStore.endpoint",
        'write it like "https://s3.example.com"',
    ),
    Fault(
        {**EXISTING, "objectStore": {**EXTERNAL_STORE, "buckets": {**BUCKETS, "media": "My_Bucket"}}},
        "objectStore.buckets.media",
        "is not a bucket name",
    ),
    Fault({"allowedTargets": {"llm": {"ips": ["10.0.0"]}}}, "allowedTargets.llm.ips.0", "is not an IP address"),
    Fault({"allowedTargets": {"llm": {"ips": ["169.254.169.254"]}}}, "allowedTargets.llm.ips.0", "metadata"),
    Fault({"allowedTargets": {"llm": {"ranges": ["10.0.0.0/8"]}}}, "allowedTargets.llm.ranges.0", "at most a /16"),
    Fault({"allowedTargets": {"llm": {"hosts": ["*.example.com"]}}}, "allowedTargets.llm.hosts.0", "has a wildcard"),
    Fault(
        {"allowedTargets": {"llm": {"pods": [{"namespace": "gateway", "port": 4000}]}}},
        "allowedTargets.llm.pods.0.labels",
        "is required",
    ),
    Fault(
        {"allowedTargets": {"llm": {"pods": [{"namespace": "gateway", "labels": {}, "port": 4000}]}}},
        "allowedTargets.llm.pods.0.labels",
        "must not be empty",
    ),
    Fault(
        {"allowedTargets": {"llm": {"pods": [{"namespace": "gateway", "labels": {"app": "-"}, "port": 4000}]}}},
        "allowedTargets.llm.pods.0.labels.app",
        '"-" is not a label value',
    ),
    Fault(
        {"allowedTargets": {"llm": {"pods": [{"namespace": "gateway", "labels": {"app": "litellm"}, "port": "http"}]}}},
        "allowedTargets.llm.pods.0.port",
        '"http" must be a whole number',
    ),
    # Conflicting values.
    Fault(
        {"allowedTargets": {"llm": {"pods": [{"namespace": "gateway", "labels": {"app": "litellm"}, "port": 4000}]}}},
        "allowedTargets.llm.pods",
        "have no effect, because Langfuse refuses their addresses; add the name",
    ),
    Fault({"namespace": "edge", "ingress": {"gateway": "edge/public"}}, "namespace", "contains the gateway"),
    Fault(
        {"web": {"resources": {"cpu": "2500m"}}},
        "web.resources.cpu",
        '"2500m" is more than cpuLimit (2); raise cpuLimit',
    ),
    Fault(
        {"clickhouse": {"keeperResources": {"cpu": "250m", "cpuLimit": "200m"}}},
        "clickhouse.keeperResources.cpu",
        "raise cpuLimit",
    ),
    Fault(
        {"web": {"autoscaling": {"minReplicas": 5, "maxReplicas": 2}}},
        "web.autoscaling.minReplicas",
        "5 is more than maxReplicas (2); raise maxReplicas",
    ),
    Fault({"clickhouse": {"replicas": 3}}, "clickhouse.keepers", "1 is too few for 3 replicas; set it to 3"),
    Fault({"ingress": {"tls": False}}, "ingress.tls", "would serve prod without TLS", stack="prod"),
    Fault({"ingress": {"kind": "gateway-api"}}, "ingress.gateway", "is required"),
    Fault({"ingress": {"kind": "ingress"}}, "ingress.controller", "is required"),
    Fault({"ingress": {"kind": "none", "gateway": "a/b"}}, "ingress.gateway", "is not a known key"),
    Fault({"ingress": {"kind": "none", "publicUrl": "localhost:3000"}}, "ingress.publicUrl", "is not the URL"),
    Fault({"objectStore": {"eventsDays": 1}}, "objectStore.eventsDays", "set it to 2 or more"),
    Fault(
        {"backups": {"clickhouseSchedule": "0 2 1 * *"}}, "objectStore.eventsDays", "set it to 62 or more, or back up"
    ),
    Fault({"backups": {"clickhouseSchedule": "0 2 31 * *"}}, "objectStore.eventsDays", "set it to 122 or more"),
    Fault(
        {"objectStore": {"eventsDays": 3}, "backups": {"clickhouseSchedule": "0 2 */2 * *"}},
        "objectStore.eventsDays",
        "set it to 4 or more",
    ),
    Fault({"redis": {"storage": "512Mi"}}, "redis.storage", '"512Mi" is less than twice the memory'),
    Fault({"redis": {"resources": {"memory": "4Gi"}}}, "redis.storage", "is less than twice the memory (4Gi)"),
    Fault({"postgres": {"version": "14.2"}}, "postgres.version", '"14.2" is too old for Langfuse 4; use 15 or newer'),
    Fault({"clickhouse": {"version": "25.3.1.1"}}, "clickhouse.version", "use 25.12 or newer"),
    Fault({"clickhouse": {"version": "26.6.1.5"}}, "clickhouse.version", "use 26.6.2.108 or newer"),
    Fault({"redis": {"version": "6.2.1"}}, "redis.version", "use 7.0 or newer"),
    Fault({"ingestion": {"writeMode": "dual"}}, "ingestion.writeMode", "is now langfuse:ingestion.phase"),
    Fault(
        {"ingestion": {"phase": "dual", "acknowledgeEventsOnly": True}},
        "ingestion.acknowledgeEventsOnly",
        "true is for phase events_only, and phase is dual",
    ),
    Fault({"network": {"dns": {"ranges": []}}}, "network.dns", "is now langfuse:cluster.dns; move it there"),
    Fault({"cluster": {"preset": "rancher"}}, "cluster.preset", "\"rancher\" must be one of 'generic', 'kind', 'k3s'"),
    Fault({"cluster": {"preset": ["eks"]}}, "cluster.preset", "must be one of 'generic'"),
    Fault({"cluster": "eks"}, "cluster", "must be a map of keys"),
    Fault({"cluster": {"dns": {"ranges": ["169.254.169.0/30"]}}}, "cluster.dns.ranges.0", "use a single address"),
    Fault({"cluster": {"dns": {"ranges": ["169.254.169.253/32"]}}}, "cluster.dns.ranges.0", "serve credentials"),
    Fault({"cluster": {"dns": {"port": 5353}}}, "cluster.dns.port", 'did you mean "ports"?'),
    Fault({"cluster": {"dns": {"ports": []}}}, "cluster.dns.ports", "must not be empty"),
    Fault({"cluster": {"dns": {"ranges": ["169.254.170.23/32"]}}}, "cluster.dns.ranges.0", "serve credentials"),
    Fault({"cluster": {"dns": {"ranges": ["fd00:ec2::254/128"]}}}, "cluster.dns.ranges.0", "serve credentials"),
    Fault({"cluster": {"dns": {"ranges": ["169.254.20.0/24"]}}}, "cluster.dns.ranges.0", "use a single address"),
    Fault({"cluster": {"dns": {"ranges": ["0.0.0.0/0"]}}}, "cluster.dns.ranges.0", "list the servers"),
    Fault({"cluster": {"dns": {"ranges": ["kube-dns"]}}}, "cluster.dns.ranges.0", "is not an IP range"),
    Fault({"cluster": {"dns": {"namespace": "x"}}}, "cluster.dns.namespace", 'did you mean "namespaces"?'),
    Fault({"network": {"internet": ["169.254.20.10/32"]}}, "network.internet.0", "serve credentials; remove it"),
    Fault({"network": {"internet": ["203.0.113.7/24"]}}, "network.internet.0", "is not an IP range"),
    Fault({"network": {"internet": ["fd00:ec2::254/128"]}}, "network.internet.0", "serve credentials; remove it"),
    Fault({"network": {"internet": ["fe80::/64"]}}, "network.internet.0", "serve credentials; remove it"),
    Fault({"network": {"egress": [{"name": "audit"}]}}, "network.egress.0.ports", "is required"),
    Fault({"network": {"egress": [{"name": "audit", "ports": [6514]}]}}, "network.egress.0", "has no destination"),
    Fault(
        {"network": {"egress": [{"name": "a", "ports": [1], "ranges": ["10.0.0.0/8"], "labels": {"app": "x"}}]}},
        "network.egress.0.labels",
        "have no effect without a namespace",
    ),
    Fault(
        {"network": {"egress": [{"name": "a", "ports": [port], "namespace": "x"} for port in (1, 2)]}},
        "network.egress.1.name",
        "is used twice",
    ),
    Fault(
        {"network": {"egress": [{"name": "a", "ports": [1], "namespace": "x", "workloads": ["api"]}]}},
        "network.egress.0.workloads.0",
        "must be one of",
    ),
    Fault(
        {"signIn": {"providers": {"okta": {"clientId": "x", "issuer": "https://sso.example.com:70000"}}}},
        "signIn.providers.okta.issuer",
        "is not a URL",
    ),
    Fault(
        {"extraEnv": {"LANGFUSE_HTTP_EVAL_WHITELISTED_IPS": "169.254.169.254"}},
        "extraEnv",
        "would let requests of users reach the metadata service",
    ),
    Fault(
        {**EXISTING, "redis": {"mode": "external", "topology": "cluster", "nodes": ["[fd12::1]:6379"]}},
        "redis.nodes",
        "Langfuse can't parse in a list of nodes; use a host name",
    ),
    Fault(
        {**EXISTING, "postgres": {"mode": "external", "host": "[fd12::1]"}},
        "postgres.host",
        'did you mean "fd12::1"?',
    ),
    Fault(
        {**EXISTING, "objectStore": {**STORE, "endpoint": "http://[fd12::1]:9000"}},
        "objectStore.endpoint",
        "set objectStore.forcePathStyle to true",
    ),
    Fault(
        {**EXISTING, "objectStore": {**STORE, "endpoint": "http://[fd12::x]:9000"}},
        "objectStore.endpoint",
        "is not the URL of a server",
    ),
    Fault({"network": {"internet": ["169.254.169.254/32"]}}, "network.internet.0", "serve credentials; remove it"),
    Fault(
        {"backups": {"offSite": {**OFF_SITE, "endpoint": "https://s3.example.com/folder"}}},
        "backups.offSite.endpoint",
        "is not the URL of a server",
    ),
    Fault(
        {"backups": {"offSite": {**OFF_SITE, "recipients": [f"{'age1q'.ljust(62, 'q')}"]}}},
        "backups.offSite.recipients.0",
        "has a typing error: its checksum is wrong",
    ),
    Fault(
        {"backups": {"offSite": {**OFF_SITE, "recipients": ["AGE-SECRET-KEY-1QQPQ"]}}},
        "backups.offSite.recipients.0",
        '"[secret]" is no X25519 recipient of age',
    ),
    Fault(
        {**EXISTING, "objectStore": EXTERNAL_STORE, "backups": {"offSite": {**OFF_SITE, "bucket": "example-backups"}}},
        "backups.offSite.bucket",
        '"example-backups" is a bucket of this installation',
    ),
    Fault({"firstStart": {"projectRetentionDays": 30}}, "firstStart.projectRetentionDays", "without an Enterprise"),
    Fault({"signIn": {"password": False}}, "signIn.password", "leaves no way to sign in"),
    Fault({"signIn": {"signUp": True}}, "signIn.signUp", "lets anybody who can reach prod register", stack="prod"),
    Fault({"signIn": {"emailVerification": True}}, "signIn.emailVerification", "true requires mail; add mail"),
    Fault(
        {"signIn": {"providers": {"google": {"clientId": "x"}}}}, "signIn.providers.google.clientSecret", "is required"
    ),
    Fault(
        {"postgres": {"mode": "external", "host": "a.example"}},
        "credentials.values.postgresPassword",
        "set source to existing or external-secrets",
    ),
    Fault(
        {"credentials": {"values": {"salt": {"source": "generated", "epoch": 2}}}},
        "credentials.values.salt.epoch",
        "2 is not possible",
    ),
    Fault(
        {"patches": [{"kind": "Secret", "name": "x", "patch": {"data": {"A": "Yg=="}}}]},
        "patches.0.patch",
        "would write the data of a Secret",
    ),
    Fault(
        {"patches": [{"kind": "Deployment", "name": "langfuse-web", "patch": {"spec": {"replicas": 50}}}]},
        "patches.0.patch.spec.replicas",
        "is set by langfuse:web.replicas, from which other numbers follow",
    ),
    Fault({"ingress": NO_ROUTE | {"publicUrl": "http://[::1"}}, "ingress.publicUrl", "has an IPv6 address"),
    Fault({"ingress": NO_ROUTE | {"publicUrl": "http://[::1]:3000"}}, "ingress.publicUrl", "has an IPv6 address"),
    Fault({"ingress": NO_ROUTE | {"publicUrl": "https://a.example/b"}}, "ingress.publicUrl", "without a path"),
    Fault({"ingress": NO_ROUTE | {"publicUrl": "http://localhost:3000/"}}, "ingress.publicUrl", "without a path"),
    Fault({"ingress": NO_ROUTE | {"publicUrl": 3000}}, "ingress.publicUrl", "must be text"),
    Fault({"signIn": {"sessionMinutes": 1}}, "signIn.sessionMinutes", "1 must be more than 5"),
]


def name(fault: Fault) -> str:
    return f"{fault.stack} {json.dumps(fault.config)}"


def test_every_fault_is_listed_once() -> None:
    assert len({name(fault) for fault in FAULTS}) == len(FAULTS) >= 80


@pytest.mark.parametrize("fault", FAULTS, ids=name)
def test_one_fault_gives_one_message_with_key_and_rule(fault: Fault) -> None:
    heading, *problems = refusal(fault.config, fault.stack).splitlines()
    if problems:
        assert heading == f"1 problem in the configuration of stack {fault.stack}:"
    else:
        problems = [heading]
    assert len(problems) == 1
    assert problems[0].strip().startswith(f"langfuse:{fault.key}: ")
    assert fault.says in problems[0]


def test_a_missing_host_is_the_only_fault_of_an_empty_stack() -> None:
    with pytest.raises(SettingsError, match=r"1 problem.*\n  langfuse:host: is required: set it in the stack file$"):
        parse("dev", {})


RIGHT: list[Config] = [
    {"postgres": {"storage": "1.5Ti"}},
    {"postgres": {"storage": "500G"}},
    {"ingress": NO_ROUTE | {"publicUrl": "http://langfuse.example.com:8080"}},
    {"web": {"resources": {"cpu": "1.5"}}},
    {"web": {"resources": {"ephemeralStorage": "1Gi"}}},
    {"backups": {"postgresSchedule": "*/15 0-6,22 1 */2 0"}},
    {"backups": {"postgresSchedule": "0 2 * jan-dec MON,sun"}},
    {"backups": {"clickhouseSchedule": "0 2 */2 * *"}},
    {"objectStore": {"eventsDays": 4}, "backups": {"clickhouseSchedule": "0 2 */2 * *"}},
    {"objectStore": {"eventsDays": 122}, "backups": {"clickhouseSchedule": "0 2 31 * *"}},
    {"version": "3.225.4"},
    {"version": "3.225.4", "postgres": {"version": "12.20"}},
    {"version": "3.225.4", "clickhouse": {"version": "24.3.1.1"}},
    {"host": "langfuse.localhost"},
    {"host": "xn--bcher-kva.example"},
    {"host": "localhost"},
    {"namespace": "0"},
    {"namespace": "kubeflow", "createNamespace": False},
    {"web": {"resources": {"cpu": "2000m", "cpuLimit": "2"}}},
    {"ingress": {"kind": "none"}},
    {"ingress": {"kind": "none", "tls": False}, "profile": "prod"},
    {"network": {"webClients": []}},
    {"ingress": {"kind": "none", "bucketUrl": "http://localhost:9000"}},
    {"ingress": {"kind": "gateway-api", "gateway": "gateways/public", "redirectListeners": ["http"]}},
    {"ingress": {"kind": "gateway-api", "gateway": "gateways/public", "tls": False}},
    {"ingress": {"kind": "gateway-api", "gateway": "gateways/public", "proxy": {"ranges": ["35.191.0.0/16"]}}},
    {"ingress": {"kind": "ingress", "controller": "nginx", "className": "nginx", "tlsSecret": "langfuse-tls"}},
    {
        "ingress": {"kind": "ingress", "controller": "nginx", "proxy": {"mesh": False}},
        "mesh": {"mode": "sidecar", "revision": "1-27", "outsideClients": []},
    },
    {"network": {"webClients": ["apps"]}, "mesh": {"outsideClients": ["apps"]}},
    {"scale": "xlarge"},
    {"profile": "prod", "scale": "small"},
    {"profile": "preview", "clickhouse": {"replicas": 3, "keepers": 3}},
    {"clickhouse": {"keepers": 3}},
    {"clickhouse": {"version": "26.6.2.108"}},
    {"redis": {"mode": "sentinel", "version": "7.2.11"}},
    {"postgres": {"mode": "cloudnativepg", "instances": 1}},
    {"web": {"replicas": 3, "autoscaling": {"minReplicas": 4, "maxReplicas": 4}}},
    {"web": '{"replicas": 3}', "protect": "true"},
    {**EXISTING, "postgres": {"mode": "external", "host": "10.0.0.5", "tls": "verify", "ca": PEM + PEM}},
    {
        **EXISTING,
        "postgres": {"mode": "external", "host": "pooler", "pooler": True, "directHost": "db", "directPort": 5433},
    },
    {**EXISTING, "clickhouse": {"mode": "external", "host": "abc.eu.clickhouse.cloud", "httpPort": 443}},
    {**EXISTING, "redis": {"mode": "external", "topology": "cluster", "nodes": ["a.example:6379", "10.0.0.1:6380"]}},
    {**EXISTING, "objectStore": {**EXTERNAL_STORE, "endpoint": "http://minio.storage:9000", "forcePathStyle": True}},
    {**EXISTING, "objectStore": {**EXTERNAL_STORE, "identity": "workload", "encryption": "aws:kms", "kmsKeyId": "k"}},
    {"ingestion": {"phase": "backfill"}},
    {"firstStart": {"organization": "Bücher & Söhne", "ownerName": "O'Brien"}},
    {"signIn": {"providers": {"google": PROVIDER}}},
    {"extraEnv": {"LANGFUSE_S3_CONCURRENT_WRITES": "100"}},
    {"patches": [{"kind": "Deployment", "name": "langfuse-web", "patch": {"spec": {"paused": None}}}]},
]


@pytest.mark.parametrize("config", RIGHT, ids=json.dumps)
def test_an_unusual_valid_stack_is_accepted(config: Config) -> None:
    chosen = settings(config)
    assert chosen.host == config.get("host", "langfuse.example.com")


def test_there_are_enough_valid_stacks() -> None:
    assert len(RIGHT) >= 20
