#!/bin/sh
# Describes object stores to rclone, for scripts that include this file. It does so by the variables RCLONE_CONFIG_*, so that
# no key is in a file or a command line.
#
# Environment: the variables of a store, as for bucket.js: STORE_URL, REGION, FORCE_PATH_STYLE, ENCRYPTION,
# KMS_KEY_ID, ACCESS_KEY_ID and SECRET_ACCESS_KEY. Without keys, rclone uses the pod's identity. STORE_WAIT_SECONDS is the time
# that a store may be away for.
set -eu

# The value of variable $2 with prefix $1.
value() {
    eval "printf %s \"\${$1$2:-}\""
}

# Describes a store. Arguments: name of the remote in upper case, prefix of its variables.
remote() {
    export "RCLONE_CONFIG_$1_TYPE=s3"
    export "RCLONE_CONFIG_$1_ENDPOINT=$(value "$2" STORE_URL)" "RCLONE_CONFIG_$1_REGION=$(value "$2" REGION)"
    export "RCLONE_CONFIG_$1_FORCE_PATH_STYLE=$(value "$2" FORCE_PATH_STYLE)" "RCLONE_CONFIG_$1_NO_CHECK_BUCKET=true"
    case $(value "$2" STORE_URL) in
        *://*.amazonaws.com*) export "RCLONE_CONFIG_$1_PROVIDER=AWS" ;;
        *://storage.googleapis.com*) export "RCLONE_CONFIG_$1_PROVIDER=GCS" ;;
        *) export "RCLONE_CONFIG_$1_PROVIDER=Minio" ;; # the API of AWS without its extensions
    esac
    # The store compares the MD5 sum of each part. ETags are other sums where it encrypts, also by a default of the bucket.
    export "RCLONE_CONFIG_$1_USE_MULTIPART_ETAG=false"
    if [ -n "$(value "$2" ACCESS_KEY_ID)" ]; then
        export "RCLONE_CONFIG_$1_ACCESS_KEY_ID=$(value "$2" ACCESS_KEY_ID)"
        export "RCLONE_CONFIG_$1_SECRET_ACCESS_KEY=$(value "$2" SECRET_ACCESS_KEY)"
    else
        export "RCLONE_CONFIG_$1_ENV_AUTH=true"
    fi
    case $(value "$2" ENCRYPTION) in
        '' | none) ;;
        *) export "RCLONE_CONFIG_$1_SERVER_SIDE_ENCRYPTION=$(value "$2" ENCRYPTION)" ;;
    esac
    [ -z "$(value "$2" KMS_KEY_ID)" ] || export "RCLONE_CONFIG_$1_SSE_KMS_KEY_ID=$(value "$2" KMS_KEY_ID)"
}

# Describes a store that is only read. Arguments: those of `remote`.
#
# rclone takes an ETag for the MD5 sum of the object, and sends it to the other store. It is none where the store encrypts
# with a KMS, also by a default of the bucket that no client sees (backend/s3/s3.go, etagIsNotMD5).
source_remote() {
    remote "$1" "$2"
    export "RCLONE_CONFIG_$1_SERVER_SIDE_ENCRYPTION=aws:kms"
}

# No configuration file. A folder with more objects than the cutoff is sorted on disk, not in memory.
export RCLONE_CONFIG=/dev/null RCLONE_RETRIES=1 RCLONE_CONTIMEOUT=10s RCLONE_LIST_CUTOFF=50000
export RCLONE_SIZE_ONLY=true RCLONE_STATS=0

# rclone repeats a request, or a part of an upload, and goes on with a download where it broke off. The pauses become longer,
# up to 20 s from the sixth on (aws-sdk-go-v2, aws/retry/jitter_backoff.go).
attempts=$((5 + (STORE_WAIT_SECONDS + 19) / 20))
[ "$STORE_WAIT_SECONDS" != 0 ] || attempts=1
export RCLONE_LOW_LEVEL_RETRIES="$attempts"
