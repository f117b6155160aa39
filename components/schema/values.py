"""The types of configuration values. An error says what is wrong with a value and what a correct value is."""

import ipaddress
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, EmailStr, Field

from components.schema import schedules
from components.schema.policy_library import METADATA_SERVER, parse_quantity

LINK_LOCAL = ipaddress.IPv4Network("169.254.0.0/16")
"""Contains the metadata services of clouds, which serve credentials."""

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_OUTSIDE_LINK_LOCAL = [ipaddress.IPv4Network(address) for address in ("100.100.100.200", "168.63.129.16")]
"""Metadata services of Alibaba Cloud (alibabacloud.com/help/ecs, instance metadata), and the WireServer of Azure, which
serves the bootstrap credentials of nodes
(learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16)."""

NEVER_CALLED: Sequence[IpNetwork] = (
    LINK_LOCAL,
    *_OUTSIDE_LINK_LOCAL,
    *map(
        ipaddress.IPv6Network,
        (
            "fe80::/10",
            "fd00:ec2::/32",  # AWS (docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html)
            "fd20:ce::/32",  # Google Cloud (docs.cloud.google.com/compute/docs/metadata/querying-metadata)
            "fd00:c1::/32",  # Oracle Cloud (docs.oracle.com/en-us/iaas/Content/Compute/Tasks/gettingmetadata.htm)
            "64:ff9b::a9fe:0/112",  # 169.254.0.0/16 through NAT64 (RFC 6052)
        ),
    ),
)
"""Link-local addresses, and addresses of metadata services: no rule for a larger range includes them."""

METADATA_SERVICES: Sequence[IpNetwork] = (
    ipaddress.ip_network("169.254.169.0/24"),  # for machines: AWS, Google Cloud, Azure and others
    ipaddress.ip_network("169.254.170.0/24"),  # for tasks and pods in AWS
    ipaddress.ip_network("fd00:ec2::/112"),
    *_OUTSIDE_LINK_LOCAL,
)

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def contains(outer: IpNetwork, inner: IpNetwork) -> bool:
    """Whether a range of addresses contains another one. No range contains one of the other version of IP."""
    if isinstance(outer, ipaddress.IPv4Network) and isinstance(inner, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(outer, ipaddress.IPv6Network) and isinstance(inner, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False


def quantity_value(text: str) -> Decimal:
    """The value of a Kubernetes quantity: bytes for memory and storage, cores for CPU.

    Raises:
        ValueError: The API server would refuse the text.
    """
    value = parse_quantity(text)
    if value is None:
        guess = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKmMgGtTpP])(?:i?[bB])?\s*", text)
        hint = f'; did you mean "{guess[1]}{guess[2].upper()}i"?' if guess else '; write it like "50Gi" or "500m"'
        raise ValueError(f"is not a Kubernetes quantity{hint}")
    return value


def _bytes(text: str) -> str:
    value = quantity_value(text)
    if text.endswith("m"):
        raise ValueError('is in thousandths of a byte; did you mean "' + text[:-1] + 'Mi"?')
    if value < 0:
        raise ValueError('is negative; write it like "50Gi"')
    if value < 1024**2:
        raise ValueError('is less than "1Mi"; add the unit, as in "50Gi"')
    return text


def _cpu(text: str) -> str:
    if not 0 < quantity_value(text) <= 1000:  # noqa: PLR2004  # no node has more cores
        raise ValueError('is not a number of cores; write it like "500m" or "2"')
    return text


def release(version: str) -> tuple[int, ...]:
    """The numbers of a release, for comparisons: (4, 16, 0) for `4.16.0`."""
    return tuple(int(number) for number in re.findall(r"\d+", version.split("-", maxsplit=1)[0]))


def _version(text: str) -> str:
    match = _VERSION.fullmatch(text)
    if match is None:
        found = re.search(r"\d+\.\d+\.\d+", text)
        hint = f'did you mean "{found[0]}"?' if found else 'use an exact release, as in "4.82.0": floating tags change'
        raise ValueError(f"is not a Langfuse release; {hint}")
    if int(match[1]) not in {3, 4}:
        raise ValueError("is not a supported Langfuse release; use 3.x or 4.x")
    return text


def _store_version(text: str) -> str:
    if not (re.fullmatch(r"\d+\.\d+[A-Za-z0-9._-]*", text) or re.fullmatch(r"RELEASE\.\d{4}-\d\d-\d\dT[\d-]+Z", text)):
        raise ValueError('is not an exact release; include the minor version, as in "17.10"')
    return text


def _http_url(text: str) -> str:
    match = re.fullmatch(r"https?://([a-z0-9.-]+|\[([0-9a-f:.]+)\])(:\d{1,5})?", text)
    if match is None or (match[2] and not _is_ipv6(match[2])) or not _has_port(text):
        raise ValueError('is not the URL of a server (no path); write it like "https://s3.example.com"')
    return text


