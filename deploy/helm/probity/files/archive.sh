# Keeps base backups of a PostgreSQL and the log (WAL) since the oldest of them, for restoring to any moment:
#
#   line-<begun>/base-<ended>/base.tar.gz, backup_manifest
#   line-<begun>/wal/
#
# A line is one history: after a restore, or when the server threw log away before it was received, the next one begins.
# DATABASE_URL: a role that may replicate. ARCHIVE: the folder. HOURS: from one base backup to the next. KEEP: how many stay.
set -eu
umask 077
cd "${ARCHIVE:-/archive}"
slot=probity_archive
receiver=
stop() {
    trap - TERM INT EXIT
    [ -z "$receiver" ] || kill -INT "$receiver" 2>/dev/null || true
    wait
    exit "$1"
}
trap 'stop 0' TERM INT
trap 'stop 1' EXIT

newest() { ls -d "$1"* 2>/dev/null | tail -1; }

# Log that was thrown away leaves a gap; what comes after it is another line.
if pg_receivewal --dbname="$DATABASE_URL" --slot="$slot" --create-slot --if-not-exists 2>.slot; then rm .slot; else cat .slot; exit 1; fi
line=$(newest line-)
if [ -z "$line" ] || [ -e restored ] || [ -e "$line/gap" ]; then
    line=line-$(date -u +%Y%m%dT%H%M%SZ)
    mkdir -p "$line/wal"
    rm -f restored
fi
rm -rf ./line-*/part
pg_receivewal --dbname="$DATABASE_URL" --slot="$slot" --synchronous --directory="$line/wal" &
receiver=$!

is_lost() {
    [ "$(psql -At -c "SELECT wal_status FROM pg_replication_slots WHERE slot_name = '$slot'" "$DATABASE_URL" 2>/dev/null)" = lost ]
}

is_due() {
    base=$(newest "$line/base-")
    [ -z "$base" ] || [ "$(date +%s)" -ge $(($(cat "$base/begun") + HOURS * 3600)) ]
}

take() {
    part=$line/part
    rm -rf "$part"
    mkdir "$part"
    begun=$(date +%s)
    if ! pg_basebackup --dbname="$DATABASE_URL" --pgdata="$part" --format=tar --gzip --wal-method=fetch --checkpoint=fast \
        || ! gzip -t "$part/base.tar.gz"; then # what cannot be read is no backup
        echo "the base backup failed; it is tried again"
        return 1
    fi
    echo "$begun" >"$part/begun"
    base=$line/base-$(date -u +%Y%m%dT%H%M%SZ)
    mv "$part" "$base"
    echo "$base: $(wc -c <"$base/base.tar.gz") bytes"
}

# The oldest of KEEP base backups, and the log before it, go; lines without a base backup that stays go whole.
prune() {
    ls -d line-*/base-* | sort | head -n "-$KEEP" | while read -r old; do rm -rf "$old"; done
    for one in line-*; do
        oldest=$(ls -d "$one"/base-* 2>/dev/null | head -1)
        if [ -n "$oldest" ]; then
            segment=$(tar -xzOf "$oldest/base.tar.gz" backup_label | sed -n 's/^START WAL LOCATION.*(file \(.*\))$/\1/p')
            pg_archivecleanup "$one/wal" "$segment"
        elif [ "$one" != "$line" ]; then
            rm -rf "$one"
        fi
    done
}

while kill -0 "$receiver" 2>/dev/null; do
    if is_lost; then
        touch "$line/gap"
        kill -INT "$receiver" && wait "$receiver" || true
        pg_receivewal --dbname="$DATABASE_URL" --slot="$slot" --drop-slot
        echo "the server threw log away before it was received: the next line begins"
        exit 1
    fi
    if is_due; then take && prune; fi
    sleep "${PAUSE:-30}" & wait $!
done
echo "pg_receivewal has ended"
exit 1
