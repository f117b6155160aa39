"""Postgres of Debian, for `docker.io/library/postgres`.

The official image has an entrypoint that creates a database at the first start. The pods of this project replace it:
they create the database in an init container and run `postgres` itself. The packed image has no such entrypoint.
"""

from __future__ import annotations

from components.schema.images import POSTGRES
from sandbox.images import debian
from sandbox.images.oci import ImageConfig
from sandbox.images.recipe import File, Recipe, files, same_release

MAJORS = {"17": "trixie", "15": "bookworm"}
"""The release of Debian that has each major release."""
UID = POSTGRES.uid

_DATA = "/var/lib/postgresql/data"

_BEFORE = f"""
groupadd --system --gid {UID} postgres
useradd --system --gid postgres --uid {UID} --home-dir /var/lib/postgresql --shell /bin/bash postgres
mkdir /etc/postgresql-common
echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
"""

# Without the compiler for queries, which is half of the size, without Debian's wrappers, which need Perl, and without
# the private key that ssl-cert makes. Postgres does not use the compiler if its library is absent
# (src/backend/jit/jit.c, provider_init). Removing the package `locales` also removes its archive of locales.
_AFTER = """
localedef --no-archive --inputfile en_US --charmap UTF-8 en_US.UTF-8
dpkg --purge --force-depends %(libraries)s perl perl-modules-5.40 postgresql-common \\
    postgresql-common-dev postgresql-client-common libjson-perl libipc-run-perl libio-pty-perl ssl-cert procps \\
    locales libc-l10n
rm -rf /usr/lib/postgresql/%(major)s/lib/bitcode /usr/lib/postgresql/%(major)s/lib/llvmjit* /etc/ssl/private/*
"""
_LIBRARIES = {"17": "libllvm19 libz3-4 libperl5.40", "15": "libllvm14 libz3-4 libperl5.36"}


def recipe(tag: str) -> Recipe:
    """The recipe of a tag of one of these releases; that of release 17 refuses every other one."""
    major = tag.partition(".")[0]
    if major not in MAJORS:
        major = POSTGRES.tag.partition(".")[0]
        same_release(POSTGRES.repository, tag, major)
    suite, owner = MAJORS[major], (UID, UID)
    after = _AFTER % {"major": major, "libraries": _LIBRARIES[major]}
    return Recipe(
        layers=(
            debian.base(suite),
            debian.packages(
                "postgresql", f"postgresql-{major}", "libnss-wrapper", before=_BEFORE, after=after, suite=suite
            ),
            files(
                "postgresql-folders",
                File(_DATA, None, 0o1777, owner),
                File("/run/postgresql", None, 0o3777, owner),
            ),
        ),
        config=ImageConfig(
            user=f"{UID}:{UID}",
            environment={
                "LANG": "en_US.utf8",
                "PATH": f"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/{major}/bin",
                "PGDATA": _DATA,
                "PG_MAJOR": major,
            },
            command=("postgres",),
            stop_signal="SIGINT",  # a fast shutdown
            exposed_ports=(5432,),
        ),
    )
