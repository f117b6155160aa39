import pytest

from components.credentials import formats
from components.credentials.formats import Format

IDENTIFIER = "f647b57d-bb0c-4170-ace5-0063653ec135"

GOOD = [
    (formats.PASSWORD, "Xk29sLq0Zr7TbN3vQw81"),
    (formats.USER_PASSWORD, "correct horse!"),
    (formats.LONG_SECRET, "vyZHyJ51elOQ8bE8Bcxe2KVA6ghlu93W9iXr60-0l3I"),
    (formats.ENCRYPTION_KEY, "0123456789abcdef" * 4),
    (formats.ENCRYPTION_KEY, "0123456789ABCDEF" * 4),
    (formats.OBJECT_ENCRYPTION_KEY, "langfuse:6cKeXb9TBYBmzW1ixZOBDXQ+vJ0cHHFwyQsx0d5/8kY="),
    (formats.PUBLIC_KEY, f"pk-lf-{IDENTIFIER}"),
    (formats.SECRET_KEY, f"sk-lf-{IDENTIFIER}"),
    (formats.ACCESS_KEY_ID, "langfuse-prod-events"),
    (formats.SECRET_ACCESS_KEY, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYzzzzKEY"),
    (formats.LICENSE_KEY, "langfuse_ee_0123456789abcdef"),
    (formats.SMTP_URL, "smtps://user:pa55word@mail.example.com:465"),
    (formats.SMTP_URL, "ses://eu-central-1"),
    (formats.CLIENT_SECRET, "GOCSPX-1"),
]


@pytest.mark.parametrize(("rule", "value"), GOOD)
def test_a_valid_value_is_accepted(rule: Format, value: str) -> None:
    assert rule.check(value) is None


@pytest.mark.parametrize(
    ("rule", "value", "says"),
    [
        (formats.PASSWORD, "with-special:characters@x", "letters and digits"),
        (formats.PASSWORD, "short1", "16 or more"),
        (formats.PASSWORD, "a" * 32, "not random"),
        (formats.PASSWORD, "Xk29sLq0Zr7TbN3vQw81\n", "whitespace"),
        (formats.USER_PASSWORD, "seven77", "8 or more"),
        (formats.USER_PASSWORD, "changeme", "well-known default"),
        (formats.LONG_SECRET, "mysalt", "well-known default"),
        (formats.LONG_SECRET, "short", "32 or more"),
        (formats.ENCRYPTION_KEY, "0" * 64, "not random"),
        (formats.ENCRYPTION_KEY, "0123456789abcdef" * 3, "64 hexadecimal"),
        (formats.ENCRYPTION_KEY, "g123456789abcdef" * 4, "64 hexadecimal"),
        (formats.OBJECT_ENCRYPTION_KEY, "langfuse:6cKeXb9TBYBmzW1ixZOBDXQ+vJ0cHHFwyQsx0d5/8kY", "32 bytes"),
        (formats.OBJECT_ENCRYPTION_KEY, "6cKeXb9TBYBmzW1ixZOBDXQ+vJ0cHHFwyQsx0d5/8kY=", "a name"),
        (formats.OBJECT_ENCRYPTION_KEY, "langfuse-prod:" + "A" * 43 + "=", "not random"),
        (formats.PUBLIC_KEY, f"sk-lf-{IDENTIFIER}", "pk-lf-"),
        (formats.SECRET_KEY, "sk-lf-1234", "UUID"),
        (formats.ACCESS_KEY_ID, "minioadmin", "well-known default"),
        (formats.SECRET_ACCESS_KEY, "miniosecret", "well-known default"),
        (formats.LICENSE_KEY, "ee_key", "license"),
        (formats.SMTP_URL, "mail.example.com:465", "smtps://"),
    ],
)
def test_an_invalid_value_is_refused_and_not_shown(rule: Format, value: str, says: str) -> None:
    problem = rule.check(value)
    assert problem is not None
    assert says in problem
    assert value.strip() not in problem


@pytest.mark.parametrize("shipped", ["mysalt", "mysecret", "secret", "changeme", "miniosecret", "minio", "minioadmin"])
def test_default_passwords_of_the_upstream_examples_are_refused(shipped: str) -> None:
    for rule in {id(rule): rule for rule, _ in GOOD}.values():
        assert rule.check(shipped) is not None
        assert rule.check(shipped.upper()) is not None
