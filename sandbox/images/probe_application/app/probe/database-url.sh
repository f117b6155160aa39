# Sets DATABASE_URL from its parts, as both entrypoints of Langfuse do. They read it with `.`.

if [ -z "$DATABASE_URL" ]; then
    if [ -z "$DATABASE_HOST" ] || [ -z "$DATABASE_USERNAME" ] || [ -z "$DATABASE_PASSWORD" ] || [ -z "$DATABASE_NAME" ]; then
        echo "Error: Required database environment variables are not set. Provide a postgres url for DATABASE_URL."
        exit 1
    fi
    DATABASE_URL="postgresql://$DATABASE_USERNAME:$DATABASE_PASSWORD@$DATABASE_HOST/$DATABASE_NAME"
    export DATABASE_URL="$DATABASE_URL${DATABASE_ARGS:+?$DATABASE_ARGS}"
fi
