#!/usr/bin/env bash
# Run a command beside a throw-away PostgreSQL, which it finds in TINTYPE_TEST_POSTGRES:
#
#     bash .ci/postgres.sh make test
set -euo pipefail

folder=$(mktemp -d /tmp/tintype.XXXXXX)   # the path of a socket may not be long
PATH=$PATH:$(printf '%s:' /usr/lib/postgresql/*/bin)   # where Debian puts initdb and pg_ctl

as_postgres() {   # PostgreSQL refuses to be run by root
    if [[ $EUID == 0 ]]; then
        (cd "$folder" && runuser -u postgres -- env PATH="$PATH" "$@")
    else
        "$@"
    fi
}

finish() {
    as_postgres pg_ctl --pgdata="$folder/data" --mode=immediate stop >"$folder/stopped" 2>&1 || true
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

if [[ $EUID == 0 ]]; then chown postgres "$folder"; fi
as_postgres initdb --pgdata="$folder/data" --username=postgres --auth=trust --encoding=UTF8 \
    --locale=C --no-sync >"$folder/initdb"
# A socket in our folder and no port: nothing else is in the way.
as_postgres pg_ctl --pgdata="$folder/data" --log="$folder/log" --wait start >"$folder/started" \
    --options="-c listen_addresses='' -c unix_socket_directories='$folder' -c fsync=off" ||
    { cat "$folder/log" >&2; exit 1; }

export TINTYPE_TEST_POSTGRES="postgresql://postgres@/postgres?host=$folder"
"$@"
