"""The Pulumi program: deploys Langfuse with the settings of a stack."""

from components.startup import prepare_process

prepare_process()  # before the slow imports

import pulumi

from components.langfuse import Langfuse
from components.settings import kubeconfig
from components.settings.load import load

settings = load()
kubeconfig.check(settings.cluster, needed=not pulumi.runtime.is_dry_run())
langfuse = Langfuse("langfuse", settings)

for name, value in langfuse.outputs.items():
    pulumi.export(name, value)
