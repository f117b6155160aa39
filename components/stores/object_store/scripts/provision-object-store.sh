#!/bin/sh
# Brings the buckets, lifecycle rules, users and policies of the object store to the desired state.
#
# Each purpose gets a bucket with lifecycle rules, a user and a policy. The bucket of backups keeps former versions. The
# script is idempotent. It applies changed retention and changed keys, and detaches every other policy from a user.
#
# Environment: STORE_URL, ROOT_ACCESS_KEY_ID, ROOT_SECRET_ACCESS_KEY, WAIT_SECONDS, and DESIRED_STATE, a folder with
# PURPOSE.policy.json and, for buckets with rules, PURPOSE.lifecycle.json. For each purpose: PURPOSE_BUCKET,
# PURPOSE_ACCESS_KEY_ID and PURPOSE_SECRET_ACCESS_KEY. For the user that removes old backups: PRUNE_ACCESS_KEY_ID,
# PRUNE_SECRET_ACCESS_KEY, and prune.policy.json; for the one that verifies and restores them, the same with VERIFY.
# The client gets keys only through its environment and standard input.
set -eu

export MC_HOST_store="${STORE_URL%%://*}://$ROOT_ACCESS_KEY_ID:$ROOT_SECRET_ACCESS_KEY@${STORE_URL#*://}"

fail() {
    echo "provision-object-store: $1" >&2
    exit 1
}

# Runs a command, and prints its output only if it fails: some commands print keys as JSON.
quietly() {
    output=$("$@" 2>&1) || fail "$1 $2 $3 failed: $output"
}

wait_for_store() {
    deadline=$(($(date +%s) + WAIT_SECONDS))
    until output=$(timeout 10 mc ls store 2>&1); do
        [ "$(date +%s)" -lt "$deadline" ] ||
            fail "$STORE_URL did not accept the root credentials within $WAIT_SECONDS s: $output"
        sleep 2
    done
    echo "object store $STORE_URL is ready"
}

apply_lifecycle() {
    rules="$DESIRED_STATE/$1.lifecycle.json"
    if [ -f "$rules" ]; then
        output=$(mc ilm rule import "store/$2" < "$rules" 2>&1) || fail "cannot set the lifecycle rules of $2: $output"
    elif mc ilm rule ls "store/$2" > /dev/null 2>&1; then
        quietly mc ilm rule rm --all --force "store/$2"
    fi
}

# Detaches every policy except $2 from user $1.
detach_others() {
    info=$(mc --json admin user info store "$1" 2>&1) || fail "cannot read user $1"
    case $info in
        *'"policyName":"'*) ;;
        *) return 0 ;;
    esac
    attached=${info#*'"policyName":"'}
    attached=${attached%%'"'*}
    old_ifs=$IFS
    IFS=,
    for policy in $attached; do
        if [ "$policy" != "$2" ]; then
            echo "user $1: detaching policy $policy"
            quietly mc admin policy detach store "$policy" --user "$1"
        fi
    done
    IFS=$old_ifs
}

# Gives a user its key and one policy. Arguments: policy, its file, access key id, secret access key.
provision_user() {
    quietly mc admin policy create store "$1" "$DESIRED_STATE/$2.policy.json"
    output=$(printf '%s\n%s\n' "$3" "$4" | mc admin user add store 2>&1) || fail "cannot set the key of user $3"
    quietly mc admin policy attach store "$1" --user "$3"
    detach_others "$3" "$1"
}

# Applies the desired state of one purpose. Arguments: purpose, bucket, access key id, secret access key.
provision() {
    quietly mc mb --ignore-existing "store/$2"
    quietly mc anonymous set private "store/$2"
    apply_lifecycle "$1" "$2"
    provision_user "$2" "$1" "$3" "$4"
    echo "$1: bucket $2 and user $3 are up to date"
}

wait_for_store
provision events "$EVENTS_BUCKET" "$EVENTS_ACCESS_KEY_ID" "$EVENTS_SECRET_ACCESS_KEY"
provision media "$MEDIA_BUCKET" "$MEDIA_ACCESS_KEY_ID" "$MEDIA_SECRET_ACCESS_KEY"
provision exports "$EXPORTS_BUCKET" "$EXPORTS_ACCESS_KEY_ID" "$EXPORTS_SECRET_ACCESS_KEY"
provision backups "$BACKUPS_BUCKET" "$BACKUPS_ACCESS_KEY_ID" "$BACKUPS_SECRET_ACCESS_KEY"
quietly mc version enable "store/$BACKUPS_BUCKET"
provision_user "$BACKUPS_BUCKET-prune" prune "$PRUNE_ACCESS_KEY_ID" "$PRUNE_SECRET_ACCESS_KEY"
provision_user "$BACKUPS_BUCKET-verify" verify "$VERIFY_ACCESS_KEY_ID" "$VERIFY_SECRET_ACCESS_KEY"
echo "object store is provisioned"