def _public_url(text: str) -> str:
    """What browsers open: cookies, callbacks and certificates have its host."""
    if "[" in text:
        raise ValueError('has an IPv6 address; use a name, as in "http://localhost:3000"')
    if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d{1,5})?", text) or not _has_port(text):
        raise ValueError(
            'is not the URL of a host (in lower case, without a path or a "/" at the end); write it like '
            '"https://langfuse.example.com" or "http://localhost:3000"'
        )
    host_name(urlsplit(text).hostname or "")
    return text


def _has_port(url: str) -> bool:
    """Whether a URL has a host, and a valid port or none."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _server_host(text: str) -> str:
    """A DNS name or an IP address. An IPv6 address has no brackets: URLs get them where they are written."""
    bare = text.removeprefix("[").removesuffix("]")
    if bare != text and _is_ipv6(bare):
        raise ValueError(f'has brackets, which belong into a URL; did you mean "{bare}"?')
    return text if _is_ipv6(text) else host_name(text)


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}", text):
        raise ValueError("is not a name: letters, digits, '_', '-' and '.'")
    return text


def _bucket(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", text):
        raise ValueError("is not a bucket name: 3 to 63 lower-case letters, digits and '-'")
    return text


def _pem(text: str) -> str:
    if not re.fullmatch(r"(\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)+", text):
        raise ValueError('is not PEM: it starts with "-----BEGIN CERTIFICATE-----"')
    return text


def _proxy_exception(text: str) -> str:
    """An entry of NO_PROXY, as Go and Node's clients read it."""
    if re.fullmatch(r"[0-9.]+/\d+|[0-9a-f:]+/\d+", text):
        return _network_range(text)
    try:
        return text if _is_ipv6(text) else host_name(text.removeprefix(".")) and text
    except ValueError:
        raise ValueError(
            'is not a host, a domain or an IP range (no scheme, no port, no "*"); write it like ".example.com"'
        ) from None


def host_name(text: str) -> str:
    """Validate a DNS name without a scheme, port or path."""
    bare = re.sub(r"^[a-z0-9+.-]+://(.*@)?", "", text).split("/")[0].split(":")[0]
    labels = text.split(".")
    if text != bare or len(text) > 253 or not all(_DNS_LABEL.fullmatch(label) for label in labels):  # noqa: PLR2004
        plausible = bare != text and all(_DNS_LABEL.fullmatch(label) for label in bare.split("."))
        hint = f'did you mean "{bare}"?' if plausible else "use lower-case letters, digits, '-' and '.'"
        raise ValueError(f"is not a host name (no scheme, port or path); {hint}")
    return text


def _dns_label(text: str) -> str:
    if not _DNS_LABEL.fullmatch(text):
        raise ValueError("is not a Kubernetes name: at most 63 lower-case letters, digits and '-'")
    return text


def _namespace(text: str) -> str:
    """Kubernetes reserves names with `kube-` (kubernetes.io/docs/concepts/overview/working-with-objects/namespaces)."""
    if text in {"default", "istio-system", "cnpg-system"} or text.startswith("kube-"):
        raise ValueError(
            "belongs to the cluster: the stack's policies would affect what else runs there; use another namespace"
        )
    return _dns_label(text)


def instance_name(text: str) -> str:
    """Validate the name of an installation. The names of its buckets have `-exports` at the end, and 63 characters.

    The rules for buckets are stricter than those for labels and namespaces (docs.aws.amazon.com/AmazonS3/latest/
    userguide/bucketnamingrules.html).
    """
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,52}[a-z0-9])?", text) or text.startswith(("xn--", "sthree-")):
        raise ValueError(
            "is not a prefix of bucket names: at most 54 lower-case letters, digits and '-', a letter first"
        )
    return text


def _gateway(text: str) -> str:
    parts = text.split("/")
    if len(parts) != 2 or not all(_DNS_LABEL.fullmatch(part) for part in parts):  # noqa: PLR2004  # namespace and name
        raise ValueError('is not `namespace/name` of a Gateway, as in "istio-system/public"')
    return text


def _schedule_or_never(value: str) -> str:
    return value if value == "never" else schedules.checked(value)


def _secret_name(text: str) -> str:
    if len(text) > 253 or not all(_DNS_LABEL.fullmatch(part) for part in text.split(".")):  # noqa: PLR2004
        raise ValueError("is not the name of a Secret: lower-case letters, digits, '-' and '.'")
    return text


def _secret_key(text: str) -> str:
    if not re.fullmatch(r"[-._A-Za-z0-9]{1,253}", text):
        raise ValueError("is not a key of a Secret: letters, digits, '-', '_' and '.'")
    return text


def _header_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", text):
        raise ValueError('is not the name of a header; write it like "x-goog-iap-jwt-assertion"')
    if text.lower() == "authorization":
        raise ValueError("is where SDKs send the keys of a project; have the token sent in another header")
    return text.lower()


def _kind_name(text: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]{0,62}", text):
        raise ValueError('is not a kind of Kubernetes; write it like "ClusterIssuer"')
    return text


def _scope(text: str) -> str:
    """RFC 6749, section 3.3."""
    if not re.fullmatch(r"[!#-\[\]-~]+", text):
        raise ValueError('is not a scope: one word; list each scope by itself, as in ["openid", "email"]')
    return text


