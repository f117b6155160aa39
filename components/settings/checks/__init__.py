"""Checks that compare several keys of the configuration.

A check is a function that yields `key: value rule; fix` for each error that it finds. All of them run after every
single key was validated by the models in `components/schema/`.
"""

from collections.abc import Callable, Iterator, Sequence

from components.application import extra_env, outbound, queue_scaling, queues
from components.schema.environment import Settings
from components.settings.checks import (
    application,
    backups,
    clients,
    credentials,
    ingress,
    memory,
    network,
    patches,
    sign_in,
    stores,
)
from components.settings.image_lock import digests_are_complete, mirrors_are_of_original_registries
from components.stores.versions import versions_fit

Check = Callable[[Settings], Iterator[str]]

CHECKS: Sequence[Check] = (
    application.autoscaling_bounds_are_ordered,
    application.requests_fit_limits,
    application.builds_choose_their_users,
    memory.memory_is_enough,
    memory.storage_is_enough,
    memory.containers_can_start,
    memory.bounds_hold,
    ingress.proxy_is_in_another_namespace,
    ingress.proxy_is_known,
    ingress.production_uses_tls,
    ingress.gateway_asks_for_sign_in,
    ingress.certificates_are_used,
    ingress.listeners_use_tls,
    ingress.public_url_has_the_host,
    network.allowed_pods_have_an_address,
    network.operator_is_in_another_namespace,
    network.egress_rules_have_a_destination,
    network.sidecar_keys_have_an_effect,
    network.clients_outside_the_mesh_are_clients,
    network.mesh_knows_the_ingress,
    stores.keepers_match_replicas,
    backups.raw_events_outlive_backups,
    backups.kept_periods_add_up,
    stores.append_only_file_fits,
    stores.external_redis_has_an_address,
    stores.buckets_of_an_address_are_in_the_path,
    stores.migrations_bypass_the_pooler,
    stores.postgres_upgrade_is_one_step,
    stores.cloudnative_pg_finds_the_password,
    versions_fit,
    digests_are_complete,
    mirrors_are_of_original_registries,
    queues.queues_have_one_consumer,
    queue_scaling.queue_length_has_triggers,
    application.phase_is_possible,
    credentials.sources_are_complete,
    credentials.configured_credentials_are_used,
    credentials.epochs_are_possible,
    credentials.external_credentials_have_a_source,
    clients.clients_outlive_the_stack,
    clients.clients_have_a_namespace_of_their_own,
    clients.projects_have_one_name,
    clients.keys_of_clients_are_pairs,
    clients.clients_fit_the_phase,
    sign_in.somebody_can_sign_in,
    application.licensed_features_have_a_license,
    extra_env.extra_variables_are_valid,
    outbound.variables_name_possible_targets,
    patches.patches_are_allowed,
    stores.managed_buckets_have_one_purpose,
    backups.off_site_store_is_separate,
    ingress.bucket_host_is_usable,
    ingress.files_have_protective_headers,
)