def _group_name(text: str) -> str:
    """oauth2-proxy reads a list of groups from a variable, and divides it at commas."""
    if not text or "," in text:
        raise ValueError("is not the name of a group that can be in a list: it is empty, or contains a comma")
    return text


def _duration(text: str) -> str:
    if not re.fullmatch(r"(\d+(h|m|s))+", text):
        raise ValueError('is not a duration; write it like "1h" or "30m"')
    return text


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s?#]*)?", text) or not _has_port(text):
        raise ValueError('is not a URL (with its scheme, without a query); write it like "https://sso.example.com"')
    return text


def _network_range(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise ValueError('is not an IP range; write it like "203.0.113.0/24", without host bits') from None
    if any(contains(other, network) for other in NEVER_CALLED):
        raise ValueError("contains addresses where clouds serve credentials; remove it")
    return str(network)


def _dns_range(text: str) -> str:
    """DNS servers may be link-local addresses, except those where clouds serve credentials.

    One of these is also a DNS server: that of Cloud DNS for GKE.
    """
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise ValueError('is not an IP range; write it like "10.96.0.10/32", without host bits') from None
    if network.prefixlen < network.max_prefixlen - 8:
        raise ValueError(f'contains {network.num_addresses} addresses; list the servers, as in "10.96.0.10/32"')
    if network.is_link_local and network.num_addresses > 1:
        raise ValueError('is link-local: use a single address, as in "169.254.20.10/32"')
    if text != f"{METADATA_SERVER}/32" and any(
        network.version == other.version and network.overlaps(other) for other in METADATA_SERVICES
    ):
        raise ValueError("contains addresses where clouds serve credentials; remove it")
    return str(network)


_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_FACTORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def _age_recipient(text: str) -> str:
    """A public key of age: Bech32 with the prefix `age`, whose checksum finds typing errors (c2sp.org/age, BIP 173)."""
    letters = text.removeprefix("age1")
    if text == letters or len(letters) != 58 or not set(letters) <= set(_BECH32):  # noqa: PLR2004  # 32 bytes, checksum
        raise ValueError("is no X25519 recipient of age; `age-keygen -y KEY_FILE` prints one: age1 and 58 characters")
    prefix = [*(ord(one) >> 5 for one in "age"), 0, *(ord(one) & 31 for one in "age")]
    total = 1
    for value in [*prefix, *(_BECH32.index(letter) for letter in letters)]:
        top, total = total >> 25, (total & 0x1FFFFFF) << 5 ^ value
        for bit, factor in enumerate(_BECH32_FACTORS):
            total ^= factor if top >> bit & 1 else 0
    if total != 1:
        raise ValueError("has a typing error: its checksum is wrong")
    return text


def _field_path(text: str) -> str:
    """A path as Pulumi's option `ignoreChanges` takes it, inside of metadata or spec."""
    if not re.fullmatch(r'(metadata|spec)(\.[A-Za-z][A-Za-z0-9]*|\[\d+\]|\["[^"\]]+"\]|\[\*\])+', text):
        raise ValueError('is not the path of a field; write it like "spec.template.spec.tolerations"')
    return text


AgeRecipient = Annotated[str, AfterValidator(_age_recipient)]
ByteQuantity = Annotated[str, AfterValidator(_bytes)]
CpuQuantity = Annotated[str, AfterValidator(_cpu)]
Version = Annotated[str, AfterValidator(_version)]
Host = Annotated[str, AfterValidator(host_name)]
ServerHost = Annotated[str, AfterValidator(_server_host)]
DnsLabel = Annotated[str, AfterValidator(_dns_label)]
FieldPath = Annotated[str, AfterValidator(_field_path)]
NamespaceName = Annotated[str, AfterValidator(_namespace)]
InstanceName = Annotated[str, AfterValidator(instance_name)]
Schedule = Annotated[str, AfterValidator(schedules.checked)]
ScheduleOrNever = Annotated[str, AfterValidator(_schedule_or_never)]
StoreVersion = Annotated[str, AfterValidator(_store_version)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
Name = Annotated[str, AfterValidator(_name)]
BucketName = Annotated[str, AfterValidator(_bucket)]
Pem = Annotated[str, AfterValidator(_pem)]
ProxyException = Annotated[str, AfterValidator(_proxy_exception)]
Port = Annotated[int, Field(ge=1, le=65535)]
GatewayName = Annotated[str, AfterValidator(_gateway)]
Email = EmailStr
SecretName = Annotated[str, AfterValidator(_secret_name)]
SecretKey = Annotated[str, AfterValidator(_secret_key)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
KindName = Annotated[str, AfterValidator(_kind_name)]
Scope = Annotated[str, AfterValidator(_scope)]
GroupName = Annotated[str, AfterValidator(_group_name)]
Duration = Annotated[str, AfterValidator(_duration)]
Url = Annotated[str, AfterValidator(_url)]
DnsRange = Annotated[str, AfterValidator(_dns_range)]
NetworkRange = Annotated[str, AfterValidator(_network_range)]
